"""The glioma bundle on the ladder."""

from __future__ import annotations

from pathlib import Path

from tests.bundles.ladder import Bundle
from tests.small_volumes import shrink
from tools.phantoms.graded import make_graded_phantoms

# as document 004 names them, and the calibration
PLOTS = ("loss_curve", "learning_curves", "confusion_matrix", "roc_curve", "pr_curve")


def make_data(folder: Path, seed: int = 0) -> None:
    """Classes so unequal that the re-weighting changes something."""
    make_graded_phantoms(folder, seed=seed, cases=(10, 4), size=32)
    make_graded_phantoms(folder.with_name("new"), seed=seed + 1, cases=(1, 1), size=32)
    for made in (folder, folder.with_name("new")):
        shrink(made)


GLIOMA = Bundle(
    name="glioma_grading_resnet50_3d",
    make_data=make_data,
    tiny={
        "depth": 10, "spatial_size": [16, 16, 16], "folds": 2, "batch_size": 2, "drw_start_epoch": 2,
        "publish": False, "report": False, "num_workers": 0,
    },
    hard={"plot_interval": 2},  # the cosine head and its dropout are on, the re-weighting begins in the middle
    split={"folds": 2},
    two={},
    logged=frozenset(
        {
            *("train_loss", "train_auc", "train_acc", "lr", "grad_norm_mean", "grad_norm_max"),
            *(f"val_{name}" for name in ("loss", "acc", "precision", "recall", "f1", "auc", "class_threshold")),
        }
    ),
    said=("Epoch 3/3", "Train - Loss", "loss: from epoch 2 on the classes weigh 1.5811, 1.0000"),
    left=frozenset(
        {
            *(f"plots/{name}.png" for name in (*PLOTS, "reliability")),
            *(f"plots/{name}_epoch_2.png" for name in PLOTS),
            *(f"checkpoints/{name}" for name in ("best.pt", "last.pt", "epoch_002.pt", "trained.json")),
            *(f"metrics/{name}" for name in ("metrics.json", "val_metrics.json", "val_metrics.csv")),
            *(f"predictions/val_{name}" for name in ("probs.npy", "preds.npy", "labels.npy", "names.json")),
            *("config/config.json", "config/environment.json", "logs/train.log", "predictions/predictions.csv"),
            "config/class_baselines.json",
            "config/split.json",
        }
    ),
    inputs=("phantom_001", "phantom_002"),
    pictures=("gradcam/{}.jpg",),
    mistakes={
        "misspelt": ({"drw_start": 3}, "unknown id 'drw_start'; did you mean 'drw_start_epoch'?"),
        "value": (
            {"epochs": 3, "drw_start_epoch": 4, "sampling": "balanced"},  # all that is wrong is told at once
            "drw_start_epoch: 4 is beyond epochs (3); the classes would never be re-weighted. Use 1 to 3, or "
            "--drw_start_epoch False for none.\nsampling: balanced comes on top of the margins of loss#name ldam and "
            "drw_start_epoch 4; one way of balancing",
        ),
        "no data": ({"dataset_dir": "/nowhere"}, "python -m tools sample-data --kind grades"),
        "batch": ({"batch_size": 500}, "batch_size: one batch needs 500 training items"),
        "no weights": ({"pretrained_path": "/nowhere/resnet_10.pth"}, "/nowhere/resnet_10.pth does not exist"),
    },
)  # fmt: skip
