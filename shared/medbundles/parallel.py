"""The same work on many items, with a process on each core."""

import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from medbundles.cores import core_count
from medbundles.errors import MedbundlesError
from medbundles.progress import progress

T = TypeVar("T")
R = TypeVar("R")
ALONE = 0.5  # seconds of work in this process before others are started, which takes about as long


class _Calls(Dataset):
    """The results of a function, as bytes: they come through a pipe.

    Tensors would take shared memory, of which a container has 64 MB, and an open file each.
    """

    def __init__(self, function: Callable[[Any], Any], items: Sequence[Any]):
        self.function, self.items = function, items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> bytes:
        try:
            result = self.function(self.items[index])
        except MedbundlesError as error:  # goes on as it is; of others torch's loader shows the trace
            result = _Failed(error)
        return pickle.dumps(result, pickle.HIGHEST_PROTOCOL)


class _Failed:
    def __init__(self, error: MedbundlesError):
        self.error = error


def on_all_cores(function: Callable[[T], R], items: Sequence[T], what: str) -> Iterator[R]:
    """What the function gives for each item, in their order, while `progress` shows how far it is.

    It begins in this process. What is left after half a second goes to a process for each core: torch's loader, which
    knows how to end with its main process.

    Args:
        function: called with each item; on systems without fork it must be one that can be pickled.
        items: any number of them.
        what: is done, for the bar.

    Raises:
        MedbundlesError: the function's.
    """
    yield from progress(_results(function, items), what, len(items))


def _results(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    begin, done = time.perf_counter(), 0
    alone = core_count() == 1
    while done < len(items) and (alone or time.perf_counter() - begin < ALONE):
        yield function(items[done])
        done += 1
    if done == len(items):
        return
    loader = DataLoader(
        _Calls(function, items[done:]),
        batch_size=None,
        num_workers=core_count(),
        collate_fn=_as_it_is,
        generator=torch.Generator(),  # its own: otherwise each start draws from torch's and moves dropout's numbers
    )
    for content in loader:
        result = pickle.loads(content)
        if isinstance(result, _Failed):
            raise result.error
        yield result


def _as_it_is(result: Any) -> Any:
    return result
