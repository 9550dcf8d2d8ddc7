"""How far a long piece of work is: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from medbundles.lines import duration, say
from medbundles.ranks import is_rank_0

T = TypeVar("T")
EVERY = 10.0  # seconds between two lines


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
