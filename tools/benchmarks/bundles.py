"""A bundle under measurement: its small settings, its phantoms, its score, and what is measured of it."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from medbundles.errors import ConfigError

from ..bundle import build
from ..phantoms.graded import make_graded_phantoms
from ..phantoms.jaws import make_jaws
from ..phantoms.organs import make_organs
from ..phantoms.slices import make_phantoms
from ..prepare.lgg import prepare_lgg
from .training import Training

FILES = ("train", "quick_test")
COMMON = ("trainer", "stock", "augmentation", "amp", "amp_score", "cache", "compiled", "startup", "formats")
BATCHES = (4, 80)  # fewest and most batches of an epoch on phantoms
TIMED_STEPS = 3  # from which the length of an epoch on phantoms is estimated
REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SLICES = 6  # per phantom patient
VOLUMES, SIDE = 16, 128  # for the caches: volumes as large as those that the network is made for


@dataclass
class MeasuredBundle(ABC):
    """A bundle, and what was asked for.

    Args:
        folder: the bundle.
        temporary: everything is written below it.
        settings: of the bundle, as asked for.
        dataset_dir: prepared data, or "" for phantoms.
        slices_dir: raw kaggle_3m folder, or ""; for bundles of slices.
        pairs: repetitions.
        epoch_seconds: how long an epoch on phantoms should take.
        files: the config files that are trained with.
        exported: a zip of it that `export` wrote, or "".

    Attributes:
        measurements: which there are, in their order.
        size: id of the image's size.
        reads: what its images are called.
        augmented: id of the setting that switches augmentation on.
        score: the validator's metric that shows whether a short training has learnt something.
        learning_settings: of that short training.
        small_settings: of all measurements but startup: small, nothing random.
        start_settings: of the measurement startup.
        own_data_settings: of the measurement startup, further ones on data that the user names.
        usual_epoch_seconds: default of epoch_seconds: what is paid once per epoch weighs in it as in a training.
    """

    folder: Path
    temporary: Path
    settings: Mapping[str, Any]
    dataset_dir: str
    slices_dir: str
    pairs: int
    epoch_seconds: float
    files: tuple[str, ...] = FILES
    exported: str = ""

    measurements: ClassVar[tuple[str, ...]] = COMMON
    size: ClassVar[str]
    reads: ClassVar[str] = "images"
    augmented: ClassVar[str] = "augmentation#enabled"
    score: ClassVar[str]
    learning_settings: ClassVar[Mapping[str, Any]]
    small_settings: ClassVar[Mapping[str, Any]]
    start_settings: ClassVar[Mapping[str, Any]] = {}
    own_data_settings: ClassVar[Mapping[str, Any]] = {}
    usual_epoch_seconds: ClassVar[float] = 3.0

    @staticmethod
    @abstractmethod
    def write_sample(folder: Path, /) -> Any:
        """Write sample data as the verb sample-data does."""

    @abstractmethod
    def write_phantoms(self, folder: Path, images: int) -> int:
        """Write a dataset with at least so many training images, and return how many they are."""

    def cache_data(self) -> tuple[str, str]:
        """Data that take time to read, the user's or large phantoms; or "" and the reason why there are none."""
        if self.dataset_dir:
            return self.dataset_dir, ""
        if self.slices_dir:
            raise ConfigError(f"--slices_dir: this bundle reads {self.reads}; name them with --dataset_dir")
        self.write_large_phantoms(self.temporary / "cached")
        return str(self.temporary / "cached"), ""

    def write_large_phantoms(self, folder: Path) -> None:
        """Write images that take time to read; a bundle that has `cache_data` of its own needs none."""
        raise NotImplementedError(folder)

    def all_settings(self, varied: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a training: small, nothing random, nothing published; then those asked for.

        Args:
            varied: settings that the measurement itself varies; they win.
        """
        return {
            "dataset_dir": varied.get("dataset_dir") or self.data,
            **self.small_settings,
            "num_workers": 0,
            "cache": "memory",
            self.augmented: False,
            "publish": False,
            "early_stopping#enabled": False,
            "output_dir": str(self.temporary / "runs"),
            **self.settings,
            **varied,
        }

    def training(self, varied: Mapping[str, Any]) -> Training:
        """What the bundle trains with; nothing is written. The settings are those of `all_settings`."""
        return Training(build(self.folder, self.files, "train", self.all_settings(varied)))

    @cached_property
    def data(self) -> str:
        """The data folder; phantoms are made once, as many as the machine needs for an epoch."""
        if self.dataset_dir:
            return self.dataset_dir
        probe, folder = {"dataset_dir": str(self.temporary / "probe")}, self.temporary / "phantoms"
        size = self.all_settings(probe)["batch_size"]
        self.write_phantoms(Path(probe["dataset_dir"]), size)
        training = self.training(probe)
        first = training.batches()[:1]
        training.epoch(first)  # a first step is slower
        seconds = training.epoch(first * TIMED_STEPS) / TIMED_STEPS
        batches = int(np.clip(round(self.epoch_seconds / seconds), *BATCHES))
        images = self.write_phantoms(folder, batches * size)
        print(f"phantoms: {images} training images, about {batches * seconds:.1f} s per epoch")
        return str(folder)


class BrainTumor(MeasuredBundle):
    """Slices, with tumours outlined."""

    size, score = "image_size", "val_dice"
    learning_settings: ClassVar = {"lr": 1e-3, "encoder_lr": 1e-3}
    own_data_settings: ClassVar = {"kaggle_dir": False}
    small_settings: ClassVar = {"image_size": 128, "batch_size": 8, **own_data_settings}
    write_sample = staticmethod(make_phantoms)

    def write_phantoms(self, folder: Path, images: int) -> int:
        """Six slices of each patient."""
        patients = max(4, -(-images // SLICES))
        make_phantoms(folder, patients=(patients, 6, 1), slices=SLICES, pictures=(0, 0, 0))
        return patients * SLICES

    def cache_data(self) -> tuple[str, str]:
        """Real slices, which are also read where the user names prepared ones."""
        raw = Path(self.slices_dir or Path(os.environ.get("MEDBUNDLES_DATA", REAL_DATA)) / "lgg_kaggle3m")
        if not raw.is_dir():
            return "", f"left out: {raw} is not there; name a kaggle_3m folder with --slices_dir"
        prepare_lgg(str(raw), str(self.temporary / "cached"))
        return str(self.temporary / "cached"), ""


class GliomaGrading(MeasuredBundle):
    """Volumes of two grades."""

    measurements = (*COMMON, "layout", "channels_last")
    size, score, reads = "spatial_size", "val_auc", "volumes"
    learning_settings: ClassVar = {"lr": 1e-3}
    # a run of few epochs would be refused because re-weighting begins after its end; a bare loop has no second pass
    # over the data for the statistics of batch normalisation
    start_settings: ClassVar = {"drw_start_epoch": False, "plot_interval": 0, "precise_bn": 0}
    small_settings: ClassVar = {"batch_size": 4, "folds": 2, **start_settings}
    write_sample = staticmethod(make_graded_phantoms)
    usual_epoch_seconds = 14.0

    def write_phantoms(self, folder: Path, images: int) -> int:
        """Two folds, one of which is trained on: so as many cases of each grade as are wanted for training."""
        cases = max(images, 4)
        make_graded_phantoms(folder, cases=(cases, cases))
        return cases

    def write_large_phantoms(self, folder: Path) -> None:
        """As large as those that the network is made for."""
        make_graded_phantoms(folder, cases=(VOLUMES // 2, VOLUMES // 2), size=SIDE)


class DentalAutoencoder(MeasuredBundle):
    """Pictures of jaws, of which patches are trained on."""

    measurements = (*COMMON, "attention", "channels_last")
    size, score, reads = "patch_size", "val_psnr", "pictures"
    learning_settings: ClassVar = {"lr": 1e-3}
    start_settings: ClassVar = {"data_source": "both", "perceptual_weight": 0.0, "picture_interval": 0}
    small_settings: ClassVar = {"patch_size": [64, 64], "batch_size": 4, **start_settings}
    write_sample = staticmethod(make_jaws)
    usual_epoch_seconds = 14.0  # few_images.json has epochs of 17 s on 45 pictures

    def write_phantoms(self, folder: Path, images: int) -> int:
        """Half of them with teeth; a tenth validates."""
        jaws = max(4, -(-images * 5 // 9))
        make_jaws(folder, jaws=(jaws, jaws))
        return images

    def write_large_phantoms(self, folder: Path) -> None:
        """As large as those that the network is made for."""
        make_jaws(folder, jaws=(8, 8), size=512)


class MedicalSegmentation(MeasuredBundle):
    """Pictures or volumes of an organ with a lesion."""

    measurements = (*COMMON, "networks", "troubles")
    size, score, augmented = "image_size", "val_dice", "augmentation"
    reads = "images with labels"
    learning_settings: ClassVar = {"lr": 1e-3}
    start_settings: ClassVar = {"out_channels": 3}
    own_data_settings: ClassVar = {"out_channels": 2}
    small_settings: ClassVar = {
        "image_size": 128, "batch_size": 8, "test_split": 0.0, "augmentation_picture": False, **start_settings
    }  # fmt: skip
    write_sample = staticmethod(make_organs)
    usual_epoch_seconds = 14.0

    def write_phantoms(self, folder: Path, images: int) -> int:
        """Four of five train."""
        volumes = self.settings.get("spatial_dims", 2) == 3
        make_organs(folder, scans=max(8, -(-images * 5 // 4)), size=64 if volumes else 128, dims=2 + volumes)
        return images

    def write_large_phantoms(self, folder: Path) -> None:
        """As large as those that the network is made for."""
        make_organs(folder, scans=20, size=512)


BUNDLES: dict[str, type[MeasuredBundle]] = {
    "brain_tumor_multitask_unet": BrainTumor,
    "glioma_grading_resnet50_3d": GliomaGrading,
    "dental_vae_autoencoder": DentalAutoencoder,
    "medical_segmentation": MedicalSegmentation,
}
