"""`python -m tools VERB --flag value`."""

import signal
import sys

from medbundles.signals import HANG_UP, end_on_signals
from tools.cli import main

if __name__ == "__main__":
    end_on_signals([signal.SIGTERM, *([HANG_UP] if HANG_UP else [])])  # Ctrl-C is an exception, as Python has it
    sys.exit(main())
