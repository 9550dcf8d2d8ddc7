"""One setting in two positions: seconds of an epoch of steps in turn, and the peak of memory of each."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from benchmarks.parts import Case, Epoch, Training, ratios, spread, take_turns, tell

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def compare(case: Case, variants: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Measure two variants against each other.

    Args:
        case: what was asked for.
        variants: name -> its settings; the first is divided by the second.

    Returns:
        seconds of both, their ratio, and `peak_memory` of both in bytes (None where it cannot be told).
    """
    data = case.data()
    settings = {name: case.all_settings(dataset_dir=data, **more) for name, more in variants.items()}
    trainings = {name: Training.build(case, k) for name, k in settings.items()}
    batches = next(iter(trainings.values())).batches()
    seconds = take_turns({name: Epoch(t, batches) for name, t in trainings.items()}, case.pairs)
    # afterwards, when all modules are loaded, which would count as well
    memory = {name: peak_memory(case, {**k, "cache": "none"}) for name, k in settings.items()}
    one, other = variants
    result: dict[str, Any] = {"seconds": seconds, "batches": len(batches), "peak_memory": memory}
    result[f"{one}_over_{other}"] = ratios(seconds[one], seconds[other])
    for name in variants:
        tell(f"epoch of steps, {name}", spread(seconds[name]), " s")
        peak = memory[name]
        print(f"peak of memory, {name}: " + ("not known here" if peak is None else f"{peak / 2**20:.0f} MiB"))
    tell(f"{one} / {other}", result[f"{one}_over_{other}"])
    return result


def peak_memory(case: Case, settings: Mapping[str, Any]) -> int | None:
    """Most memory that training one batch needs: weights, optimizer, activations, gradients.

    Returns:
        Bytes on the GPU, or of resident memory above what this process had before; None where the system tells none.
    """
    _give_back()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    gpu, cpu = torch.cuda.memory_allocated() if torch.cuda.is_available() else 0, _reset_peak()
    training = Training.build(case, settings)
    batch = training.prepare(next(iter(training.loader)), training.device)
    training.epoch([batch] * 2)  # the optimizer's state is there from the second step on
    if training.device.type == "cuda":
        return torch.cuda.max_memory_allocated(training.device) - gpu
    return None if cpu is None else _kilobytes("VmHWM") * 1024 - cpu


def _give_back() -> None:
    """Let go of memory that nobody uses, so that it does not hide what comes next."""
    gc.collect()
    with suppress(OSError, AttributeError):  # only glibc has it
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _reset_peak() -> int | None:
    """Resident bytes, from which on the peak is counted again; None where that cannot be asked for."""
    try:
        CLEAR.write_text("5")
        return _kilobytes("VmRSS") * 1024
    except OSError:
        return None


def _kilobytes(name: str) -> int:
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1])
