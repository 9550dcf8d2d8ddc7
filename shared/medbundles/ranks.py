"""The processes of a run under torchrun; without it every function does what one process needs.

Not `ignite.distributed`: it goes on asking a process group that has been destroyed, and broadcasts no objects.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from medbundles.errors import MedbundlesError


def is_distributed() -> bool:
    """Whether there is a process group."""
    return dist.is_available() and dist.is_initialized()


def rank_and_world() -> tuple[int, int]:
    """This process's rank and the number of processes."""
    return (dist.get_rank(), dist.get_world_size()) if is_distributed() else (0, 1)


def is_rank_0() -> bool:
    """Whether this process is the one that writes."""
    return rank_and_world()[0] == 0


def end_process_group() -> None:
    """End the process group that a config's `initialize` made, once all ranks are here. One that a host made stays.

    `initialize` sets `torch.distributed.of_medbundles` where it finds none. It can name nothing of this package: MONAI
    finds an exported bundle's copy of it only in `run`.
    """
    if getattr(dist, "of_medbundles", False) and is_distributed():
        dist.barrier()
        dist.destroy_process_group()
    dist.of_medbundles = False  # type: ignore[attr-defined]


def from_rank_0(value: Any) -> Any:
    """What rank 0 has, on every rank."""
    box = [value]
    if is_distributed():
        dist.broadcast_object_list(box, src=0)
    return box[0]


def done_by_rank_0(action: Callable[[], Any]) -> Any:
    """What the action gives on rank 0, on every rank; other ranks do nothing.

    Raises:
        MedbundlesError: the action's; on every rank, so that none waits for another that has stopped.
    """
    result, failure = None, None
    if is_rank_0():
        try:
            result = action()
        except MedbundlesError as error:
            failure = error
    result, failure = from_rank_0((result, failure))
    if failure is not None:
        raise failure
    return result


def gathered(value: Any) -> list[Any]:
    """What each rank has, in the order of the ranks, on every rank."""
    values = [value]
    if is_distributed():
        values = [None] * dist.get_world_size()
        dist.all_gather_object(values, value)
    return values


def wait_for_all() -> None:
    """Wait until every rank is here, for a week at most: what ranks do on their own may take very differently long.

    Raises:
        RuntimeError: another rank has stopped.
    """
    if is_distributed() and dist.get_backend() == "gloo":
        dist.monitored_barrier(timeout=timedelta(days=7))


def summed(tensor: torch.Tensor) -> torch.Tensor:
    """The sum over all ranks, on every rank."""
    if is_distributed():
        dist.all_reduce(tensor)
    return tensor
