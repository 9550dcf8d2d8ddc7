"""Settings of the run and of inference: how it stops, what it keeps, what is written."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from tests.bundles.common_settings.inference import INFERENCE, MASKS, writer
from tests.bundles.common_settings.run import (
    FOLDERS,
    RUNNING,
    SOON,
    apart,
    decided,
    first_epoch,
    named,
    names,
    seeded,
)
from tests.bundles.setting_bench import Bench, handler
from tests.bundles.setting_check import Check


def kept(bench: Bench, **turned: Any) -> list[str]:
    return bench.look(*apart(bench), **{"checkpointing#save_frequency": 1}, **turned).checkpoints()


def stopping(bench: Bench, **turned: Any) -> dict[str, Any]:
    """What all that follows a metric makes of it; the schedule has its own."""
    run = bench.look(*apart(bench), **SOON, **{"early_stopping#patience": 2}, **turned)
    key = bench.get("validate#evaluator", **turned).state.key_metric_name
    value = run.json("metrics/metrics.json")["summary"]["best_value"]
    return {**decided(run), "best value": round(value, 6), "key metric": key}


def split(bench: Bench, **turned: Any) -> dict[str, list[str]]:
    parts = bench.get("data", **turned)
    return {part: [item["name"] for item in items] for part, items in parts.items()}


def largest(bench: Bench, **turned: Any) -> float:
    """Largest gradient when the optimizer steps, of two that are 1 and 3."""
    workflow = bench.workflow(**turned)
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([1.0, 3.0])
    optimizer = torch.optim.SGD([weight], lr=1.0)
    state = SimpleNamespace(iteration=1, epoch_length=1)
    engine = SimpleNamespace(state=state, accumulation_steps=1, scaler=None, optimizer=optimizer)
    handler(workflow, "GradientClip")(engine)
    return round(float(weight.grad.max()), 3)


def augmentation_picture(bench: Bench, **turned: Any) -> bool:
    """Whether a run shows augmented samples."""
    return (first_epoch(bench, **turned).folder / "plots/augmented_samples.png").is_file()


def overlays(bench: Bench, **turned: Any) -> bool:
    return writer(bench, **turned).overlays


def rising(value: float, name: str) -> dict[str, Any]:
    """What `stopping` tells of a metric of this name that gets better up to this value."""
    return {"trained": [1, 2, 3, 4], "best.pt": 4, "best in history": 4, "best value": value, "key metric": name}


RUN = {
    **RUNNING,
    **FOLDERS,
    **INFERENCE,
    "experiment#name": Check(names, "mine", named("mine")),
    "grad_clip_type": Check(largest, "value", 2.0, given={"grad_clip": 2.0}),
    "checkpointing#save_best_only": Check(kept, True, ["best.pt"]),
    # in place of the shared ones: the schedule follows the loss, whatever stops the training
    "early_stopping#monitor": Check(stopping, "val_iou", rising(0.4, "val_iou")),
    "early_stopping#mode": Check(
        stopping, "min", rising(0.2, "val_loss"), along={"early_stopping#monitor": "val_loss"}
    ),
    "seed": Check(seeded, 7, given={"folds": 4}),  # whose split does not hang on it
    "seed (split)": Check(split, 7),
    "augmentation_picture": Check(augmentation_picture, False, False),
    **MASKS,
    "overlays": Check(overlays, False, False),
}
