"""DICOM against dcm2niix on series that the test makes, and what is said of bad ones."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tracemalloc
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from medbundles.data.reading.dicom import dicom_files, find_series, read_series_files
from medbundles.data.reading.dicom_stack import BadSeriesError
from tests.dicom_files import AXIAL, CORONAL, OBLIQUE, SAGITTAL, dataset, enhanced, save, stack

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed (extra dicom)")

RANDOM = np.random.default_rng(3)
VOXELS = RANDOM.integers(0, 2000, (7, 10, 12)).astype(np.uint16)


def converter() -> str:
    found = shutil.which("dcm2niix", path=str(Path(sys.executable).parent)) or shutil.which("dcm2niix")
    if not found:
        pytest.skip("dcm2niix, the reference, is not installed")
    return found


def reference(folder: Path, out: Path) -> Any:
    out.mkdir()
    done = subprocess.run(
        [converter(), "-b", "n", "-z", "n", "-f", "x", "-o", str(out), str(folder)], capture_output=True, text=True
    )
    [made] = sorted(out.glob("*.nii"))
    assert done.returncode == 0, done.stdout
    return nibabel.load(made)


def read(folder: Path) -> Any:
    [series] = find_series(dicom_files(folder)[0])
    return read_series_files(series)


def hard_case(kind: str, folder: Path) -> None:
    if kind == "enhanced":
        enhanced(folder, VOXELS, [2] * 7)  # dcm2niix takes one slope for all frames
    elif kind == "enhanced, slope of each frame":
        enhanced(folder, VOXELS, [1.5, 0.25, 2, 1, 3, 0.5, 1])
    elif kind == "signed":
        stack(folder, VOXELS.astype(np.int16) - 1000, Modality="CT")
    elif kind == "rescaled":
        stack(folder, VOXELS, RescaleSlope=1, RescaleIntercept=-1024)
    elif kind == "slope of each slice":
        stack(folder, VOXELS, RescaleSlope=[0.5, 1, 1.25, 2, 3, 0.1, 7], RescaleIntercept=[0, -3, 5, 0, 1, 0, 2])
    else:
        stack(folder, VOXELS, cosines={"axial": AXIAL, "sagittal": SAGITTAL, "coronal": CORONAL}.get(kind, OBLIQUE))


CASES = ["axial", "sagittal", "coronal", "oblique", "signed", "rescaled", "slope of each slice", "enhanced"]


@pytest.mark.parametrize("kind", CASES)
def test_every_voxel_has_the_value_and_place_of_the_reference(kind: str, tmp_path: Path):
    hard_case(kind, tmp_path / "in")
    made = read(tmp_path / "in")
    wanted = reference(tmp_path / "in", tmp_path / "out")
    ours = nibabel.as_closest_canonical(nibabel.Nifti1Image(made.values, made.affine))
    theirs = nibabel.as_closest_canonical(wanted)
    assert made.values.shape == wanted.shape
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=2e-5)
    np.testing.assert_allclose(ours.get_fdata(), theirs.get_fdata(), rtol=1e-6)


def test_neither_names_nor_numbers_decide_on_the_order(tmp_path: Path):
    stack(tmp_path / "a", VOXELS, shuffled=False)
    stack(tmp_path / "b", VOXELS, numbers_shuffled=True)
    assert np.array_equal(read(tmp_path / "a").values, read(tmp_path / "b").values)


@pytest.mark.parametrize("kind", ["axial", "slope of each slice", "enhanced", "enhanced, slope of each frame"])
def test_a_voxel_is_what_was_written_there(kind: str, tmp_path: Path):
    hard_case(kind, tmp_path)
    made = read(tmp_path)
    place = np.linalg.inv(made.affine) @ [30 - 0.9 * 4, -12 - 0.7 * 3, 5 + 2.5 * 2, 1]  # column 4, row 3, slice 2
    x, y, z = np.rint(place[:3]).astype(int)
    slope, intercept = {"axial": (1, 0), "slope of each slice": (1.25, 5)}.get(kind, (2, -3))
    assert made.values[x, y, z] == float(VOXELS[2, 3, 4]) * slope + intercept


def test_whole_numbers_stay_whole(tmp_path: Path):
    stack(tmp_path, VOXELS, RescaleSlope=1, RescaleIntercept=-1024)
    assert read(tmp_path).values.dtype == np.int16


@pytest.mark.parametrize(("signed", "bits", "highest"), [(0, 12, 4095), (1, 16, -1)])
def test_white_is_high_in_monochrome1(signed: int, bits: int, highest: int, tmp_path: Path):
    pixels = VOXELS[0].astype(np.int16 if signed else np.uint16)
    more = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": bits, "HighBit": bits - 1, "RescaleSlope": 2}
    save(dataset(pixels, "1.2", **more), tmp_path / "x")
    made = read(tmp_path)
    assert made.affine is None
    assert np.array_equal(made.values[0], (highest - pixels.astype(int)) * 2)


def test_colours_become_rgb(tmp_path: Path):
    rgb = RANDOM.integers(0, 255, (10, 12, 3)).astype(np.uint8)
    made = dataset(rgb[..., 0], "1.2", SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    made.PixelData = rgb.tobytes()
    save(made, tmp_path / "x")
    values = read(tmp_path).values
    assert values.dtype == np.uint8
    assert np.array_equal(values[0], rgb)


def test_run_lengths_are_decoded(tmp_path: Path):
    paths = stack(tmp_path / "in", VOXELS)
    wanted = read(tmp_path / "in").values
    for path in paths:
        made = pydicom.dcmread(path)
        made.compress(pydicom.uid.RLELossless)
        made.save_as(path)
    assert np.array_equal(read(tmp_path / "in").values, wanted)


@pytest.mark.parametrize(("form", "syntax"), [("JPEG", "JPEGBaseline8Bit"), ("JPEG2000", "JPEG2000")])
def test_pictures_that_pillow_compressed_are_decoded(form: str, syntax: str, tmp_path: Path):
    buffer, pixels = BytesIO(), np.add.outer(np.arange(40), 2 * np.arange(50)).astype(np.uint8)
    options = {"irreversible": False, "no_jp2": True} if form == "JPEG2000" else {"quality": 95}
    Image.fromarray(pixels).save(buffer, form, **options)
    made = dataset(pixels, "1.2")
    made.file_meta.TransferSyntaxUID = getattr(pydicom.uid, syntax)
    made.PixelData = pydicom.encaps.encapsulate([buffer.getvalue()])
    made["PixelData"].is_undefined_length = True
    save(made, tmp_path / "x")
    assert np.array_equal(read(tmp_path).values[0], np.asarray(Image.open(buffer)))


def broken(kind: str, folder: Path) -> str:
    """Writes a bad series; the words that its error must have."""
    places = [0, 2.5, 5, 7.5, 10, 12.5, 15]
    if kind == "missing":
        stack(folder, VOXELS[:6], places=[0, 2.5, 5, 12.5, 15, 17.5], shuffled=False)
        return "slices are missing: 2 between the slices 3 and 4 (slices are 2.5 mm apart, there 7.5 mm)"
    if kind == "uneven":
        stack(folder, VOXELS, places=[0, 2.5, 5, 8.5, 10, 12.5, 15])
        return "unevenly spaced: 1.5 to 3.5 mm"
    if kind == "twice":
        stack(folder, VOXELS[:6], places=[0, 0, 2.5, 2.5, 5, 5])
        return "3 of its 6 slices lie where another one does, 2 in each place"
    if kind == "size":
        stack(folder, VOXELS)
        stack(folder / "", VOXELS[:1, :8], places=[17.5], shuffled=False)
        return "differ in size: (8, 12), (10, 12)"
    if kind == "turned":
        stack(folder, VOXELS)
        more = {"cosines": SAGITTAL, "places": [40], "shuffled": False}
        stack(folder, VOXELS[:1], **more)
        return "differ in orientation"
    if kind == "tilted":
        stack(folder, VOXELS, step=(0, 0.2, 1))
        return "shifted sideways against each other, by up to 3 mm (a tilted gantry?)"
    if kind == "no pixels":
        stack(folder, VOXELS, PixelData=None)
        return "has no pixels"
    if kind == "mixed":
        stack(folder, VOXELS, places=places)
        stack(folder, VOXELS[:2], uid="1.2.3.4.2", InstanceNumber=99)
        return "mixes 2 series (files: 2 of MR, 5 of MR); one is wanted, so put each into a folder of its own"
    if kind == "cut":
        path = stack(folder, VOXELS)[3]
        path.write_bytes(path.read_bytes()[:-50])
        return "pixels are cut off or broken"
    if kind == "no dicom":
        stack(folder, VOXELS)
        (folder / "x.dcm").write_text("nothing")
        return "1 of its 8 files: is no readable DICOM file, or is cut off"
    if kind == "cut header":
        path = stack(folder, VOXELS, shuffled=False)[-1]  # without it the others are an even stack
        path.write_bytes(path.read_bytes()[:300])
        return "1 of its 7 files: says nothing of its place in the patient, as the others do (cut off?)"
    if kind == "no number":
        path = stack(folder, VOXELS, RescaleSlope="2.0")[0]
        path.write_bytes(path.read_bytes().replace(b"2.0 ", b"Se.0"))
        return "its header is broken (ValueError)"
    if kind == "no pixel size":
        stack(folder, VOXELS, spacing=(0, 1))
        return "has a PixelSpacing of 0.0 x 1.0 mm"
    if kind == "mosaic":
        stack(folder, VOXELS[:1], ImageType=("ORIGINAL", "PRIMARY", "M", "MOSAIC"))
        return "is a mosaic (all slices in one picture); give the NIfTI that dcm2niix makes of it"
    made = stack(folder, VOXELS[:1])[0]
    ds = pydicom.dcmread(made)
    ds.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLSLossless
    ds.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8" + bytes(100)])
    ds["PixelData"].is_undefined_length = True
    ds.save_as(made)
    return "transfer syntax 1.2.840.10008.1.2.4.80), which nothing installed here decodes: pip install pyjpegls"


BAD = [
    "missing",
    "uneven",
    "twice",
    "size",
    "turned",
    "tilted",
    "no pixels",
    "mixed",
    "cut",
    "no dicom",
    "codec",
    "cut header",
    "no number",
    "no pixel size",
    "mosaic",
]


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_series_is_named_without_its_patient(kind: str, tmp_path: Path):
    words = broken(kind, tmp_path / "Secretsurname")
    with pytest.raises(BadSeriesError) as error:
        read(tmp_path)
    assert words in str(error.value)
    assert "Secret" not in str(error.value)
    assert error.value.files


def test_a_stack_is_held_about_once(tmp_path: Path):
    voxels = np.zeros((30, 256, 256), np.int16)
    stack(tmp_path, voxels, RescaleSlope=1, RescaleIntercept=-1024)
    [series] = find_series(dicom_files(tmp_path)[0])
    tracemalloc.start()
    read_series_files(series)
    assert tracemalloc.get_traced_memory()[1] < 4 * voxels.nbytes
    tracemalloc.stop()


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stack(tmp_path, VOXELS)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(Exception, match=r'pip install "medbundles\[dicom\]"'):
        find_series(dicom_files(tmp_path)[0])
