"""On MONAI's command line, an error that a user can mend is its message and exit code 1, without a stack trace."""

import logging
import os
import re
import sys
import threading
import traceback
from collections import Counter
from logging.handlers import MemoryHandler
from pathlib import Path
from types import TracebackType
from typing import Any

import torch.distributed as dist

from medbundles.atomic_files import is_full
from medbundles.errors import MedbundlesError, causes
from medbundles.lines import in_lines
from medbundles.memory import ran_out
from medbundles.ranks import is_distributed, is_rank_0
from medbundles.signals import end_on_signals

logger = logging.getLogger("medbundles")
main_process = os.getpid()
ERROR = "an error"
warnings = Counter[str]()  # that this process has had
_PACKAGE = str(Path(__file__).parents[1])
take_memory: dict[str, Any] = {}  # settings of this run that its memory grows with, and their values; by the preflight


def on_command_line() -> bool:
    """Whether this process is `python -m monai.bundle`; hosts and notebooks get plain exceptions."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec is not None and spec.name in ("monai.bundle.__main__", "monai.bundle")


def show_errors_plainly() -> None:
    """Install the hooks, once, on the command line only: for errors, and for signals such as Ctrl-C."""
    if on_command_line():
        sys.excepthook = show
        threading.excepthook = show_of_thread
        end_on_signals()
        logger.addFilter(is_mine_to_say)
        logger.addFilter(in_lines)
        # what is said before the run has its log, such as of the data: `open_log` writes it there
        logger.addHandler(MemoryHandler(capacity=sys.maxsize, flushLevel=sys.maxsize))
        if not logging.getLogger().handlers:  # no logging.conf beside the config, as when a run's config.json is run
            logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
            logging.getLogger("ignite").setLevel(logging.CRITICAL)


def readable(error: BaseException) -> str | None:
    """The message of the first `MedbundlesError` in a chain of exceptions, or that memory ran out, or that a component
    of someone else's cannot be built; None of others.

    A DataLoader's worker sends its error as text with a stack trace in front; only its end is the message.
    """
    for ours in (cause for cause in causes(error, contexts=True) if isinstance(cause, MedbundlesError)):
        text = str(ours)
        from_worker = re.search(rf"^(?:[\w.]+\.)?{type(ours).__name__}: (.*)", text, re.MULTILINE | re.DOTALL)
        return from_worker[1].strip() if text.startswith("Caught ") and from_worker else text
    return out_of_memory(error) or not_built(error)


def out_of_memory(error: BaseException) -> str | None:
    """The message where an exception, or one that it comes from, says that memory ran out: what to lower."""
    for cause in causes(error, contexts=True):
        if ran_out(cause):
            text = str(cause).partition("\n")[0]
            lower = ", ".join(f"{name} (now {value})" for name, value in take_memory.items())
            return f"out of memory: {text.rstrip('.')}. Lower {lower or 'batch_size or the size of the images'}."
    return None


def not_built(error: BaseException) -> str | None:
    """The message where a component of someone else's refuses its arguments: its name, these, and what it says."""
    for cause in causes(error):
        found = re.match(r"Failed to instantiate component '(?!medbundles\.)(.+)' with keywords: (.*)", str(cause))
        if found and (why := cause.__cause__) and not _is_ours(why):
            return f"{found[1]} cannot be built with the arguments {found[2]}: {type(why).__name__}: {why}"
    return None


def _is_ours(error: BaseException) -> bool:
    """Whether it was raised in this package, so that its trace tells more than its message."""
    return any(frame.filename.startswith(_PACKAGE) for frame in traceback.extract_tb(error.__traceback__)[-1:])


def said_by_ranks(what: str, more: int) -> int:
    """How many ranks have said something, with `more` of them added now; 0 where ranks cannot ask each other."""
    if not is_distributed():
        return 0
    try:
        return dist.distributed_c10d._get_default_store().add(f"medbundles/{what}", more)
    except RuntimeError:  # the store has ended with its rank
        return 0


def is_mine_to_say(record: logging.LogRecord) -> bool:
    """Whether this rank says a line that all may have: what is told rank 0, a warning the first rank that has it."""
    if record.levelno < logging.WARNING:
        return is_rank_0()
    if os.getpid() != main_process:  # a loader's worker, which cannot ask: the connection is its main process's
        return True
    text = record.getMessage()
    warnings[text] += 1  # the same one may come again, later
    return said_by_ranks(f"{text} {warnings[text]}", 1) <= 1


def show_of_thread(what: threading.ExceptHookArgs) -> None:
    """Of a full disk the main thread says it: TensorBoard's writer hands its error on to it."""
    if not is_full(what.exc_value):
        threading.__excepthook__(what)


def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The exception hook: a message for what a user can mend, Python's own stack trace for everything else."""
    message = readable(error)
    if os.getpid() != main_process and isinstance(error, (ConnectionError, EOFError)):
        return  # a loader's worker whose main process has ended: that one has said why
    if message is None and said_by_ranks(ERROR, 0) > 0:
        return  # another rank has shown what a user can mend; this one has only lost it
    if message is None:
        logger.debug("%s", "".join(traceback.format_exception(kind, error, trace)))
        sys.__excepthook__(kind, error, trace)
    elif said_by_ranks(ERROR, 1) <= 1:  # all ranks may have it, or, such as a broken file, one that is not 0
        sys.stdout.flush()
        print(f"Error: {message}", file=sys.stderr)
        for handler in logging.getLogger().handlers:  # into the log file as well, if there is one
            if isinstance(handler, logging.FileHandler):
                handler.handle(logging.LogRecord("medbundles", logging.ERROR, "", 0, message, None, None))
