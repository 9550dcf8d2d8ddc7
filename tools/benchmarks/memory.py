"""The most memory that a training needs."""

import ctypes
import gc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from medbundles.networks.freed_memory import M_MMAP_MAX, M_TRIM_THRESHOLD

from .training import Training

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory(build: Callable[[], Training]) -> int | None:
    """Most memory that training on one batch needs: weights, optimizer, activations, gradients.

    Args:
        build: builds the training. To be called when all modules are loaded, which would count as well.

    Returns:
        Bytes on the GPU, or of resident memory above what this process had before; None where the system gives none.
    """
    _give_back()
    gpu, cpu = torch.cuda.memory_allocated() if torch.cuda.is_available() else 0, _reset_peak()
    training = build()
    batch = training.prepare(next(iter(training.loader)), training.device)
    training.epoch([batch] * 2)  # the optimizer's state is there from the second step on
    if training.device.type == "cuda":
        return torch.cuda.max_memory_allocated(training.device) - gpu
    return None if cpu is None else _resident("VmHWM") - cpu


def give_memory_back() -> None:
    """The C library's usual ways again, after `keep_freed_memory`."""
    with suppress(OSError, AttributeError):  # only glibc has it
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(M_MMAP_MAX, 65536)
        mallopt(M_TRIM_THRESHOLD, 128 * 1024)
    _give_back()


def _give_back() -> None:
    """Let go of memory that nobody uses, so that it does not hide what comes next."""
    gc.collect()
    with suppress(OSError, AttributeError):  # only glibc has it
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _reset_peak() -> int | None:
    """Resident bytes, from which on the peak is counted again; None where that cannot be asked for."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        CLEAR.write_text("5")
        return _resident("VmRSS")
    except OSError:
        return None


def _resident(name: str) -> int:
    """Bytes of resident memory: those of now (VmRSS) or the most since the peak was reset (VmHWM)."""
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024
