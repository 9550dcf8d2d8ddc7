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
