"""Memory that was freed stays with the process for what it needs next."""

import ctypes
import os
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h
CHOSEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory; whether it did.

    glibc gives each block above 32 MB back to the system when it is freed, and fetches the next one as empty pages
    that the system has to zero one by one. A training step frees and needs the same some hundred times. So kept, the
    process holds at most what it once needed, as it does on a GPU, and what other processes need is not lent to them
    between two steps. Who has told glibc something else, by one of the variables in `CHOSEN`, is not overruled.
    """
    if any(name in os.environ for name in CHOSEN):
        return False
    with suppress(OSError, AttributeError):  # only glibc has it
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))
    return False
