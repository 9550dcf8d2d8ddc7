"""What a component refuses from Python is what the schema refuses from the command line."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import torch
from monai.transforms import Compose
from torch import nn

from medbundles.data import GradedFolds, SeededDataset, image_parts, segmentation_parts
from medbundles.data.batches.balance import class_batches, foreground_batches
from medbundles.data.batches.samplers import MixedBatches
from medbundles.data.lists.earlier_results import check_existing
from medbundles.data.lists.modalities import wanted_modalities
from medbundles.errors import ConfigError, DataError, one_of
from medbundles.handlers import Ema
from medbundles.losses import (
    AutoencoderLoss,
    ClassificationLoss,
    CombinedSegmentationLoss,
    LDAMLoss,
    MultitaskLoss,
    Perceptual,
    SegmentationLoss,
)
from medbundles.networks import GradingResNet, MultitaskUNet, SegmentationNetwork
from medbundles.optimizers import build_optimizer, build_scheduler
from medbundles.preflight.schema import check_value
from medbundles.transforms import LabelledAugmentation, Predictions
from tests.bundles.setting_cases import BRAIN, DENTAL, GLIOMA, MEDICAL, Case


def optimizer(**options: Any) -> torch.optim.Optimizer:
    return build_optimizer(nn.Linear(1, 1), **{"name": "adam", "lr": 0.1, **options})


def scheduler(**options: Any) -> Any:
    return build_scheduler(optimizer(), **{"name": "cosine", "epochs": 10, **options})


def balanced(sampling: str) -> Any:
    return class_batches([{"label": i % 2} for i in range(8)], 2, sampling)


def shared_out(**shares: float) -> None:
    with suppress(DataError):  # there are no images
        image_parts("nowhere", **shares)


def labelled(**options: Any) -> None:
    with suppress(DataError):  # there are no images
        segmentation_parts("nowhere", **options)


def foreground(sampling: str) -> Any:
    return foreground_batches([{"foreground": i % 2} for i in range(8)], 2, sampling)


mixed = partial(MixedBatches, ["a", "b"] * 4, {"a": 0.5, "b": 0.5}, 2)
classes = partial(CombinedSegmentationLoss, 3)
ldam = partial(LDAMLoss, counts=[3, 5])
multitask = partial(MultitaskLoss, SegmentationLoss(), ClassificationLoss())
folds = partial(GradedFolds, "nowhere", "flair", ["LGG", "HGG"])

# what is built, its argument, the bundle, the setting
LIMITS: list[tuple[Callable[..., Any], str, Case, str]] = [
    (SegmentationLoss, "name", BRAIN, "loss#seg_loss#name"),
    (SegmentationLoss, "dice_weight", BRAIN, "loss#seg_loss#dice_weight"),
    (SegmentationLoss, "bce_weight", BRAIN, "loss#seg_loss#bce_weight"),
    (SegmentationLoss, "smooth", BRAIN, "loss#seg_loss#smooth"),
    (ClassificationLoss, "name", BRAIN, "loss#cls_loss#name"),
    (ClassificationLoss, "label_smoothing", BRAIN, "loss#cls_loss#label_smoothing"),
    (multitask, "lambda_seg", BRAIN, "loss#lambda_seg"),
    (multitask, "lambda_cls", BRAIN, "loss#lambda_cls"),
    (MultitaskUNet, "depth", BRAIN, "depth"),
    (MultitaskUNet, "frozen", BRAIN, "frozen"),
    (optimizer, "name", BRAIN, "optimizer#name"),
    (scheduler, "name", BRAIN, "scheduler#name"),
    (scheduler, "mode", BRAIN, "scheduler#mode"),
    (scheduler, "warmup_epochs", BRAIN, "scheduler#warmup_epochs"),
    (scheduler, "warmup_type", BRAIN, "scheduler#warmup_type"),
    (mixed, "sampling", BRAIN, "mixing#sampling"),
    (partial(SeededDataset, [], Compose([]), cache_dir="."), "cache", BRAIN, "cache"),
    (check_existing, "existing", BRAIN, "existing"),
    (Predictions, "mask_threshold", BRAIN, "mask_threshold"),
    (Predictions, "class_threshold", BRAIN, "class_threshold"),
    (Predictions, "volume_threshold", BRAIN, "volume_threshold"),
    (ldam, "name", GLIOMA, "loss#name"),
    (ldam, "max_m", GLIOMA, "loss#max_m"),
    (ldam, "s", GLIOMA, "loss#s"),
    (ldam, "drw_rule", GLIOMA, "loss#drw_rule"),
    (ldam, "drw_beta", GLIOMA, "loss#drw_beta"),
    (ldam, "logit_scale", GLIOMA, "logit_scale"),
    (GradingResNet, "depth", GLIOMA, "depth"),
    (GradingResNet, "layout", GLIOMA, "layout"),
    (GradingResNet, "head", GLIOMA, "head"),
    (folds, "folds", GLIOMA, "folds"),
    (folds, "fold", GLIOMA, "fold"),
    (folds, "selection", GLIOMA, "selection"),
    (folds, "part", GLIOMA, "part"),
    (balanced, "sampling", GLIOMA, "sampling"),
    (wanted_modalities, "modality", GLIOMA, "modality"),
    (AutoencoderLoss, "recon_loss", DENTAL, "recon_loss"),
    (AutoencoderLoss, "kl_weight", DENTAL, "kl_weight"),
    (AutoencoderLoss, "perceptual_weight", DENTAL, "perceptual_weight"),
    (Perceptual, "network", DENTAL, "perceptual#network"),
    (Ema, "decay", DENTAL, "ema_decay"),
    (shared_out, "train_split", DENTAL, "train_split"),
    (shared_out, "test_split", DENTAL, "test_split"),
    (labelled, "train_split", MEDICAL, "train_split"),
    (labelled, "test_split", MEDICAL, "test_split"),
    (labelled, "selection", MEDICAL, "selection"),
    (LabelledAugmentation, "strength", MEDICAL, "augmentation_strength"),
    (foreground, "sampling", MEDICAL, "sampling"),
    (SegmentationNetwork, "norm", MEDICAL, "network_def#norm"),
    (SegmentationNetwork, "dropout", MEDICAL, "network_def#dropout"),
    (classes, "smooth", MEDICAL, "loss#smooth"),
    (classes, "dice_weight", MEDICAL, "loss#dice_weight"),
    (partial(classes, boundary_weight=1.0), "boundary_ramp", MEDICAL, "loss#boundary_ramp"),
]


def at_the_ends(schema: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Values just inside and just outside of what a schema allows."""
    if schema.get("type") == "array":
        return tuple([[value] for value in values] for values in at_the_ends(schema["items"]))  # type: ignore[return-value]
    if "enum" in schema:
        return schema["enum"], ["nonsense"]
    step = 1 if schema["type"] == "integer" else 1e-6
    inside, outside = [], []
    for key, way in (("minimum", 1), ("exclusiveMinimum", 1), ("maximum", -1), ("exclusiveMaximum", -1)):
        if key in schema:
            excluded = key.startswith("exclusive")
            inside.append(schema[key] + way * step * excluded)
            outside.append(schema[key] - way * step * (not excluded))
    return inside, outside


