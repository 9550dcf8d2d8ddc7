from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Spacingd

from medbundles.errors import DataError
from medbundles.transforms import LoadVolume


def write(path, voxels, affine=None):
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32), np.eye(4) if affine is None else affine), path)
    return str(path)


@pytest.fixture
def voxels():
    return np.random.default_rng(0).normal(100, 20, (8, 6, 5))


def test_voxels_are_canonical_and_so_is_the_affine(tmp_path, voxels):
    """A file stored as P, S, R: every voxel keeps its place in mm."""
    affine = np.array([[0, 0, 3.0, -4], [-1, 0, 0, 7], [0, 2.0, 0, 1], [0, 0, 0, 1]])
    path = write(tmp_path / "a.nii.gz", voxels, affine)
    item = LoadVolume()({"image": path, "name": "a"})
    image = item["image"]
    assert isinstance(image, MetaTensor)
    assert image.shape == (1, 5, 8, 6)
    assert image.dtype == torch.float32
    assert item["image_path"] == path
    for stored in ((0, 0, 0), (7, 5, 4), (3, 1, 2)):
        place = affine @ [*stored, 1]
        x, y, z = np.rint(np.linalg.inv(image.affine.numpy()) @ place)[:3].astype(int)
        assert float(image[0, x, y, z]) == pytest.approx(voxels[stored])
    assert (np.diag(image.affine)[:3] > 0).all()


def test_spacing_makes_millimetres(tmp_path, voxels):
    path = write(tmp_path / "a.nii.gz", voxels, np.diag([-2, -2, 4, 1]))
    item = Spacingd(keys="image", pixdim=[1, 1, 1], mode="bilinear")(LoadVolume()({"image": path}))
    assert item["image"].shape[1:] == (15, 11, 17)
    np.testing.assert_allclose(item["image"].pixdim, 1)


def test_a_list_becomes_channels_in_its_order(tmp_path, voxels):
    paths = [write(tmp_path / f"{n}.nii.gz", voxels * n) for n in (3, 1)]
    item = LoadVolume()({"image": paths})
    np.testing.assert_allclose(item["image"][0], item["image"][1] * 3, rtol=1e-5)
    assert item["image_path"] == paths[0]


def test_refusals_name_the_file_and_the_value(tmp_path, voxels):
    good = write(tmp_path / "good.nii.gz", voxels)
    with pytest.raises(DataError, match=r"b\.nii\.gz: has the shape \(7, 6, 5\), .*good\.nii\.gz of the same case \(8"):
        LoadVolume()({"image": [good, write(tmp_path / "b.nii.gz", voxels[:7])]})
    shifted = np.eye(4)
    shifted[2, 3] = 0.01
    with pytest.raises(DataError, match=r"c\.nii\.gz: its affine differs by 0\.01 from that of .*good\.nii\.gz"):
        LoadVolume()({"image": [good, write(tmp_path / "c.nii.gz", voxels, shifted)]})
    shifted[2, 3] = 5e-4
    LoadVolume()({"image": [good, write(tmp_path / "d.nii.gz", voxels, shifted)]})
    for diagonal, said in (
        ((0.01, 1, 1, 1), r"its voxels are 0\.01 x 1 x 1 mm"),
        ((1, 1, 60, 1), r"its voxels are 1 x 1 x 60 mm; 0\.05 to 50 mm"),
        ((1, 1, 49, 1), None),
    ):
        path = write(tmp_path / "e.nii.gz", voxels, np.diag(diagonal))
        if said:
            with pytest.raises(DataError, match=rf"e\.nii\.gz: {said}"):
                LoadVolume()({"image": path})
        else:
            LoadVolume()({"image": path})
    long = np.random.default_rng(0).normal(size=(2, 2, 30))
    with pytest.raises(DataError, match=r"f\.nii\.gz: is 2 x 2 x 1\.2e\+03 mm large; at most 1000 mm"):
        LoadVolume()({"image": write(tmp_path / "f.nii.gz", long, np.diag([1, 1, 40, 1]))})
    with pytest.raises(DataError, match=r"g\.nii\.gz: the volume is constant"):
        LoadVolume()({"image": [good, write(tmp_path / "g.nii.gz", voxels * 0 + 3)]})
