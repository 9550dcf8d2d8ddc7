"""On MONAI's command line, an error that a user can mend is its message and exit code 1, without a stack trace."""

import logging
import os
import re
import sys
import traceback
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist

from medbundles.errors import MedbundlesError, causes
from medbundles.ranks import is_distributed

logger = logging.getLogger("medbundles")
main_process = os.getpid()
take_memory: dict[str, Any] = {}  # settings of this run that its memory grows with, and their values; by the preflight
# What torch says on a CPU, and a loader whose worker the system has ended.
_NO_MEMORY = ("can't allocate memory", "is killed by signal: Killed")


def on_command_line() -> bool:
    """Whether this process is `python -m monai.bundle`; hosts and notebooks get plain exceptions."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec is not None and spec.name in ("monai.bundle.__main__", "monai.bundle")


def show_errors_plainly() -> None:
    """Install the hook, once, on the command line only."""
    if on_command_line():
        sys.excepthook = show
        if not logging.getLogger().handlers:  # no logging.conf beside the config, as when a run's config.json is run
            logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
            logging.getLogger("ignite").setLevel(logging.CRITICAL)


def readable(error: BaseException) -> str | None:
    """The message of the first `MedbundlesError` in a chain of exceptions, or that memory ran out; None of others.

    A DataLoader's worker sends its error as text with a stack trace in front; only its end is the message.
    """
    for ours in (cause for cause in causes(error, contexts=True) if isinstance(cause, MedbundlesError)):
        text = str(ours)
        from_worker = re.search(rf"^(?:[\w.]+\.)?{type(ours).__name__}: (.*)", text, re.MULTILINE | re.DOTALL)
        return from_worker[1].strip() if text.startswith("Caught ") and from_worker else text
    return out_of_memory(error)


def out_of_memory(error: BaseException) -> str | None:
    """The message where an exception, or one that it comes from, says that memory ran out: what to lower."""
    for cause in causes(error, contexts=True):
        text = str(cause).partition("\n")[0]
        if isinstance(cause, (MemoryError, torch.OutOfMemoryError)) or any(words in text for words in _NO_MEMORY):
            lower = ", ".join(f"{name} (now {value})" for name, value in take_memory.items())
            return f"out of memory: {text.rstrip('.')}. Lower {lower or 'batch_size or the size of the images'}."
    return None


def shown_by_ranks(more: int) -> int:
    """How many ranks have shown an error, with `more` of them added now; 0 where ranks cannot ask each other."""
    if not is_distributed():
        return 0
    try:
        return dist.distributed_c10d._get_default_store().add("medbundles/errors_told", more)
    except RuntimeError:  # the store has ended with its rank
        return 0


def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The exception hook: a message for what a user can mend, Python's own stack trace for everything else."""
    message = readable(error)
    if os.getpid() != main_process and isinstance(error, (ConnectionError, EOFError)):
        return  # a loader's worker whose main process has ended: that one has said why
    if message is None and shown_by_ranks(0) > 0:
        return  # another rank has shown what a user can mend; this one has only lost it
    if message is None:
        logger.debug("%s", "".join(traceback.format_exception(kind, error, trace)))
        sys.__excepthook__(kind, error, trace)
    elif shown_by_ranks(1) <= 1:  # all ranks may have it, or, such as a broken file, one that is not 0
        sys.stdout.flush()
        print(f"Error: {message}", file=sys.stderr)
        for handler in logging.getLogger().handlers:  # into the log file as well, if there is one
            if isinstance(handler, logging.FileHandler):
                handler.handle(logging.LogRecord("medbundles", logging.ERROR, "", 0, message, None, None))
