"""`check-data` of DICOM: all series are read, what is bad is named with its folder and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medbundles.errors import DataError
from tests.dicom_files import dataset, save, stack
from tools.check_data import check_data

pytest.importorskip("pydicom", reason="pydicom is not installed (extra dicom)")

VOXELS = np.random.default_rng(5).integers(0, 2000, (7, 10, 12)).astype(np.uint16)


def test_series_are_listed_with_the_inferences_that_take_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    stack(tmp_path / "a", VOXELS)
    found = check_data(str(tmp_path))
    said = capsys.readouterr().out
    assert (found["series"], found["volumes"]) == (1, 1)
    assert f"series_0001: {tmp_path}/a (7 files, MR t1 of 1): 12 x 10 x 7 voxels of 0.9 x 0.7 x 2.5 mm" in said
    assert "medical_segmentation (volumes): --input" in said


def test_bad_series_are_named_with_their_files(tmp_path: Path):
    stack(tmp_path / "a", VOXELS, uid="1.2.1")
    stack(tmp_path / "b", VOXELS[:6], uid="1.2.2", places=[0, 2.5, 5, 12.5, 15, 17.5], shuffled=False)
    with pytest.raises(DataError) as error:
        check_data(str(tmp_path))
    text = str(error.value)
    assert "1 problem(s) in 2 series" in text
    assert f"{tmp_path}/b: series_0002 (6 files, MR t1 of 2): slices are missing" in text
    assert "im002.dcm" in text


def test_dicom_beside_images_is_left_out_with_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    stack(tmp_path / "edente", VOXELS)
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 255, (64, 64)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"edente/{number}.png")
    check_data(str(tmp_path))
    assert "7 DICOM files in it are left out" in capsys.readouterr().out


def test_an_image_among_more_dicom_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    stack(tmp_path / "a", VOXELS)
    Image.fromarray(VOXELS[0].astype(np.uint8)).save(tmp_path / "a/screenshot.png")
    with pytest.raises(DataError, match="1 other image\\(s\\) lie among 7 DICOM files"):
        check_data(str(tmp_path))
    assert "series_0001" in capsys.readouterr().out


def test_a_picture_is_nothing_for_a_bundle_of_volumes(tmp_path: Path):
    save(dataset(VOXELS[0], "1.2", Modality="CR"), tmp_path / "x")
    with pytest.raises(DataError, match="glioma_grading_resnet50_3d wants volumes"):
        check_data(str(tmp_path), "glioma_grading_resnet50_3d")


def test_a_single_slice_is_nothing_for_volumes_and_its_series_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    stack(tmp_path / "one", VOXELS)
    file = sorted((tmp_path / "one").iterdir())[0]
    assert check_data(str(file))["single slices"] == 1
    said = capsys.readouterr().out
    assert f"{len(VOXELS) - 1} more DICOM files lie beside it; of a series give the folder" in said
    assert "medical_segmentation (single slices): --input" in said
    assert "glioma_grading_resnet50_3d" not in said
    with pytest.raises(DataError, match=r"is no volume \(single slices\); glioma_grading_resnet50_3d wants volumes"):
        check_data(str(file), "glioma_grading_resnet50_3d")


def test_what_takes_the_rest_is_said_although_a_series_is_broken(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("a", "b"):
        stack(tmp_path / name, VOXELS)
    cut = sorted((tmp_path / "b").iterdir())[2]
    cut.write_bytes(cut.read_bytes()[:-10])
    with pytest.raises(DataError, match="1 problem\\(s\\) in 2 series"):
        check_data(str(tmp_path))
    assert "glioma_grading_resnet50_3d (volumes): --input" in capsys.readouterr().out
