"""Inference reads the same numbers as training."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import Compose
from PIL import Image

from medbundles.data import SeededDataset, axial_slices, inference_datalist, read_volume
from medbundles.errors import DataError
from medbundles.transforms import CropToHead, HeadNormalise, LoadInferenceSlice, LoadSlice, ResizeSquare


def prepared(load, item):
    return Compose([load, HeadNormalise(), CropToHead(), ResizeSquare(64)])(item)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_equal_training(tmp_path, channels):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    training = {"image": str(tmp_path / "a.png"), "mask": "", "label": 0}
    wanted = prepared(LoadSlice(channels), training)
    found = prepared(LoadInferenceSlice(channels), inference_datalist(tmp_path, channels)[0])
    assert torch.equal(found["image"], wanted["image"])
    assert found["image"].shape == (channels, 64, 64)
    for key in ("crop", "original_size"):
        assert torch.equal(found[key], wanted[key])
    assert not found["empty"]
    assert "label" not in found
    assert "mask" not in found


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
