"""The troubles of document 001 in the small: what each piece of its advice changes on phantoms."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import numpy as np

from medbundles.errors import MedbundlesError

from ..bundle import build, plain_errors
from ..phantoms.organs import make_organs
from .bundles import MeasuredBundle

Settings = Mapping[str, Any]
SEEDS = (0, 1, 2)
COLUMNS: Mapping[str, Callable[[Mapping[str, np.ndarray]], float]] = {
    "best val_dice": lambda run: run["val_dice"].max(),
    "val_dice at the end": lambda run: run["val_dice"][-1],
    "train_dice - val_dice at the end": lambda run: run["train_dice"][-1] - run["val_dice"][-1],
    "val_loss at the end / its smallest": lambda run: run["val_loss"][-1] / run["val_loss"].min(),
    "epochs": lambda run: len(run["val_dice"]),
}
BASE: Settings = {
    "image_size": 64, "out_channels": 3, "batch_size": 4, "epochs": 12, "lr": 1e-3, "network_def#base_channels": 8,
    "network_def#depth": 3, "test_split": 0.0, "augmentation": False, "augmentation_picture": False, "amp": False,
    "publish": False, "tensorboard": False, "early_stopping#enabled": False, "checkpointing#save_frequency": 100,
    "num_workers": 0, "scheduler#name": "constant",
}  # fmt: skip


@dataclass(frozen=True)
class Trouble:
    """A training that has a trouble, and the advice for it.

    Args:
        settings: of the training in trouble.
        advice: what is tried -> the settings that it changes.
        train: how many phantoms train; as many as 16 others validate.
    """

    settings: Settings
    advice: Mapping[str, Settings]
    train: int = 32


LESION: Settings = {"label_threshold": 2, "out_channels": 2, "epochs": 4}
TROUBLES = {
    "1 NaN": Trouble(
        {"optimizer#name": "sgd", "lr": 1e4, "epochs": 3},
        {
            "--lr 1e3 (a tenth)": {"lr": 1e3},
            "--grad_clip 1.0": {"grad_clip": 1.0},
            "--lr 1e-2": {"lr": 1e-2},
        },
    ),
    "2 nothing is learnt": Trouble(
        {"lr": 1e-6},
        {
            "--lr 1e-5": {"lr": 1e-5},
            "--lr 1e-3": {"lr": 1e-3},
            "--loss#name dice": {"loss#name": "dice"},
            "--network_def#base_channels 16": {"network_def#base_channels": 16},
        },
    ),
    "3 overfitting": Trouble(
        {"epochs": 40},
        {
            "--optimizer#weight_decay 1e-3": {"optimizer#weight_decay": 1e-3},
            "--augmentation True": {"augmentation": True},
            "--augmentation_strength strong": {"augmentation": True, "augmentation_strength": "strong"},
            "--early_stopping#patience 10": {"early_stopping#enabled": True, "early_stopping#patience": 10},
            "--network_def#dropout 0.5": {"network_def#dropout": 0.5},
            "--network_def#base_channels 4": {"network_def#base_channels": 4},
            "--network_def#depth 2": {"network_def#depth": 2},
        },
        train=6,
    ),
    "4 poor convergence": Trouble(
        {"optimizer#name": "sgd", "lr": 1e-3, "network_def#norm": "batch", "batch_size": 1, "epochs": 6},
        {
            "--lr 1e-2": {"lr": 1e-2},
            "--optimizer#name adam": {"optimizer#name": "adam"},
            "--batch_size 4": {"batch_size": 4},
            "--network_def#norm group": {"network_def#norm": "group"},
            "--scheduler#name polynomial": {"scheduler#name": "polynomial"},
            "--network_def#base_channels 16": {"network_def#base_channels": 16},
        },
    ),
    "5 only background": Trouble(
        {**LESION, "loss#name": "cross_entropy"},
        {
            "--loss#name dice": {"loss#name": "dice"},
            '--loss#class_weights "[0.1,0.9]"': {"loss#class_weights": [0.1, 0.9]},
            "--loss#name focal": {"loss#name": "focal"},
            '--loss#name focal --loss#alpha "[0.25,0.75]"': {"loss#name": "focal", "loss#alpha": [0.25, 0.75]},
            "--sampling oversample": {"sampling": "oversample"},
            "--sampling oversample --patch_size 32": {"sampling": "oversample", "patch_size": 32},
        },
    ),
}


def measure(bundle: MeasuredBundle) -> dict[str, Any]:
    """Train with each trouble, without and with each piece of advice, once for each seed; print a table."""
    found: dict[str, Any] = {}
    columns = ("trouble", "what is tried", "stopped", *COLUMNS)
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for name, trouble in TROUBLES.items():
        data = bundle.temporary / f"organs_{trouble.train}"
        if not data.exists():
            make_organs(data, scans=trouble.train + 16)
        split = {"dataset_dir": str(data), "train_split": trouble.train / (trouble.train + 16)}
        settings = {**BASE, **split, **trouble.settings, **bundle.settings}
        found[name] = {}
        for advice, changed in {"in trouble": {}, **trouble.advice}.items():
            runs = [_trained(bundle, {**settings, **changed, "seed": seed}) for seed in SEEDS]
            found[name][advice] = runs
            print(f"| {name} | {advice} | {' | '.join(_cells(runs))} |", flush=True)
    return found


def _cells(runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Mean, smallest and largest over the seeds of each figure in `COLUMNS`."""
    whole = [run for run in runs if "stopped" not in run]
    for run in runs:
        if "stopped" in run:
            print("stopped:", run["stopped"].partition(". ")[0])
    yield f"{len(runs) - len(whole)} of {len(runs)}"
    for figure in COLUMNS.values():
        values = [figure({name: np.array(of) for name, of in run.items()}) for run in whole]
        yield f"{np.mean(values):.3g} ({min(values):.3g} to {max(values):.3g})" if values else "-"


def _trained(bundle: MeasuredBundle, settings: Settings) -> dict[str, Any]:
    """What metrics.json says of a training, or the line that stopped it."""
    out = bundle.temporary / "troubles"
    number = len(list(out.glob("*")))
    settings = {**settings, "output_dir": str(out / str(number)), "cache_dir": str(bundle.temporary / "cache")}
    try:
        with redirect_stdout(StringIO()), plain_errors():
            build(bundle.folder, ("train",), "train", settings).get_parsed_content("train#trainer").run()
    except MedbundlesError as error:
        return {"stopped": str(error)}
    (path,) = (out / str(number)).rglob("metrics.json")
    epochs = json.loads(path.read_text())["epochs"]
    return {name: [epoch[name] for epoch in epochs] for name in ("train_dice", "val_dice", "train_loss", "val_loss")}