@pytest.mark.parametrize(
    ("build", "argument", "case", "setting"), LIMITS, ids=[f"{case} {name}" for *_, case, name in LIMITS]
)
def test_component_and_schema_have_the_same_limits(build, argument, case, setting):
    schema = case.settings[setting].schema
    inside, outside = at_the_ends(schema.get("anyOf", [schema])[0])
    assert inside
    assert outside
    with torch.device("meta"):  # no weights are made
        for value in inside:
            build(**{argument: value})
        for value in outside:
            with pytest.raises(ConfigError):
                build(**{argument: value})


@pytest.mark.parametrize(
    ("case", "setting", "values"),
    [
        (BRAIN, "image_size", [0, 1.5, True]),
        (BRAIN, "mask_threshold", [1.5, "best", True, float("nan")]),
        (GLIOMA, "class_threshold", [1.5, "best", True, float("nan")]),
        (GLIOMA, "spatial_size", [0, [32, 32], [32, 32, 1.5], True, [32, 32, -1]]),
        (DENTAL, "patch_size", [16, [16], [0, 16], [16, 16.5], [16, 16, 16, 16]]),
        (DENTAL, "final_patch_size", [True, [16], [0, 16]]),
        (DENTAL, "final_patch_epochs", [-1, True]),
        (DENTAL, "window_size", [0, [], [32, 0], True]),
        (DENTAL, "window_overlap", [1, -0.1, float("nan")]),
        (DENTAL, "sample_size", [32, [0, 32], [32, 1.5]]),
        (DENTAL, "interpolate", ["a.png", ["a.png"], True]),
        (DENTAL, "interpolate_steps", [1, True]),
        (DENTAL, "augmentation#random_rotate", [46, -1]),
        (DENTAL, "perceptual#fake_3d_ratio", [0, 1.5]),
        (DENTAL, "network_def#channels", [8, [], [0, 8]]),
        (DENTAL, "data_source", ["", [], [""]]),
        (MEDICAL, "image_size", [15, [256], [0, 256], 1.5, True]),
        (MEDICAL, "patch_size", [15, [256], True]),
        (MEDICAL, "folds", [1, -1, True]),
        (MEDICAL, "out_channels", [0, 257, 1.5]),
        (MEDICAL, "label_names", ["a", [], ["a", "a"], ["a", ""]]),
        (MEDICAL, "regions", ["WT", [1, 2], [], [[]], [[0]], [[1, 1]], [[256]], [[1], [1]], True]),
        (MEDICAL, "label_threshold", [-1, True]),
        (MEDICAL, "ignore_label", [0, 256, True]),
        (MEDICAL, "spacing", ["all", [1, 1], [1, 1, 0]]),
        (MEDICAL, "ct_values", [[1, 2, 3], "wide"]),
        (MEDICAL, "largest_component", [[], [0], [1, 1]]),
        (MEDICAL, "min_size", [-1, [], [-1]]),
        (MEDICAL, "surface_tolerance", [-1, True]),
    ],
)
def test_what_the_transforms_leave_to_the_schema_is_refused_by_it(case, setting, values):
    for value in values:
        assert "allowed" in check_value(case.settings[setting], value)


def test_the_nearest_name_is_given():
    with pytest.raises(ConfigError, match=r"'memori' is unknown; use one of: none, memory; did you mean 'memory'"):
        one_of("cache", "memori", ("none", "memory"))
