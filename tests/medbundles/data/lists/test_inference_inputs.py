"""What inference finds in a folder, and what it refuses."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from medbundles.data import axial_slices, inference_datalist, open_volume, read_image, read_volume, write_volume
from medbundles.errors import ConfigError, DataError


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (20, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, size, dtype=np.uint8)
    np.save(path, pixels) if path.suffix == ".npy" else Image.fromarray(pixels).save(path)
    return path


def volume(path: Path, shape: tuple[int, ...] = (6, 7, 4), axes: str = "RAS") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    codes = nibabel.orientations.axcodes2ornt(tuple(axes))
    affine = np.diag([1.0, 2.0, 3.0, 1.0]) @ np.linalg.inv(nibabel.orientations.inv_ornt_aff(codes, shape[:3]))
    data = np.random.default_rng(1).random(shape).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(data, affine), path)
    return path


def test_a_folder_gives_pictures_and_slices_with_unique_names(tmp_path):
    picture(tmp_path / "in" / "a.png")
    picture(tmp_path / "in" / "a.JPG")
    picture(tmp_path / "in" / "b" / "a.tif")
    picture(tmp_path / "in" / "a_png.npy")
    picture(tmp_path / "in" / ".hidden.png")
    (tmp_path / "in" / "notes.txt").write_text("x")
    volume(tmp_path / "in" / "p 1" / "flair.nii.gz")
    items = inference_datalist(tmp_path / "in")
    found = {item["name"]: (Path(item["image"]).name, item["slices"]) for item in items}
    assert found == {
        "a_JPG": ("a.JPG", 1), "a_png_": ("a.png", 1), "a_png": ("a_png.npy", 1), "b/a": ("a.tif", 1),
        "p 1": ("flair.nii.gz", 4),
    }  # fmt: skip
    assert [item["slice"] for item in items if item["name"] == "p 1"] == [0, 1, 2, 3]
    assert {item["slice"] for item in items if item["name"] != "p 1"} == {-1}
    assert inference_datalist(tmp_path / "in" / "b" / "a.tif")[0]["name"] == "a"


@pytest.mark.parametrize(("axes", "count"), [("RAS", 4), ("PSR", 7), ("LPS", 4), ("SAL", 6)])
def test_slices_are_axial_whatever_the_stored_axes(tmp_path, axes, count):
    path = volume(tmp_path / "v.nii", (6, 7, 4), axes)
    assert len(inference_datalist(path)) == count
    opened = open_volume(path)
    canonical, _ = read_volume(path)
    assert np.array_equal(opened.slices, axial_slices(canonical))
    write_volume(tmp_path / "back.nii.gz", opened.whole(opened.slices), opened.info)
    there, back = nibabel.load(path), nibabel.load(tmp_path / "back.nii.gz")
    assert np.array_equal(there.get_fdata(), back.get_fdata())
    assert np.array_equal(there.affine, back.affine)
    assert open_volume(path) is opened  # read once
    assert opened.voxel_volume == pytest.approx(6)


def test_a_volume_of_one_plane_is_that_plane(tmp_path):
    path = volume(tmp_path / "sagittal.nii.gz", (1, 7, 4))
    assert len(inference_datalist(path)) == 1
    opened = open_volume(path)
    assert np.array_equal(opened.slices[0], read_image(path, 1)[0])
    assert opened.pixel_area == pytest.approx(6)
    assert np.array_equal(opened.whole(opened.slices), read_volume(path)[0])


def test_bad_files_do_not_stop_the_others_unless_all_are(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "lfs.tif").write_text("version https://git-lfs.github.com/spec/v1\n")
    volume(tmp_path / "series.nii.gz", (6, 7, 4, 3))
    with pytest.raises(DataError) as error:
        inference_datalist(tmp_path)
    for part in ("3 bad files", "empty.png: file is empty", "lfs.tif: is a git-lfs pointer", "series.nii.gz: is 4D"):
        assert part in str(error.value)
    picture(tmp_path / "good.png")
    good, *bad = inference_datalist(tmp_path)
    assert good["name"] == "good"
    assert {Path(item["image"]).name: item["failed"][:10] for item in bad} == {
        "empty.png": "file is em", "lfs.tif": "is a git-l", "series.nii.gz": "is 4D (6, ",
    }  # fmt: skip


def test_channels_that_a_volume_does_not_have(tmp_path):
    volume(tmp_path / "v.nii.gz")
    assert len(inference_datalist(tmp_path, channels=3)) == 4
    with pytest.raises(DataError, match=r"1 NIfTI volume\(s\) give 1 channel\(s\), 4 are wanted \(in_channels\); name"):
        inference_datalist(tmp_path, channels=4)


def test_of_a_case_the_wanted_sequences_are_taken(tmp_path, caplog):
    for sequence in ("flair", "t1", "seg"):
        volume(tmp_path / f"in/Brats18_1/Brats18_1_{sequence}.nii.gz")
    picture(tmp_path / "in/a.png")
    with pytest.raises(ConfigError, match="the input holds flair, t1, and neither the weights nor you say which"):
        inference_datalist(tmp_path / "in")
    with caplog.at_level(logging.INFO, "medbundles"):
        items = inference_datalist(tmp_path / "in", modality="t1")
    assert [(item["name"], item["slice"]) for item in items] == [
        *(("Brats18_1", z) for z in range(4)),
        ("a", -1),
    ]
    assert {Path(item["image"]).name for item in items} == {"a.png", "Brats18_1_t1.nii.gz"}
    assert "left out are 1 masks by their names (Brats18_1/Brats18_1_seg.nii.gz)" in caplog.text
    assert "left out are 1 of other sequences" in caplog.text
    two = inference_datalist(tmp_path / "in/Brats18_1", 2, modality=["t1", "flair"])
    assert [[Path(path).name for path in item["image"]] for item in two] == [
        ["Brats18_1_t1.nii.gz", "Brats18_1_flair.nii.gz"]
    ] * 4
    with pytest.raises(DataError, match=r"2 NIfTI volume\(s\) give 2 channel\(s\), 3 are wanted"):
        inference_datalist(tmp_path / "in/Brats18_1", 3, modality=["t1", "flair"])
    *_, bad = inference_datalist(tmp_path / "in", modality="t2")
    assert bad["failed"].startswith("case Brats18_1 has no t2 (it has flair, t1)")
    volume(tmp_path / "in/Brats18_1/Brats18_1_flair.nii.gz", (6, 7, 5))
    with pytest.raises(DataError, match=r"has the shape \(6, 7, 5\)"):
        inference_datalist(tmp_path / "in/Brats18_1", 2, modality=["t1", "flair"])


def test_nothing_to_do_is_said_clearly(tmp_path):
    with pytest.raises(ConfigError, match="input: no input is given; give an image or a folder, as in --input"):
        inference_datalist("")
    with pytest.raises(DataError, match="nowhere does not exist"):
        inference_datalist(tmp_path / "nowhere")
    with pytest.raises(DataError, match="input: no images in"):
        inference_datalist(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match=r"a.txt is not an image; the endings are: .png"):
        inference_datalist(tmp_path / "a.txt")
    with pytest.raises(ConfigError, match="existing: 'keep' is unknown; use one of: overwrite, skip, error"):
        inference_datalist(tmp_path, existing="keep")


def test_results_that_are_there(tmp_path):
    first = picture(tmp_path / "in" / "a.png")
    picture(tmp_path / "in" / "b.png")
    output = tmp_path / "in" / "out"
    mask = picture(output / "masks" / "a_mask.png")
    row = {"file": str(first), "mask": "masks/a_mask.png"}
    (output / "predictions.json").write_text(json.dumps({"results": [row]}))
    options = {"output": output}
    assert [i["name"] for i in inference_datalist(tmp_path / "in", **options)] == ["a", "b"]  # and not its own mask
    assert [i["name"] for i in inference_datalist(tmp_path / "in", **options, existing="skip")] == ["b"]
    with pytest.raises(DataError, match="already has results of 1 of the 2 inputs"):
        inference_datalist(tmp_path / "in", **options, existing="error")
    assert inference_datalist(first, **options, existing="skip") == []
    mask.unlink()  # a row without its mask is not done
    assert len(inference_datalist(tmp_path / "in", **options, existing="skip")) == 2
    (output / "predictions.json").write_text("{")
    with pytest.raises(DataError, match="is no record of an inference"):
        inference_datalist(tmp_path / "in", **options, existing="skip")


def test_real_folder_with_a_4d_file(real_data):
    (bad,) = (item for item in inference_datalist(real_data / "spinal_cord") if "failed" in item)
    assert bad["image"].endswith("dmri_dmri.nii.gz")
    assert bad["failed"].startswith("is 4D (40, 42, 5, 7)")
    assert len(inference_datalist(real_data / "kaggle_yesno")) == 170


def test_results_of_others_of_the_same_name_stay(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / folder / "1.png")
    (tmp_path / "out").mkdir()
    row = {"file": str(tmp_path / "a/1.png"), "name": "1"}
    (tmp_path / "out/predictions.json").write_text(json.dumps({"results": [row]}))
    assert inference_datalist(tmp_path / "a", output=tmp_path / "out", existing="skip") == []
    with pytest.raises(DataError, match=r"has results of other inputs under the same names: 1 of .*/a/1\.png"):
        inference_datalist(tmp_path / "b", output=tmp_path / "out", existing="skip")
