"""Ctrl-C, SIGTERM and SIGHUP end a process with one line and the exit codes 130, 143 and 129."""

import os
import signal
import threading
from collections.abc import Sequence
from types import FrameType

HANG_UP = getattr(signal, "SIGHUP", None)  # not on Windows
SIGNALS = (signal.SIGINT, signal.SIGTERM, *([HANG_UP] if HANG_UP else []))


def ours(numbers: Sequence[int] = SIGNALS) -> list[int]:
    """Those of the signals that are to be taken: a SIGHUP that is ignored, as under nohup, stays ignored."""
    return [n for n in numbers if n != HANG_UP or signal.getsignal(n) is not signal.SIG_IGN]


def end_on_signals(numbers: Sequence[int] = SIGNALS) -> None:
    """From now on each of the signals ends this process at once, without a stack trace; a second one whatever it does.

    While a trainer runs, `medbundles.handlers.Interrupts` takes them instead. In any thread but the main one nothing
    happens: signals cannot be taken there.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    process, received = os.getpid(), list[int]()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:  # a loader's worker, which ends with the main process
            if number == signal.SIGINT:
                return
            os._exit(128 + number)
        if received:
            os._exit(128 + number)
        received.append(number)
        # not through logging: its lock may be held by what was interrupted
        os.write(2, f"\n{signal.Signals(number).name}: stopped\n".encode())
        raise SystemExit(128 + number)

    for number in ours(numbers):
        signal.signal(number, end)
