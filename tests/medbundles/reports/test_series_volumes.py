"""Results of the slices of a series as one volume: its geometry, blank slices, and what a missing one does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from medbundles.data.lists.dicom_inputs import _converted
from medbundles.data.reading.dicom_stack import DicomImage
from medbundles.data.reading.files import IMAGE_ENDINGS
from medbundles.reports.series_volumes import write_series

AFFINE = np.array([[0.1, -0.9, 0.2, 7], [0.8, 0.1, 0, -3], [0, 0.2, 2.5, 40], [0, 0, 0, 1]])
VOXELS = np.random.default_rng(0).integers(1, 200, (5, 6, 4)).astype(np.int16)
VOXELS[..., 3] = 9  # a blank slice


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, Any]]:
    """Of a series whose masks are its values modulo 3, and whose reconstructions are its values plus 1."""
    rows = []
    for path in _converted(DicomImage(VOXELS, AFFINE), tmp_path / "converted", "series_0001", IMAGE_ENDINGS, True, ""):
        plane = nibabel.load(path)
        values = np.asanyarray(plane.dataobj)
        row = {"file": str(path), "mask": f"masks/series_0001/{path.name.replace('.nii', '_mask.nii')}"}
        row["reconstruction"] = f"reconstructions/series_0001/{path.name}"
        for key, found in (("mask", (values % 3).astype(np.uint8)), ("reconstruction", values + np.int16(1))):
            (tmp_path / row[key]).parent.mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(found, plane.affine), tmp_path / row[key])
        rows.append(row)
    return rows


def test_slices_become_a_volume_in_the_series_geometry(rows: list[dict[str, Any]], tmp_path: Path):
    mask, reconstruction = write_series(tmp_path, rows, "made by a test")
    assert mask == tmp_path / "masks/series_0001_mask.nii.gz"
    assert reconstruction == tmp_path / "reconstructions/series_0001.nii.gz"
    wanted = {mask: VOXELS % 3, reconstruction: VOXELS + 1}
    wanted[mask][..., 3], wanted[reconstruction][..., 3] = 0, 9  # nothing is found in a blank slice; it stays
    for path, values in wanted.items():
        made = nibabel.load(path)
        assert np.array_equal(np.asanyarray(made.dataobj), values)
        np.testing.assert_allclose(made.affine, AFFINE, atol=1e-5)
    assert nibabel.load(mask).get_data_dtype() == np.uint8
    assert nibabel.load(mask).header["descrip"].item() == b"made by a test"


def test_a_slice_without_result_makes_no_volume(
    rows: list[dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    [mask, _] = write_series(tmp_path, rows, "")
    assert write_series(tmp_path, rows[1:], "") == []
    assert not mask.exists()
    assert "series_0001: 1 of its 3 slices have no results" in caplog.text


def test_each_region_has_its_volume(rows: list[dict[str, Any]], tmp_path: Path):
    named = []
    for row in rows:
        files = [row["mask"].replace("_mask", f"_mask_{k}") for k in (1, 2)]
        for number, file in enumerate(files):
            plane = nibabel.load(tmp_path / row["mask"])
            nibabel.save(nibabel.Nifti1Image(np.full(plane.shape, number, np.uint8), plane.affine), tmp_path / file)
        named.append({"file": row["file"], "mask": files})
    made = write_series(tmp_path, named, "")
    assert [path.name for path in made] == ["series_0001_mask_1.nii.gz", "series_0001_mask_2.nii.gz"]
    assert np.asanyarray(nibabel.load(made[1]).dataobj)[..., :3].all()


def test_other_inputs_are_not_looked_at(tmp_path: Path):
    assert write_series(tmp_path, [{"file": "/data/a.png", "mask": "masks/a_mask.png"}], "") == []
