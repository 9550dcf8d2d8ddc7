from __future__ import annotations

import nibabel
import numpy as np
import pytest
from PIL import Image

from medbundles.errors import DataError
from medbundles.transforms import LoadLabelled
from tools.phantoms.organs import SPACING, make_organs


def test_a_picture_and_its_classes(tmp_path):
    make_organs(tmp_path / "x", scans=1, size=32)
    image, mask = (str(tmp_path / f"x/{folder}/scan_001.png") for folder in ("images", "labels"))
    item = LoadLabelled(out_channels=3)({"image": image, "mask": mask})
    assert item["image"].shape == item["mask"].shape == (1, 32, 32)
    assert (item["image"][0].numpy() == np.asarray(Image.open(image))).all()
    assert (item["mask"][0].numpy() == np.asarray(Image.open(mask))).all()
    assert item["original_size"].tolist() == [32, 32]
    assert item["image_path"] == image
    assert "mask" not in LoadLabelled()({"image": image})
    with pytest.raises(DataError, match=r"holds 1, 2; 0 and one other value"):
        LoadLabelled(out_channels=2)({"image": image, "mask": mask})
    both = LoadLabelled(channels=2, out_channels=3)({"image": [image, image], "mask": mask})
    assert both["image"].shape == (2, 32, 32)


def test_a_volume_has_canonical_axes_and_a_spacing(tmp_path):
    make_organs(tmp_path / "x", scans=1, size=16, dims=3)
    image, mask = (tmp_path / f"x/{folder}/scan_001.nii.gz" for folder in ("images", "labels"))
    voxels = np.asarray(nibabel.load(image).dataobj)
    turned = nibabel.Nifti1Image(voxels[::-1].swapaxes(0, 2), np.array(
        [[0, 0, -1, 15], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]], dtype=float
    ))  # fmt: skip
    nibabel.save(turned, tmp_path / "turned.nii.gz")
    load = LoadLabelled(3, out_channels=3)
    item, other = load({"image": str(image), "mask": str(mask)}), load({"image": str(tmp_path / "turned.nii.gz")})
    assert item["image"].shape == (1, 16, 16, 8)
    assert item["spacing"].tolist() == [*SPACING]
    assert (item["image"] == other["image"]).all()
    assert other["spacing"].tolist() == [*SPACING]


def test_the_volumes_of_a_4d_file_are_channels(tmp_path):
    make_organs(tmp_path / "x", scans=1, size=16, dims=3)
    image, mask = (tmp_path / f"x/{folder}/scan_001.nii.gz" for folder in ("images", "labels"))
    first = np.asarray(nibabel.load(image).dataobj).astype(np.int16)
    four = np.stack([first, first[::-1], 1000 - first], axis=3)
    turned = nibabel.Nifti1Image(four[::-1].swapaxes(0, 2), np.array(
        [[0, 0, -1, 15], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]], dtype=float
    ))  # fmt: skip
    nibabel.save(turned, tmp_path / "turned.nii.gz")
    item = LoadLabelled(3, 3, out_channels=3)({"image": str(tmp_path / "turned.nii.gz"), "mask": str(mask)})
    assert item["image"].shape == (3, 16, 16, 8)
    assert (item["image"].numpy() == np.moveaxis(four, 3, 0)).all()
    assert item["spacing"].tolist() == [*SPACING]
    with pytest.raises(DataError, match=r"is 4D \(8, 16, 16, 3\), 3 channel\(s\); in_channels is 2"):
        LoadLabelled(3, 2)({"image": str(tmp_path / "turned.nii.gz")})
    four[..., 1] = 7
    nibabel.save(nibabel.Nifti1Image(four, np.eye(4)), tmp_path / "flat.nii")
    with pytest.raises(DataError, match="volume 1 of 3, counted from 0, is constant"):
        LoadLabelled(3, 3)({"image": str(tmp_path / "flat.nii")})


def test_labels_of_regions_stay_labels(tmp_path):
    make_organs(tmp_path / "x", scans=1, size=32)
    image, mask = (str(tmp_path / f"x/{folder}/scan_001.png") for folder in ("images", "labels"))
    item = LoadLabelled(out_channels=1, regions=[[1, 2]])({"image": image, "mask": mask})
    assert (item["mask"][0].numpy() == np.asarray(Image.open(mask))).all()
    with pytest.raises(DataError, match=r"holds 1; the labels of the regions \[\[2\]\] are wanted"):
        LoadLabelled(out_channels=1, regions=[[2]])({"image": image, "mask": mask})
