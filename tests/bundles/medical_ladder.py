"""The segmentation bundle on the ladder, with pictures and with volumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.bundles.ladder import Bundle
from tools.phantoms.organs import make_organs


def make_data(folder: Path, seed: int = 0) -> None:
    make_organs(folder, seed=seed, scans=16, size=32)
    make_organs(folder.with_name("other"), seed=seed + 1, scans=2, size=40)
    (folder.with_name("other") / "images").rename(folder.with_name("new"))


def make_volumes(folder: Path) -> None:
    make_organs(folder, scans=16, size=24, dims=3)
    make_organs(folder.with_name("other"), seed=1, scans=2, size=28, dims=3)
    (folder.with_name("other") / "images").rename(folder.with_name("new"))


SCORES = ("dice", "iou", "accuracy", "precision", "recall", "loss", "dice_loss", "ce_loss", "boundary_loss")
MEDICAL = Bundle(
    name="medical_segmentation",
    make_data=make_data,
    tiny={
        "out_channels": 3, "image_size": 32, "batch_size": 2, "test_split": 0.25, "train_split": 0.7, "lr": 1e-3,
        "network_def#base_channels": 4, "network_def#depth": 2, "publish": False, "report": False, "num_workers": 0,
    },
    hard={
        "network_def#dropout": 0.2, "augmentation_strength": "strong", "sampling": "oversample", "patch_size": [24, 16],
        "patches_per_image": 8, "loss#boundary_weight": 0.2, "loss#boundary_ramp": 2, "scheduler#monitor": "val_dice",
        "scheduler#mode": "max",
    },
    split={"test_split": 0.25, "train_split": 0.7},
    two={},
    logged=frozenset(
        {
            *("train_loss", "train_dice_loss", "train_ce_loss", "train_dice", "lr", "grad_norm_mean", "grad_norm_max"),
            *(f"val_{name}" for name in SCORES),
        }
    ),
    said=("Epoch 3/3", "Train - Loss", "effective batch 4 = 2 x 2 accumulated", "classes in the "),
    left=frozenset(
        {
            "plots/learning_curves.png",
            "plots/augmented_samples.png",
            *(f"checkpoints/{name}" for name in ("best.pt", "last.pt", "epoch_002.pt", "trained.json")),
            *(f"metrics/{name}" for name in ("metrics.json", "val_metrics.json", "val_metrics.csv")),
            *("predictions/val_names.json", "predictions/predictions.csv"),
            *("config/config.json", "config/environment.json", "config/split.json", "logs/train.log"),
        }
    ),
    inputs=("scan_001", "scan_002"),
    pictures=("masks/{}_mask.png", "overlays/{}.jpg"),
    drawn="worst_dice_1.png",
    mistakes={
        "misspelt": ({"image_sizes": 32}, "unknown id 'image_sizes'; did you mean 'image_size'?"),
        "value": (
            {"image_size": [32, 32, 32], "loss#ce_weight": 0.0, "loss#dice_weight": 0.0},  # all that is wrong
            "image_size: [32, 32, 32] has 3 numbers; spatial_dims is 2: give so many, or one.",
        ),
        "no data": ({"dataset_dir": "/nowhere"}, "Give the folder with images/ and labels/"),
        "batch": ({"batch_size": 500}, "batch_size: one batch needs 500 training items"),
        "no weights": ({"init_from": "/nowhere/best.pt"}, "/nowhere/best.pt does not exist"),
    },
)  # fmt: skip
VOLUMES = replace(
    MEDICAL,
    name="medical_segmentation (3D)",
    make_data=make_volumes,
    tiny=MEDICAL.tiny | {"spatial_dims": 3, "image_size": 16, "network_def#base_channels": 2},
    hard={name: value for name, value in MEDICAL.hard.items() if name != "patch_size"},
    pictures=("masks/{}_mask.nii.gz", "overlays/{}.jpg"),
    of_inputs={"spatial_dims": 3},
    mistakes=MEDICAL.mistakes
    | {"value": ({"patch_size": 16}, "patch_size: 16 is for pictures; of volumes image_size is the patch")},
)
