"""The bench of the glioma bundle: small heads of noise, other heads, a third class, files that cannot be read."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigWorkflow
from torch import nn

from medbundles.data import GradedFolds, SplitRecord
from tests.bundles.setting_bench import Bench

BUNDLE = "glioma_grading_resnet50_3d"
CASES = {"HGG": 8, "LGG": 6}
MODALITIES = ("flair", "t1", "t1ce", "t2")
SIDE = 24  # voxels of 1 mm, so that nothing is resampled on the way
REAL: dict[str, Any] = {"network_def#_target_": ...}  # takes the thin network back


class ThinNet(nn.Module):
    """Stands in for the ResNet, whose 14 million parameters would be written to disk by every run."""

    def __init__(self, in_channels: int, num_classes: int, scale: float, **_: Any):
        super().__init__()
        self.backbone = nn.Sequential()
        self.backbone.add_module("conv1", nn.Conv3d(in_channels, 4, 3, stride=2, padding=1))
        self.backbone.add_module("layer1", nn.Identity())  # where the heat maps look
        self.backbone.add_module("layer4", nn.Conv3d(4, 4, 3, stride=2, padding=1))
        self.head = nn.Linear(4, num_classes)
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Volume (B, C, X, Y, Z) -> logits (B, N)."""
        return self.scale * self.head(self.backbone(x).mean(dim=(2, 3, 4)))


class GliomaBench(Bench):
    """See `Bench`."""

    followed, other_metric = "val_auc", "val_acc"

    def __init__(self, folder: Path):
        super().__init__(
            BUNDLE,
            folder,
            {
                "depth": 10,
                "spatial_size": [16, 16, 16],
                "network_def#_target_": f"{__name__}.ThinNet",
                "batch_size": 2,
                "drw_start_epoch": False,  # the default is beyond the few epochs of a check
                "plot_interval": 0,
            },
        )
        self.three_classes = folder / "three_classes"
        for seed, (path, cases) in enumerate(
            ((self.data, CASES), (self.other_data, CASES), (self.three_classes, {**CASES, "MID": 5}))
        ):
            _make_heads(path, cases, np.random.default_rng(seed))
        self.no_split = folder / "no_split.json"
        self.no_split.write_text(json.dumps({"parts": {"train": [], "val": []}}))
        self.image = str(self.data / "HGG/HGG_0/HGG_0_flair.nii.gz")
        self.numbers = itertools.count()
        self._spoil()
        self._files()

    def workflow(self, *files: str, **overrides: Any) -> ConfigWorkflow:
        """An evaluation is held against no training, unless a check names one: others publish on the same data."""
        own = {"earlier_split": str(self.no_split)} if "evaluate" in files else {}
        return super().workflow(*files, **{**own, **overrides})

    def metrics(self, value: float) -> dict[str, float]:
        return {**super().metrics(value), "val_f1": 0.5}

    def own_folds(self) -> dict[str, str]:
        return {"folds_file": str(self.folder / "folds" / f"{next(self.numbers)}.json")}

    def _spoil(self) -> None:
        """One file without a header, which is seen at once; in each part one with NaN, seen when it is read."""
        shutil.copytree(self.data, self.bad_data)
        (self.bad_data / "HGG/HGG_0/HGG_0_flair.nii.gz").write_text("no volume")
        parts = GradedFolds(self.bad_data, "flair", ["LGG", "HGG"], skip_bad_files=True)
        self.readable = {"train": len(parts["train"]) - 1, "val": len(parts["val"]) - 1}
        for level, part in enumerate(self.readable):  # not identical: such files would share a fold
            volume = np.full((SIDE, SIDE, SIDE), float(level))
            volume[0] = np.nan
            _save(volume, next(item["image"] for item in parts[part] if item["grade"] == "HGG"))

    def _files(self) -> None:
        self.weights = self.save_weights("weights.pt")
        self.backbone = self.save_weights("backbone.pt", "backbone", **REAL)
        # the usual split, with the first two folds in each other's place
        self.other_folds = self.folder / "swapped.json"
        split = GradedFolds(self.data, "flair", ["LGG", "HGG"], file=self.other_folds)
        self.first_folds = [_names(split, fold) for fold in (0, 1)]
        content = split.record()[1]
        content["cases"]["0"], content["cases"]["1"] = content["cases"]["1"], content["cases"]["0"]
        self.other_folds.write_text(json.dumps(content))
        # what a training had that saw the usual test fold
        self.split = self.folder / "split.json"
        seen = GradedFolds(self.data, "flair", ["LGG", "HGG"], fold=1)
        record = SplitRecord(seen, SimpleNamespace(folder=lambda name: self.folder)).record()
        self.split.write_text(json.dumps(record[1]))
        self.save_result(grad_cam="gradcam/a.png")


def _names(split: GradedFolds, fold: int) -> list[str]:
    return [name for name, its in sorted(split.assignment.items()) if its == fold]


def _make_heads(folder: Path, cases: dict[str, int], rng: np.random.Generator) -> None:
    """Balls of noise in the layout of BraTS 2018, every modality with a brightness of its own."""
    axis = np.arange(SIDE) - (SIDE - 1) / 2
    inside = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) < (0.4 * SIDE) ** 2
    for grade, count in cases.items():
        for i in range(count):
            place = folder / grade / f"{grade}_{i}"
            place.mkdir(parents=True)
            for level, modality in enumerate(MODALITIES):
                volume = inside * (100 * (level + 1) + rng.normal(0, 10, inside.shape))
                _save(volume, place / f"{grade}_{i}_{modality}.nii.gz")


def _save(volume: np.ndarray, path: str | Path) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(volume.astype(np.float32), np.eye(4)), path)
