"""How many cores this process may use."""

import os


def local_rank_and_count() -> tuple[int, int]:
    """This process's number among those that torchrun started on this machine, and how many these are; else 0 and 1."""
    return int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def core_count() -> int:
    """Cores that this process may use, which may be fewer than the machine has; processes of one run share them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // local_rank_and_count()[1])
