"""What the benches must know of a bundle: its small settings, its phantoms, its score, and which benches it has."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medbundles.errors import ConfigError
from tools.phantoms.graded import make_graded_phantoms
from tools.phantoms.slices import make_phantoms
from tools.prepare.lgg import prepare_lgg

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
COMMON = ("trainer", "augmentation", "amp", "amp_score", "cache", "startup")
SLICES = 6  # per phantom patient
VOLUMES, SIDE = 16, 128  # for the caches: volumes as large as those that the network is made for


@dataclass(frozen=True)
class Subject:
    """A bundle under measurement.

    Args:
        size: id of the image's size.
        score: the validator's metric that tells whether a short training has learnt something.
        training: settings of that short training.
        phantoms: writes a dataset with at least so many training images into a folder, and returns how many they are.
        sample: writes sample data as the verb sample-data does.
        cache_data: folder, --slices_dir -> data that take time to read, or "" and the reason why there are none.
        benches: which there are, in their order.
        settings: of all benches but startup: small, nothing random.
        start_settings: of the bench startup.
        own_data_settings: of the bench startup, further ones on data that the user names.
        epoch_seconds: how long an epoch on phantoms should take: what is paid once per epoch weighs in it as in a
            training.
        cache_on_own_data: whether the caches are measured on data that the user names.
    """

    size: str
    score: str
    training: Mapping[str, Any]
    phantoms: Callable[[Path, int], int]
    sample: Callable[[Path], Any]
    cache_data: Callable[[Path, str], tuple[str, str]]
    benches: tuple[str, ...] = COMMON
    settings: Mapping[str, Any] = field(default_factory=dict)
    start_settings: Mapping[str, Any] = field(default_factory=dict)
    own_data_settings: Mapping[str, Any] = field(default_factory=dict)
    epoch_seconds: float = 3.0
    cache_on_own_data: bool = True


def _slices(folder: Path, images: int) -> int:
    patients = max(4, -(-images // SLICES))
    make_phantoms(folder, patients=(patients, 6, 1), slices=SLICES, pictures=(0, 0, 0))
    return patients * SLICES


def _real_slices(folder: Path, slices_dir: str) -> tuple[str, str]:
    raw = Path(slices_dir or Path(os.environ.get("MEDBUNDLES_DATA", SHARED)) / "lgg_kaggle3m")
    if not raw.is_dir():
        return "", f"left out: {raw} is not there; name a kaggle_3m folder with --slices_dir"
    prepare_lgg(str(raw), str(folder))
    return str(folder), ""


def _volumes(folder: Path, images: int) -> int:
    """Two folds, one of which is trained on: so as many cases of each grade as are wanted for training."""
    cases = max(images, 4)
    make_graded_phantoms(folder, cases=(cases, cases))
    return cases


def _large_volumes(folder: Path, slices_dir: str) -> tuple[str, str]:
    if slices_dir:
        raise ConfigError("--slices_dir: this bundle reads volumes; name them with --dataset_dir")
    make_graded_phantoms(folder, cases=(VOLUMES // 2, VOLUMES // 2), size=SIDE)
    return str(folder), ""


_ONLY_SLICES = {"kaggle_train_dir": False, "kaggle_val_dir": False}
# a run of few epochs would be refused because re-weighting begins after its end; a bare loop has no second pass over
# the data for the statistics of batch normalisation
_SHORT = {"drw_start_epoch": False, "plot_interval": 0, "precise_bn": 0}

SUBJECTS = {
    "brain_tumor_multitask_unet": Subject(
        size="image_size",
        score="val_dice",
        training={"lr": 1e-3, "encoder_lr": 1e-3},
        phantoms=_slices,
        sample=make_phantoms,
        cache_data=_real_slices,
        settings={"image_size": 128, "batch_size": 8, **_ONLY_SLICES},
        own_data_settings=_ONLY_SLICES,
        cache_on_own_data=False,  # prepared slices are measured on real ones
    ),
    "glioma_grading_resnet50_3d": Subject(
        size="spatial_size",
        score="val_auc",
        training={"lr": 1e-3},
        phantoms=_volumes,
        sample=make_graded_phantoms,
        cache_data=_large_volumes,
        benches=(*COMMON, "layout", "channels_last"),
        settings={"batch_size": 4, "folds": 2, **_SHORT},
        start_settings=_SHORT,
        epoch_seconds=14.0,
    ),
}


def subject_of(folder: Path) -> Subject:
    """What is known of a bundle.

    Raises:
        ConfigError: nothing.
    """
    if folder.name not in SUBJECTS:
        raise ConfigError(f"bench: {folder.name} is not known here; there are: {', '.join(SUBJECTS)}")
    return SUBJECTS[folder.name]
