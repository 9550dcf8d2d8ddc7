"""Inference reads the same numbers as training."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import Compose
from PIL import Image

from medbundles.data import SeededDataset, axial_slices, inference_datalist, read_volume, slice_datalist
from medbundles.errors import DataError
from medbundles.transforms import CropToHead, HeadNormalise, LoadInferenceSlice, LoadSlice, ResizeSquare
from tools.prepare.brats2d import prepare_brats2d
from tools.prepare.lgg import prepare_lgg


def prepared(load, item):
    return Compose([load, HeadNormalise(), CropToHead(), ResizeSquare(64)])(item)


@pytest.mark.parametrize(("channels", "colour"), [(1, "luminance"), (1, 2), (3, "auto")])
def test_pictures_equal_training(tmp_path, channels, colour):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    training = {"image": str(tmp_path / "a.png"), "mask": "", "label": 0}
    wanted = prepared(LoadSlice(channels, colour_channel=colour), training)
    found = prepared(LoadInferenceSlice(channels, colour), inference_datalist(tmp_path, channels)[0])
    assert torch.equal(found["image"], wanted["image"])
    assert found["image"].shape == (channels, 64, 64)
    for key in ("crop", "original_size"):
        assert torch.equal(found[key], wanted[key])
    assert not found["empty"]
    assert "label" not in found
    assert "mask" not in found


def test_a_colour_picture_is_what_prepare_made_of_it_or_refused(tmp_path):
    """kaggle_3m: the second channel of the TIFF files is FLAIR; training saw it as a gray picture."""
    rng = np.random.default_rng(0)
    slices = tmp_path / "raw/p_1"
    slices.mkdir(parents=True)
    for z in (1, 2):
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(slices / f"p_1_{z}.tif")
        Image.fromarray(np.full((40, 50), 255 * (z - 1), np.uint8)).save(slices / f"p_1_{z}_mask.tif")
    prepare_lgg(str(tmp_path / "raw"), str(tmp_path / "out"), ratios=(1, 0, 0))
    made = {Path(item["image"]).stem: item for item in slice_datalist(tmp_path / "out/train")}
    items = inference_datalist(tmp_path / "raw")
    assert len(items) == 2  # and not the masks
    for item in items:
        wanted = prepared(LoadSlice(1), made[Path(item["image"]).stem])["image"]
        assert torch.equal(prepared(LoadInferenceSlice(1, 2), item)["image"], wanted)
        for load in (LoadInferenceSlice(1), LoadSlice(1)):
            with pytest.raises(DataError, match=r"its three channels differ .* give --colour_channel 1, 2"):
                load({**item, "mask": "", "label": 0})


def test_a_gray_picture_in_colours_needs_no_choice(tmp_path):
    """As a scan of a film: JPEG noise, and a small coloured arrow."""
    gray = np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)
    pixels = np.repeat(gray[..., None], 3, axis=2)
    pixels[5:9, 5:9] = (255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    [item] = inference_datalist(tmp_path)
    wanted = np.asarray(Image.fromarray(pixels).convert("L"), dtype=np.float32)
    np.testing.assert_array_equal(LoadInferenceSlice(1)(item)["image"][0], wanted)


def test_sequences_of_a_case_equal_the_channels_that_prepare_cuts(tmp_path):
    case = tmp_path / "in/Brats18_1/Brats18_1"
    case.parent.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("flair", "t1ce", "seg"):
        data = np.zeros((30, 40, 5), np.int16)
        data[8:22, 10:30, 1:] = rng.integers(0, 4 if name == "seg" else 900, (14, 20, 4))
        data = np.where(data == 3, 4, data) if name == "seg" else data
        nibabel.save(nibabel.Nifti1Image(data.astype(np.int16), np.diag([-1.0, -1, 1, 1])), f"{case}_{name}.nii.gz")
    sequences = ("t1ce", "flair")
    prepare_brats2d(str(tmp_path / "in"), str(tmp_path / "out"), modality=sequences, ratios=(1, 0, 0))
    made = {item["name"].rpartition("_z")[2]: item for item in slice_datalist(tmp_path / "out/train")}
    items = inference_datalist(tmp_path / "in", 2, modality=sequences)
    assert len(items) == 5
    assert len(made) == 4
    for item in items[1:]:
        wanted = prepared(LoadSlice(2), made[f"{item['slice']:03d}"])["image"]
        assert torch.equal(prepared(LoadInferenceSlice(2), item)["image"], wanted)
        assert wanted.shape == (2, 64, 64)
    assert LoadInferenceSlice(2)(items[0])["empty"]


def test_slices_of_a_volume_equal_the_slices_that_prepare_cuts(tmp_path):
    data = np.zeros((30, 40, 5), np.float32)
    data[8:22, 10:30, 1:] = np.random.default_rng(0).random((14, 20, 4)) + 1
    nibabel.save(nibabel.Nifti1Image(data, np.diag([-1.0, -1, 1, 1])), tmp_path / "v.nii.gz")
    items = inference_datalist(tmp_path / "v.nii.gz")
    slices = axial_slices(read_volume(tmp_path / "v.nii.gz")[0])
    for z in range(1, 5):
        np.save(tmp_path / f"{z}.npy", slices[z])
        wanted = prepared(LoadSlice(1), {"image": str(tmp_path / f"{z}.npy"), "mask": "", "label": 0})
        assert torch.equal(prepared(LoadInferenceSlice(1), items[z])["image"], wanted["image"])


def test_empty_slices_pass_and_are_marked(tmp_path):
    data = np.random.default_rng(0).random((30, 40, 3)).astype(np.float32)
    data[..., 1] = 1e9
    nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), tmp_path / "v.nii")
    pre = Compose([LoadInferenceSlice(3), HeadNormalise(), CropToHead(), ResizeSquare(32)])
    found = list(SeededDataset(inference_datalist(tmp_path / "v.nii", 3), pre, cache="none"))
    assert [item["empty"] for item in found] == [False, True, False]
    assert all(item["image"].isfinite().all() and item["image"].shape == (3, 32, 32) for item in found)


def test_a_file_that_changed_meanwhile(tmp_path):
    path = tmp_path / "v.nii"
    nibabel.save(nibabel.Nifti1Image(np.random.rand(4, 4, 3).astype(np.float32), np.eye(4)), path)
    item = inference_datalist(path)[0]
    nibabel.save(nibabel.Nifti1Image(np.random.rand(4, 4, 5).astype(np.float32), np.eye(4)), path)
    with pytest.raises(DataError, match="has 5 slices now, it had 3 when the run began"):
        LoadInferenceSlice(1)(item)
