"""What augmentation costs an epoch, with and without worker processes."""

from __future__ import annotations

from typing import Any

from benchmarks.parts import Case, Training, ratios, spread, take_turns, tell

WORKERS = (0, 2)


def measure(case: Case) -> dict[str, Any]:
    """Epochs with augmentation on and off, in turn, for each number of workers."""
    data = case.data()
    trainings = {
        (on, workers): Training.build(
            case, case.all_settings(dataset_dir=data, augmentation__enabled=on, num_workers=workers)
        )
        for workers in WORKERS
        for on in (False, True)
    }
    measures = {f"{on} {workers}": _Epoch(training) for (on, workers), training in trainings.items()}
    seconds = take_turns(measures, case.pairs)
    result: dict[str, Any] = {}
    for workers in WORKERS:
        on, off = seconds[f"True {workers}"], seconds[f"False {workers}"]
        result[f"workers_{workers}"] = {"on": on, "off": off, "on_over_off": ratios(on, off)}
        tell(f"{workers} workers: epoch without augmentation", spread(off), " s")
        tell(f"{workers} workers: epoch with / without augmentation", result[f"workers_{workers}"]["on_over_off"])
    return result


class _Epoch:
    def __init__(self, training: Training):
        self.training = training

    def __call__(self, number: int) -> float:
        return self.training.loaded_epoch(number + 1)[0]
