"""What mixed precision gains."""

from __future__ import annotations

from typing import Any

from benchmarks.parts import Case, Epoch, Training, ratios, spread, take_turns, tell

VARIANTS: dict[str, bool | str] = {"auto": "auto", "float32": False}


def measure(case: Case) -> dict[str, Any]:
    """Epochs of steps with amp auto and False in turn."""
    data = case.data()
    trainings = {
        name: Training.build(case, case.all_settings(dataset_dir=data, amp=amp)) for name, amp in VARIANTS.items()
    }
    chosen = "mixed precision" if trainings["auto"].inferer.amp else "float32"
    batches = trainings["auto"].batches()
    seconds = take_turns({name: Epoch(t, batches) for name, t in trainings.items()}, case.pairs)
    result: dict[str, Any] = {"auto_is": chosen, "seconds": seconds, "batches": len(batches)}
    result["float32_over_auto"] = ratios(seconds["float32"], seconds["auto"])
    print(f"auto is {chosen} on this machine")
    tell("epoch of steps in float32", spread(seconds["float32"]), " s")
    tell("float32 / auto (above 1: auto is quicker)", result["float32_over_auto"])
    return result
