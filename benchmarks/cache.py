"""What the caches gain from the second epoch on: the first, which fills them, is not counted."""

from __future__ import annotations

from typing import Any

from benchmarks.parts import Case, Training, ratios, spread, take_turns, tell

ROUNDS = 5  # at most: an epoch over all images is long
CACHES = ("none", "disk", "memory")


def measure(case: Case) -> dict[str, Any]:
    """Epochs with each cache in turn."""
    data, reason = case.cache_data()
    if reason:
        print(reason)
        return {"skipped": reason}
    epochs = {}
    for cache in CACHES:
        # an output folder of its own: a split into folds that another bench left there belongs to other data
        folders = {name: str(case.temporary / f"caches_{name}") for name in ("cache_dir", "output_dir")}
        settings = case.all_settings(dataset_dir=data, cache=cache, **folders)
        epochs[cache] = _Epoch(Training.build(case, settings))
    seconds = take_turns(epochs, min(case.pairs, ROUNDS))
    result: dict[str, Any] = {"batches": len(epochs["none"].training.loader), "seconds": seconds}
    result["waiting"] = {cache: spread(epoch.waiting[1:]) for cache, epoch in epochs.items()}
    tell("epoch without a cache", spread(seconds["none"]), " s")
    for cache in CACHES:
        if cache != "none":
            result[f"{cache}_over_none"] = ratios(seconds[cache], seconds["none"])
            tell(f"epoch with cache {cache} / none", result[f"{cache}_over_none"])
        tell(f"share of the epoch spent waiting for data, {cache}", result["waiting"][cache])
    return result


class _Epoch:
    def __init__(self, training: Training):
        self.training = training
        self.waiting: list[float] = []  # share of the epoch

    def __call__(self, number: int) -> float:
        seconds, waited = self.training.loaded_epoch(number + 1)
        self.waiting.append(waited / seconds)
        return seconds
