"""How far a long piece of work is: a bar on a terminal, plain lines elsewhere."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from medbundles.ranks import is_rank_0

T = TypeVar("T")
EVERY = 10.0  # seconds between two lines

logger = logging.getLogger("medbundles")


def progress(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """The items, one after the other, while a bar shows how many are done and how long the others will take.

    Where stderr is no terminal, such as in a job's log, a line says it every ten seconds, with tqdm's own numbers: a
    bar would fill the log, and nothing would look as if it hung. A run's line goes through its log.

    Args:
        items: to be worked on.
        what: is done, in a few words.
        total: how many they are, where they do not say it.
    """
    if not is_rank_0():  # the others do the same beside it
        yield from items
        return
    from tqdm import tqdm

    total = len(items) if total is None and isinstance(items, Sized) else total
    if sys.stderr.isatty():
        yield from tqdm(items, what, total, leave=False, dynamic_ncols=True)
        return
    begin = said = time.monotonic()
    for number, item in enumerate(items, 1):
        yield item
        if (now := time.monotonic()) - said >= EVERY:
            said = now
            left = f", {duration((now - begin) / number * (total - number))} left" if total else ""
            say(f"{what}: {number}{f' of {total}' if total else ''}{left}")


def say(line: str) -> None:
    """A line for people, from rank 0: through the log where one is kept, else on stderr, beside a tool's result."""
    if not is_rank_0():
        return
    if logger.isEnabledFor(logging.INFO):
        logger.info("%s", line)
    else:
        print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A time for people.

    Example:
        >>> duration(5000)
        '1 h 23 min'
    """
    minutes = round(seconds / 60)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
