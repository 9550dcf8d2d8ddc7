"""Settings of the run: how it stops, what it saves and starts from, where it computes, what it tells."""

from __future__ import annotations

from typing import Any

import torch

from medbundles.handlers import Seeding
from tests.bundles.common_settings.inference import GRAD_CAM, INFERENCE
from tests.bundles.common_settings.run import RUNNING, SOON, STOP, at_start, decided, named, names, validated
from tests.bundles.glioma_settings.bench import REAL
from tests.bundles.setting_bench import Bench, handler, network
from tests.bundles.setting_check import Check

# equal values of the metric that is followed, of the others one rises and one rises later
TIES = [{"val_auc": 0.5, "val_f1": 0.1 + 0.1 * i, "val_acc": 0.1 + 0.1 * (i == 1)} for i in range(4)]


def ties(bench: Bench, **turned: Any) -> dict[str, Any]:
    return decided(bench.look(*TIES, **SOON, **STOP, **turned))


def first_weight_of_backbone(bench: Bench, **turned: Any) -> float:
    """A weight at the start of a run from a pretrained backbone."""
    workflow = bench.workflow(**REAL, **turned)
    handler(workflow, "PretrainedBackbone")(at_start(workflow))
    return network(workflow).backbone.conv1.weight.flatten()[0].item()


def tf32(bench: Bench, **turned: Any) -> list[bool]:
    """What torch may use in matrix products and in convolutions."""
    seeding: Seeding = handler(bench.workflow(**turned), "Seeding")
    before = torch.backends.cuda.matmul.allow_tf32
    try:
        with torch.backends.cudnn.flags():
            seeding.set_flags(None)  # type: ignore[arg-type]
            return [torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32]
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def names_and_folds(bench: Bench, **turned: Any) -> dict[str, str]:
    return {**names(bench, **turned), "folds": bench.get("data", **turned).file.parent.name}


def plots_every(bench: Bench, **turned: Any) -> dict[str, int]:
    workflow = bench.workflow(**turned)
    return {n: handler(workflow, n).every for n in ("ValidationReport", "LearningCurves")}


def intervals(bench: Bench, **turned: Any) -> dict[str, Any]:
    """Epochs that are validated, and how often the statistics for it are made."""
    precise = handler(bench.workflow(**turned), "PreciseBatchNorm").interval
    return {"validated": validated(bench, **turned), "statistics": precise}


def precise_bn(bench: Bench, **turned: Any) -> int:
    return handler(bench.workflow(**turned), "PreciseBatchNorm").batches


RUN = {
    **RUNNING,
    **INFERENCE,
    **GRAD_CAM,
    "early_stopping#tie_break": Check(ties, "val_acc", {"trained": [1, 2, 3], "best.pt": 2, "best in history": 2}),
    "early_stopping#tie_break (off)": Check(ties, False, {"trained": [1, 2], "best.pt": 1, "best in history": 1}),
    "pretrained_path": Check(first_weight_of_backbone, lambda bench: str(bench.backbone), 0.25),
    "tf32": Check(tf32, False, [False, False]),
    "experiment#name": Check(names_and_folds, "mine", {**named("mine", "/fold_0"), "folds": "mine"}),
    "val_interval": Check(intervals, 2, {"validated": [2, 4], "statistics": 2}),  # in place of the shared one
    "precise_bn": Check(precise_bn, 3, 3),
    "plot_interval": Check(plots_every, 2, {"ValidationReport": 2, "LearningCurves": 2}),
}
