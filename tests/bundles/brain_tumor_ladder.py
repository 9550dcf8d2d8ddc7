"""The brain tumour bundle on the ladder."""

from __future__ import annotations

from pathlib import Path

from tests.bundles.ladder import Bundle
from tools.phantoms.slices import make_phantoms

PLOTS = ("learning_curves", "confusion_matrix", "roc_curve", "pr_curve")


def make_data(folder: Path, seed: int = 0) -> None:
    make_phantoms(folder, seed=seed, patients=(4, 3, 3), slices=2, size=64, pictures=(12, 8, 8))
    folder.with_name("new").symlink_to(folder / "test/images")


BRAIN = Bundle(
    name="brain_tumor_multitask_unet",
    make_data=make_data,
    tiny={
        "image_size": 32,
        "base_filters": 4,
        "depth": 3,
        "batch_size": 4,
        "publish": False,
        "report": False,
        "num_workers": 0,
    },
    hard={},
    split={},
    # frozen parts, and mixed batches so small that a rank's batch may lack a mask
    two={"batch_size": 2, "frozen": "['encoder']", "mixing#sampling": "weighted"},
    logged=frozenset(
        {"train_loss", "train_dice", "train_acc", "val_loss", "val_combined", "val_dice", "val_auc", "grad_norm_max"}
    ),
    said=("Epoch 3/3", "Train - Loss"),
    left=frozenset(
        {
            *(f"plots/{name}.png" for name in PLOTS),
            *(f"checkpoints/{name}" for name in ("best.pt", "last.pt", "epoch_002.pt", "trained.json")),
            *(f"metrics/{name}" for name in ("metrics.json", "val_metrics.json", "val_metrics.csv")),
            *(f"predictions/val_{name}" for name in ("probs.npy", "preds.npy", "labels.npy", "names.json")),
            *("config/config.json", "config/environment.json", "config/split.json"),
            "config/class_baselines.json",
            *("logs/train.log", "predictions/predictions.csv"),
        }
    ),
    inputs=tuple(f"phantom_{patient:03d}/slice_{number:02d}" for patient in (8, 9, 10) for number in (0, 1)),
    pictures=("masks/{}_mask.png", "overlays/{}.jpg", "gradcam/{}.jpg"),
    mistakes={
        "misspelt": ({"batchsize": 4}, "unknown id 'batchsize'; did you mean 'batch_size'?"),
        "value": ({"amp": "false"}, "amp: 'false' is text. Write False"),
        "no data": ({"dataset_dir": "/nowhere"}, "python -m tools sample-data"),
        "batch": (
            {"batch_size": 500, "mixing#mix_datasets": False},
            "batch_size: one batch needs 500 training items",
        ),
        "no weights": ({"init_from": "/nowhere/best.pt"}, "init_from: /nowhere/best.pt does not exist"),
    },
)
