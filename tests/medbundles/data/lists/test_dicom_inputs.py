"""DICOM as the input of each bundle: what the items are, how they are called, and what no file of them says."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from medbundles.data import autoencoder_inputs, inference_cases, inference_datalist, segmentation_inputs
from medbundles.errors import ConfigError, DataError
from medbundles.transforms.load_labelled import LoadLabelled
from tests.dicom_files import NUMBER, PATIENT, dataset, save, stack

pytest.importorskip("pydicom", reason="pydicom is not installed (extra dicom)")

RANDOM = np.random.default_rng(5)
VOXELS = RANDOM.integers(0, 2000, (7, 10, 12)).astype(np.uint16)
NAME = PATIENT.partition("^")[0]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Two series in folders of patients, the second without a slice, and a note."""
    root = tmp_path / "scans"
    stack(root / NAME / "t1", VOXELS)
    (root / NAME / "t1" / "note.txt").write_text("x")
    stack(root / "Zacharias", VOXELS[:6], places=[0, 2.5, 5, 12.5, 15, 17.5], uid="1.2.3.4.9")
    return root


def xrays(root: Path) -> Path:
    for number, kind in enumerate((np.uint8, np.uint16)):
        pixels = RANDOM.integers(0, 255, (40, 50)).astype(kind)
        save(
            dataset(pixels, f"1.2.{number}", Modality="DX", PhotometricInterpretation="MONOCHROME1"),
            root / f"{NAME}{number}",
        )
    return root


def names(items: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(item["name"] for item in items if "failed" not in item))


def test_volumes_are_numbered_and_a_bad_one_fails_alone(scans: Path, tmp_path: Path):
    items = inference_cases(scans, output=tmp_path / "out")
    assert names(items) == ["series_0001"]
    assert items[0]["patient"] == "series_0001"
    assert items[1]["image"] == "series_0002"
    assert "slices are missing" in items[1]["failed"]
    assert nibabel.load(items[0]["image"]).shape == (12, 10, 7)


