"""The dental bundle on the ladder, with pictures and with volumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.bundles.ladder import Bundle
from tools.phantoms.graded import make_graded_phantoms
from tools.phantoms.jaws import make_jaws


def make_data(folder: Path, seed: int = 0) -> None:
    make_jaws(folder, seed=seed, jaws=(10, 8), size=32)
    make_jaws(folder.with_name("new"), seed=seed + 1, jaws=(1, 1), size=40)


def make_volumes(folder: Path) -> None:
    make_graded_phantoms(folder, cases=(10, 4), size=24)
    make_graded_phantoms(folder.with_name("new"), seed=1, cases=(1, 1), size=26)


SCORES = ("l1", "mse", "psnr", "ssim", "kl", "kl_per_element", "active_channels", "latent_mean", "latent_std")
DENTAL = Bundle(
    name="dental_vae_autoencoder",
    make_data=make_data,
    tiny={
        "data_source": "both", "test_split": 0.2, "train_split": 0.7, "batch_size": 2, "patch_size": [16, 16],
        "network_def#channels": [4, 8], "network_def#attention_levels": [False, True], "network_def#norm_num_groups": 2,
        "network_def#num_res_blocks": 1, "lr": 1e-3, "perceptual_weight": 0.0, "publish": False, "report": False,
        "num_workers": 0,
    },
    hard={"augment": True, "ema_decay": 0.9, "final_patch_size": [24, 24], "final_patch_epochs": 1},
    split={"data_source": "both", "test_split": 0.2, "train_split": 0.7},
    two={},
    logged=frozenset(
        {
            *("train_loss", "train_recon_loss", "train_kl_loss", "train_l1", "lr", "grad_norm_mean", "grad_norm_max"),
            *(f"val_{name}" for name in (*SCORES, "latent_scale", "l1_patch", "l1_gap", "loss", "recon_loss")),
        }
    ),
    said=("Epoch 3/3", "Train - Loss", "effective batch 4 = 2 x 2 accumulated"),
    left=frozenset(
        {
            "plots/learning_curves.png",
            *(f"plots/reconstruction_epoch_{epoch}.png" for epoch in (1, 2, 3)),
            *(f"checkpoints/{name}" for name in ("best.pt", "last.pt", "epoch_002.pt", "trained.json")),
            *(f"metrics/{name}" for name in ("metrics.json", "val_metrics.json", "val_metrics.csv")),
            *("predictions/val_names.json", "predictions/predictions.csv"),
            *("config/config.json", "config/environment.json", "config/split.json", "logs/train.log"),
        }
    ),
    inputs=("edente/jaw_001", "dente/jaw_002"),
    pictures=("reconstructions/{}.png", "latents/{}.npz"),
    tables=("reconstructions.csv", "predictions.json"),
    drawn="worst_reconstruction_1.png",
    mistakes={
        "misspelt": ({"kl_wight": 1e-6}, "unknown id 'kl_wight'; did you mean 'kl_weight'?"),
        "value": (
            {"network_def#norm_num_groups": 3, "patch_size": [16, 15], "final_patch_epochs": 9},  # all that is wrong
            "network_def#norm_num_groups: 3 does not divide the channels [4, 8]; use one of [1, 2, 4].",
        ),
        "no data": ({"dataset_dir": "/nowhere"}, "Give the folder that holds edente/ and dente/"),
        "batch": ({"batch_size": 500}, "batch_size: one batch needs 500 training items"),
        "no weights": ({"init_from": "/nowhere/best.pt"}, "/nowhere/best.pt does not exist"),
    },
)  # fmt: skip
VOLUMES = replace(
    DENTAL,
    name="dental_vae_autoencoder (3D)",
    make_data=make_volumes,
    tiny=DENTAL.tiny | {"spatial_dims": 3, "patch_size": [8, 8, 8], "data_source": ["HGG", "LGG"]},
    hard=DENTAL.hard | {"final_patch_size": [12, 12, 12]},
    split=DENTAL.split | {"data_source": ["HGG", "LGG"]},
    inputs=("HGG/phantom_001/phantom_001_flair", "LGG/phantom_002/phantom_002_flair"),
    pictures=("reconstructions/{}.nii.gz", "latents/{}.npz"),
    of_inputs={"spatial_dims": 3, "patch_size": [8, 8, 8]},
    mistakes=DENTAL.mistakes
    | {"value": ({"patch_size": [8, 8]}, "patch_size: [8, 8] has 2 numbers; spatial_dims is 3, so 3 are wanted.")},
)
