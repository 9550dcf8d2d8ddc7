"""`python -m tools VERB --flag value`; `medbundles VERB --flag value` where the wheel is installed."""

import signal
import sys

from medbundles.signals import HANG_UP, end_on_signals

from .cli import main


def command() -> None:
    """Run what was typed, and end this process with its exit code."""
    end_on_signals([signal.SIGTERM, *([HANG_UP] if HANG_UP else [])])  # Ctrl-C is an exception, as Python has it
    sys.exit(main())


if __name__ == "__main__":
    command()
