"""The bundles whose settings are tested, and what differs between them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medbundles.preflight.schema import Setting, read_settings
from tests.bundles.brain_tumor_settings import bench as brain_tumor_bench
from tests.bundles.brain_tumor_settings.checks import CHECKS as BRAIN_CHECKS
from tests.bundles.dental_settings import bench as dental_bench
from tests.bundles.dental_settings.checks import CHECKS as DENTAL_CHECKS
from tests.bundles.glioma_settings import bench as glioma_bench
from tests.bundles.glioma_settings.checks import CHECKS as GLIOMA_CHECKS
from tests.bundles.medical_segmentation_settings import bench as medical_bench
from tests.bundles.medical_segmentation_settings.checks import CHECKS as MEDICAL_CHECKS
from tests.bundles.setting_bench import BUNDLES, Bench
from tests.bundles.setting_check import Check, setting_of

TOOLS = Path(__file__).parents[2] / "tools"
PACKAGE = Path(__file__).parents[2] / "shared/medbundles"


@dataclass(frozen=True)
class Case:
    """A bundle.

    Args:
        name: short, for the names of the tests.
        bundle: its folder's name.
        bench: makes its bench in an empty folder.
        checks: of its settings, by setting and perhaps a word in brackets.
        not_ids: parameters of the documents that are no id, and the file of the bundle (or elsewhere) that they are.
        misspelt: unknown ids, and the line that the preflight has for each.
    """

    name: str
    bundle: str
    bench: Callable[[Path], Bench]
    checks: Mapping[str, Check]
    not_ids: Mapping[str, str | Path] = field(default_factory=dict)
    misspelt: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    @property
    def configs(self) -> Path:
        return BUNDLES / self.bundle / "configs"

    @property
    def settings(self) -> dict[str, Setting]:
        return {setting.id: setting for setting in read_settings(self.configs / "schema.json")}

    def config(self, name: str) -> dict[str, Any]:
        return json.loads((self.configs / f"{name}.json").read_text(encoding="utf-8"))

    def checks_of(self, setting: str) -> list[Check]:
        return [check for name, check in self.checks.items() if setting_of(name) == setting]


BRAIN = Case(
    "brain",
    brain_tumor_bench.BUNDLE,
    brain_tumor_bench.BrainTumorBench,
    BRAIN_CHECKS,
    not_ids={
        "validation has no augmentation": "configs/train.json",
        "augmentation (stage overlays)": "configs/stage1_seg_warmup.json",
        "stage2_cls_head.json": "configs/stage2_cls_head.json",
        "evaluate.json": "configs/evaluate.json",
        "inference.json / report": "configs/inference.json",
        "python -m tools stages": TOOLS / "stages.py",
    },
    misspelt={
        "batchsize": "unknown id 'batchsize'; did you mean 'batch_size'?",
        "loss#lamda_seg": "unknown id 'loss#lamda_seg'; did you mean 'loss#lambda_seg'?",
        "augmentation#flip_h": "unknown id 'augmentation#flip_h'; did you mean 'augmentation#random_flip_h'?",
    },
)
GLIOMA = Case(
    "glioma",
    glioma_bench.BUNDLE,
    glioma_bench.GliomaBench,
    GLIOMA_CHECKS,
    not_ids={"configs/multi_gpu_train.json": "configs/multi_gpu_train.json"},
    misspelt={
        "modalities": "unknown id 'modalities'; did you mean 'modality'?",
        "loss#max_margin": "unknown id 'loss#max_margin'; did you mean 'loss#max_m'?",
        "drw_start": "unknown id 'drw_start'; did you mean 'drw_start_epoch'?",
    },
)
DENTAL = Case(
    "dental",
    dental_bench.BUNDLE,
    dental_bench.DentalBench,
    DENTAL_CHECKS,
    not_ids={"configs/high_quality.json, fast.json": "configs/high_quality.json"},
    misspelt={
        "kl_wight": "unknown id 'kl_wight'; did you mean 'kl_weight'?",
        "patch_sizes": "unknown id 'patch_sizes'; did you mean 'patch_size'?",
        "network_def#norm_groups": (
            "unknown id 'network_def#norm_groups'; did you mean 'network_def#norm_num_groups'?"
        ),
    },
)
MEDICAL = Case(
    "medical",
    medical_bench.BUNDLE,
    medical_bench.MedicalSegmentationBench,
    MEDICAL_CHECKS,
    not_ids={
        "python -m tools find-lr": TOOLS / "find_lr.py",
        "val_dice, val_iou, val_accuracy, val_precision, val_recall": "configs/train.json",
        "configs/unet_moderate.json, swin_unetr.json, small_dataset.json": "configs/unet_moderate.json",
        "": PACKAGE / "handlers/loss_guard.py",
    },
    misspelt={
        "image_sizes": "unknown id 'image_sizes'; did you mean 'image_size'?",
        "loss#dice_wight": "unknown id 'loss#dice_wight'; did you mean 'loss#dice_weight'?",
        "network_def#base_chanels": (
            "unknown id 'network_def#base_chanels'; did you mean 'network_def#base_channels'?"
        ),
    },
)
CASES = (BRAIN, GLIOMA, DENTAL, MEDICAL)


def every_check() -> list[tuple[Case, str]]:
    """(bundle, name of a check) of all."""
    return [(case, name) for case in CASES for name in case.checks]
