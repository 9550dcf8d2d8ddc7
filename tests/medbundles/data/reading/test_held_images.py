from __future__ import annotations

import nibabel
import numpy as np
from PIL import Image

from medbundles.data.reading.held_images import HeldImage


def test_a_pictures_file_and_the_way_back(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (5, 7), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    held = HeldImage.of(str(tmp_path / "a.png"))
    assert np.array_equal(held.slices()[0, 0], pixels)
    back = held.given_back(held.of_slices(held.slices()))
    assert back.shape == (7, 5)  # (W, H), as MONAI reads a picture, and without a channel
    assert np.array_equal(back.numpy().T, pixels)


def test_a_volumes_file_and_the_way_back(tmp_path):
    voxels = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    affine = np.diag([-2.0, -1.0, 3.0, 1.0])  # not the canonical axes
    nibabel.save(nibabel.Nifti1Image(voxels, affine), tmp_path / "a.nii.gz")
    held = HeldImage.of(str(tmp_path / "a.nii.gz"))
    for back in (held.of_volumes(held.channels), held.of_slices(held.slices())):
        assert np.array_equal(held.given_back(back)[0].numpy(), voxels)
    assert np.allclose(held.given_back(back).meta["original_affine"], affine)
