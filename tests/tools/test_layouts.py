"""check-data and the training of the fitting bundle say the same of a folder, whatever it looks like."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import nibabel
import numpy as np
import pytest
from monai.bundle import ConfigWorkflow
from PIL import Image

from medbundles.data import segmentation_parts
from medbundles.errors import DataError, MedbundlesError
from tests.bundles.brain_tumor_ladder import BRAIN
from tests.bundles.dental_ladder import DENTAL, VOLUMES
from tests.bundles.glioma_ladder import GLIOMA
from tests.bundles.ladder import Bundle
from tests.bundles.medical_ladder import MEDICAL
from tests.small_volumes import shrink
from tools.check_data import check_data
from tools.phantoms.graded import make_graded_phantoms
from tools.phantoms.jaws import make_jaws
from tools.phantoms.organs import make_organs
from tools.phantoms.slices import make_phantoms

TAKEN, RAW, REFUSED = "taken", "raw", "refused"


def slices(folder: Path) -> None:
    make_phantoms(folder, patients=(3, 3, 2), slices=2, size=64, pictures=(6, 6, 2))


def without(*names: str) -> Callable[[Path], None]:
    """The prepared layout without some of its folders."""

    def make(folder: Path) -> None:
        slices(folder)
        for name in names:
            shutil.rmtree(folder / name)

    return make


def renamed(**names: str) -> Callable[[Path], None]:
    """The prepared layout with other names of folders."""

    def make(folder: Path) -> None:
        slices(folder)
        for name, other in names.items():
            for path in sorted(folder.glob(f"**/{name}")):
                path.rename(path.with_name(other))

    return make


def flat_train(folder: Path) -> None:
    slices(folder)
    for part in ("train", "val"):
        for path in sorted((folder / part / "images").glob("*/*.png")):
            path.rename(folder / part / f"{path.parent.name}_{path.name}")
        shutil.rmtree(folder / part / "images")


def broken_pixel(folder: Path) -> None:
    slices(folder)
    path = next((folder / "train/images").glob("*/*.png"))
    path.write_bytes(path.read_bytes()[:300])


def test_in_train(folder: Path) -> None:
    slices(folder)
    picture = next((folder / "kaggle/train/yes").iterdir())
    shutil.copy(picture, folder / "kaggle/val/yes/again.png")


test_in_train.__test__ = False  # type: ignore[attr-defined]


def pairs(folder: Path) -> None:
    make_phantoms(folder.with_name("made"), patients=(3, 1, 1), slices=2, size=64, pictures=(0, 0, 0))
    for kind in ("images", "masks"):
        shutil.copytree(folder.with_name("made") / "train" / kind, folder / kind)


def only_masks(folder: Path) -> None:
    pairs(folder)
    shutil.rmtree(folder / "images")


def volume(path: Path, labels: bool = False, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(str(path)))
    shape = (16, 16, 16) if channels == 1 else (16, 16, 16, channels)
    nibabel.save(nibabel.Nifti1Image(rng.integers(0, 2 if labels else 99, shape).astype(np.int16), np.eye(4)), path)


def organs(folder: Path) -> None:
    make_organs(folder, scans=10, size=32)


def thick_organs(folder: Path) -> None:
    make_organs(folder, scans=8, size=16, dims=3)


def nan_in_the_test_part(folder: Path) -> None:
    """Of the volumes that no training reads."""
    thick_organs(folder)
    for path in segmentation_parts(folder, 3, out_channels=3, **MEDICAL.split)["test"]:
        image = nibabel.load(path["image"])
        voxels = np.asarray(image.dataobj, dtype=np.float32)
        voxels[0, 0, 0] = np.nan
        nibabel.save(nibabel.Nifti1Image(voxels, image.affine), path["image"])


def nnunet(folder: Path) -> None:
    thick_organs(folder)
    (folder / "labels").rename(folder / "labelsTr")
    (folder / "imagesTr").mkdir()
    for path in (folder / "images").iterdir():
        path.rename(folder / "imagesTr" / path.name.replace(".nii.gz", "_0000.nii.gz"))


def channels_and_regions(folder: Path) -> None:
    """4D images, and regions in the place of classes."""
    thick_organs(folder)
    for path in (folder / "images").iterdir():
        image = nibabel.load(path)
        both = np.stack([image.get_fdata(), 9 - image.get_fdata()], axis=3).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(both, image.affine), path)
    about = json.loads((folder / "dataset.json").read_text())
    about |= {"labels": {"background": 0, "organ": [1, 2], "lesion": 2}, "regions_class_order": [1, 2]}
    (folder / "dataset.json").write_text(json.dumps(about | {"channel_names": {"0": "T1", "1": "T2"}}))


def decathlon(folder: Path) -> None:
    for number in range(3):
        volume(folder / f"imagesTr/c_{number:03d}.nii.gz")
        volume(folder / f"imagesTs/d_{number:03d}.nii.gz")
        volume(folder / f"labelsTr/c_{number:03d}.nii.gz", labels=True)


def brats(folder: Path) -> None:
    for number in range(3):
        for role in ("flair", "t1", "seg"):
            name = f"BraTS20_Training_{number:03d}"
            volume(folder / f"{name}/{name}_{role}.nii.gz", labels=role == "seg")


def kaggle_3m(folder: Path) -> None:
    pairs(folder.with_name("pairs"))
    for number, image in enumerate(sorted((folder.with_name("pairs") / "images").glob("*/*.png"))):
        place = folder / f"TCGA_CS_{number}_1"
        place.mkdir(parents=True)
        mask = folder.with_name("pairs") / "masks" / image.relative_to(image.parents[1])
        for source, name in ((image, "_1.tif"), (mask, "_1_mask.tif")):
            Image.open(source).convert("L").save(place / f"{place.name}{name}")


def yesno(folder: Path) -> None:
    slices(folder.with_name("made"))
    shutil.copytree(folder.with_name("made") / "kaggle/train", folder)


def no_empty_mask(folder: Path) -> None:
    """Slices of one class."""
    without("kaggle")(folder)
    for mask in folder.glob("*/masks/*/*.png"):
        if not np.asarray(Image.open(mask)).any():
            mask.unlink()
            Path(str(mask).replace("masks", "images")).unlink()


def graded(folder: Path) -> None:
    make_graded_phantoms(folder, cases=(6, 4), size=24)
    shrink(folder)


def other_classes(folder: Path) -> None:
    graded(folder)
    (folder / "HGG").rename(folder / "G3")
    (folder / "LGG").rename(folder / "G2")


def one_class(folder: Path) -> None:
    graded(folder)
    shutil.rmtree(folder / "LGG")


def empty_class(folder: Path) -> None:
    one_class(folder)
    (folder / "LGG").mkdir()


def table(columns: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        graded(folder / "cases")
        rows = [f"{path.relative_to(folder)},{path.parent.name}" for path in sorted(folder.glob("cases/*GG/*"))]
        (folder / "cases.csv").write_text("\n".join([columns, *rows]))

    return make


def jaws(folder: Path) -> None:
    make_jaws(folder, jaws=(6, 5), size=32)


def no_picture(folder: Path) -> None:
    jaws(folder)
    next(folder.glob("edente/*.png")).write_bytes(b"version https://git-lfs.github.com/spec/v1\n")


def lone_volumes(folder: Path) -> None:
    for number in range(6):
        volume(folder / f"scans/s{number * 'x'}.nii.gz")


def empty(folder: Path) -> None:
    folder.mkdir()


class Shape(NamedTuple):
    """What a folder looks like, the bundle that one would train on it, and what is said of it."""

    make: Callable[[Path], None]
    bundle: Bundle
    said: str
    settings: Mapping[str, Any] = MappingProxyType({})


FOLDS = {"folds": 2, "depth": 10, "spatial_size": [32, 32, 32]}
SHAPES = {
    "prepared": Shape(slices, BRAIN, TAKEN),
    "prepared without pictures": Shape(without("kaggle"), BRAIN, TAKEN),
    "prepared without a test set": Shape(without("test"), BRAIN, TAKEN),
    "masks of which none is empty": Shape(no_empty_mask, BRAIN, TAKEN),
    "only pictures": Shape(without("train", "val", "test"), BRAIN, REFUSED),
    "no validation": Shape(without("val"), BRAIN, REFUSED),
    "no validation of the pictures": Shape(without("kaggle/val"), BRAIN, REFUSED),
    "only masks in the training part": Shape(without("train/images"), BRAIN, REFUSED),
    "parts of other names": Shape(renamed(train="training", val="validation", test="testing"), BRAIN, REFUSED),
    "images of another name": Shape(renamed(images="pictures"), BRAIN, REFUSED),
    "classes of other names": Shape(renamed(yes="tumour"), BRAIN, REFUSED),
    "classes of other names, named": Shape(
        renamed(yes="tumour"),
        BRAIN,
        TAKEN,
        {"class_names": ["no", "tumour"], "slice_classes": ["no", "tumour"]},
    ),
    "no folders for images": Shape(flat_train, BRAIN, REFUSED),
    "a broken file": Shape(broken_pixel, BRAIN, REFUSED),
    "a picture in two parts": Shape(test_in_train, BRAIN, REFUSED),
    "other channels": Shape(slices, BRAIN, REFUSED, {"in_channels": 2}),
    "other classes of masks": Shape(slices, BRAIN, REFUSED, {"seg_out_channels": 3}),
    "images and masks": Shape(pairs, BRAIN, RAW),
    "only masks": Shape(only_masks, BRAIN, REFUSED),
    "images and labels": Shape(organs, MEDICAL, TAKEN),
    "volumes and labels": Shape(thick_organs, MEDICAL, TAKEN, {"image_size": 32}),
    "channels and regions": Shape(channels_and_regions, MEDICAL, TAKEN, {"image_size": 32}),
    "nnU-Net": Shape(nnunet, MEDICAL, TAKEN, {"batch_size": 1, "image_size": 32}),
    "Decathlon": Shape(decathlon, BRAIN, RAW),
    "BraTS 2020": Shape(brats, GLIOMA, RAW),
    "kaggle_3m": Shape(kaggle_3m, BRAIN, RAW),
    "yes and no": Shape(yesno, BRAIN, RAW),
    "empty": Shape(empty, BRAIN, REFUSED),
    "BraTS 2018": Shape(graded, GLIOMA, TAKEN, FOLDS),
    "too few for the folds": Shape(graded, GLIOMA, REFUSED, {"folds": 5}),
    "grades of other names": Shape(other_classes, GLIOMA, TAKEN, FOLDS),
    "one grade": Shape(one_class, GLIOMA, REFUSED, FOLDS),
    "an empty grade": Shape(empty_class, GLIOMA, REFUSED, FOLDS),
    "a table": Shape(table("path,label"), GLIOMA, TAKEN, FOLDS),
    "a table of other columns": Shape(table("file,grade"), GLIOMA, REFUSED, FOLDS),
    "jaws": Shape(jaws, DENTAL, TAKEN),
    "jaws not downloaded": Shape(no_picture, DENTAL, REFUSED),
    "volumes alone": Shape(lone_volumes, VOLUMES, TAKEN),
}


def train(bundle: Bundle, files: tuple[str, ...], settings: dict[str, Any], runs: Path) -> None:
    """A short training."""
    paths = [str(bundle.folder / "configs" / f"{name}.json") for name in files]
    short = {"epochs": 2, "val_interval": 1, "scheduler#warmup_epochs": 0, "early_stopping#enabled": False}
    workflow = ConfigWorkflow(
        paths,
        workflow_type="train",
        logging_file=False,
        bundle_root=str(bundle.folder),
        **{**bundle.tiny, **short, "num_workers": 0, **settings, "output_dir": str(runs)},
    )
    workflow.initialize()
    workflow.run()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_check_data_says_what_training_says(tmp_path, shape):
    folder = tmp_path / "data"
    shape.make(folder)
    fresh = {"output_dir": str(tmp_path / "runs")} if shape.said == TAKEN else {}  # not the bundle's own runs
    settings = {**shape.settings, **fresh}
    if shape.said == REFUSED:
        with pytest.raises(MedbundlesError):
            check_data(str(folder), **settings)
        found = {"settings": shape.settings}
    else:
        found = check_data(str(folder), **settings)
        assert found["bundle"] == (shape.bundle.folder.name if shape.said == TAKEN else "")
    if shape.said == TAKEN:
        train(shape.bundle, found["config"], found["settings"], tmp_path / "runs")
    else:
        with pytest.raises((MedbundlesError, RuntimeError)):  # MONAI wraps ours in its own
            train(shape.bundle, ("train",), {**found["settings"], "dataset_dir": str(folder)}, tmp_path / "runs")


@pytest.mark.parametrize(("make", "bundle"), [(jaws, BRAIN), (slices, GLIOMA), (graded, BRAIN)])
def test_a_bundle_that_is_named_has_to_take_them(tmp_path, make, bundle):
    make(tmp_path / "data")
    with pytest.raises(DataError, match="problem"):
        check_data(str(tmp_path / "data"), bundle=bundle.folder.name)


def test_what_would_be_right_is_said(tmp_path):
    only_masks(tmp_path / "data")
    with pytest.raises(DataError) as told:
        check_data(str(tmp_path / "data"))
    assert re.search(r"a folder that is laid out so \(\w+/.*\), and no verb prepares it; wanted:", str(told.value))
    assert "brain_tumor_multitask_unet: {train,val}/images and {train,val}/masks" in str(told.value)


def test_the_test_part_is_read_too_which_no_training_does(tmp_path):
    nan_in_the_test_part(tmp_path / "data")
    with pytest.raises(DataError, match="pixels are NaN or Inf"):
        check_data(str(tmp_path / "data"), **MEDICAL.split)