def test_nothing_says_whose_it_is(scans: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level("INFO", "medbundles"):
        items = inference_cases(scans, output=tmp_path / "out")
    header = nibabel.load(items[0]["image"]).header.binaryblock.decode("latin-1")
    said = str(items).replace(str(tmp_path), "") + header + caplog.text
    for secret in (NAME, "Anna", NUMBER, "1970", "2020", "ACC99", "1.2.3.4", "Zacharias"):
        assert secret not in said
    assert "files beside them that are left out: 1" in caplog.text


def test_a_mapping_says_it(scans: Path, tmp_path: Path):
    inference_cases(scans, output=tmp_path / "out", dicom_mapping=tmp_path / "who.csv")
    assert os.name == "nt" or (tmp_path / "who.csv").stat().st_mode & 0o777 == 0o600
    rows = list(csv.DictReader((tmp_path / "who.csv").open()))
    assert [(row["name"], row["PatientID"], row["SeriesInstanceUID"]) for row in rows] == [
        ("series_0001", NUMBER, "1.2.3.4.1"),
        ("series_0002", NUMBER, "1.2.3.4.9"),
    ]
    assert rows[0]["folder"] == str(scans / NAME / "t1")
    assert "missing" in rows[1]["problem"]


def test_a_mapping_of_no_dicom_is_refused(tmp_path: Path):
    Image.fromarray(VOXELS[0].astype(np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="no DICOM"):
        inference_datalist(tmp_path, dicom_mapping=tmp_path / "who.csv")


def test_a_mapping_that_is_a_folder_is_refused_before_anything_is_written(scans: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"is a folder; the name of a \.csv file is wanted"):
        inference_cases(scans, output=tmp_path / "out", dicom_mapping=tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_mapping_of_what_is_no_input_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="no DICOM is read"):
        autoencoder_inputs("", sample=2, output=tmp_path, dicom_mapping="who.csv")


def test_two_dimensional_bundles_see_each_slice(scans: Path, tmp_path: Path):
    brain = inference_datalist(scans / NAME, output=tmp_path / "a")
    assert [(item["name"], item["slice"]) for item in brain] == [("series_0001", z) for z in range(7)]
    places = [f"series_0001/slice_{z:04d}" for z in range(7)]
    assert names(segmentation_inputs(scans / NAME, 2, output=tmp_path / "b")) == places
    assert names(autoencoder_inputs(scans / NAME, 2, output=tmp_path / "c")) == places


def test_a_slice_has_its_own_place(scans: Path, tmp_path: Path):
    one = segmentation_inputs(scans / NAME, 2, output=tmp_path / "b")[3]["image"]
    made = nibabel.load(one)
    assert made.shape == (12, 10, 1)
    assert made.affine[2, 3] == 5 + 3 * 2.5
    shown = LoadLabelled()({"image": one})["image"]
    assert np.array_equal(shown[0], VOXELS[3])


def test_xrays_are_pictures_with_white_high(tmp_path: Path):
    xrays(tmp_path / "in")
    items = autoencoder_inputs(tmp_path / "in", 2, output=tmp_path / "out")
    assert names(items) == ["series_0001", "series_0002"]
    first = np.asarray(Image.open(items[0]["image"]))
    assert first.dtype == np.uint8
    assert np.asarray(Image.open(items[1]["image"])).min() >= 65535 - 255


def test_xrays_are_no_volumes(tmp_path: Path):
    xrays(tmp_path / "in")
    with pytest.raises(DataError, match=r"series_0001: says nothing of its place(.|\n)*check-data"):
        inference_cases(tmp_path / "in", output=tmp_path / "out")


def test_one_file_is_an_input(tmp_path: Path):
    [path, *_] = stack(tmp_path / "in", VOXELS)
    assert names(inference_datalist(path, output=tmp_path / "out")) == ["series_0001"]


def test_dicom_beside_other_images_is_refused(scans: Path, tmp_path: Path):
    nibabel.save(nibabel.Nifti1Image(VOXELS, np.eye(4)), scans / "a.nii.gz")
    with pytest.raises(DataError, match="one kind at a time"):
        inference_cases(scans, output=tmp_path / "out")


def test_another_series_does_not_take_the_place_of_one_that_is_done(scans: Path, tmp_path: Path):
    inference_cases(scans, output=tmp_path / "out")
    assert names(inference_cases(scans, output=tmp_path / "out", existing="skip")) == ["series_0001"]
    stack(scans / "Aaron", VOXELS + np.uint16(1), uid="1.2.3.4.3")
    with pytest.raises(DataError, match="made of another series"):
        inference_cases(scans, output=tmp_path / "out", existing="skip")


def test_results_are_no_inputs(scans: Path, tmp_path: Path):
    inference_cases(scans / NAME, output=scans / NAME / "out")
    assert names(inference_cases(scans / NAME, output=scans / NAME / "out")) == ["series_0001"]


def test_a_series_in_two_folders_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    for folder, part in (("a", slice(0, 3)), ("b", slice(3, 6))):
        stack(tmp_path / "in" / folder, VOXELS[part], places=[0, 2.5, 5])
    assert names(inference_cases(tmp_path / "in", output=tmp_path / "out")) == ["series_0001", "series_0002"]
    assert "series_0001, series_0002 have the same SeriesInstanceUID: copies, of which" in caplog.text


def test_blank_slices_are_no_inputs(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    voxels = VOXELS.copy()
    voxels[[0, 6]] = 0
    stack(tmp_path / "in", voxels)
    with caplog.at_level("INFO", "medbundles"):
        items = segmentation_inputs(tmp_path / "in", 2, output=tmp_path / "out")
    assert names(items) == [f"series_0001/slice_{z:04d}" for z in range(1, 6)]
    assert "series_0001: 2 of its 7 slices are blank" in caplog.text
    assert nibabel.load(tmp_path / "out/converted/series_0001.nii.gz").shape == (12, 10, 7)


def test_slices_of_an_earlier_series_go(tmp_path: Path):
    stack(tmp_path / "in", VOXELS)
    segmentation_inputs(tmp_path / "in", 2, output=tmp_path / "out")
    stack(tmp_path / "other", VOXELS[:3])
    segmentation_inputs(tmp_path / "other", 2, output=tmp_path / "out")
    assert len(list((tmp_path / "out/converted/series_0001").iterdir())) == 3


def test_a_series_of_blank_slices_is_refused(tmp_path: Path):
    stack(tmp_path / "in", VOXELS * 0)
    with pytest.raises(DataError, match="all its slices are blank"):
        segmentation_inputs(tmp_path / "in", 2, output=tmp_path / "out")
