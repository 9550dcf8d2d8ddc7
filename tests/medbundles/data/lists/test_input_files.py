"""What below a folder is an input, and what is a mask or a result."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from medbundles.data.lists.input_files import input_files
from medbundles.errors import DataError


def files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def found(folder: Path, *args, **options) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in input_files(folder, *args, **options)]


def test_our_own_layouts_give_their_images(tmp_path, caplog):
    files(tmp_path, "train/images/p/1.png", "train/masks/p/1.png", "kaggle/train/yes/Y1.jpg", "raw/p/p_1.tif")
    files(tmp_path, "raw/p/p_1_mask.tif", "split_lgg.json")
    with caplog.at_level(logging.INFO, "medbundles"):
        assert found(tmp_path) == ["kaggle/train/yes/Y1.jpg", "raw/p/p_1.tif", "train/images/p/1.png"]
    assert "2 masks by their names (raw/p/p_1_mask.tif, train/masks/p/1.png)" in caplog.text
    assert found(tmp_path / "train/masks") == ["p/1.png"]  # asked for by name
    assert input_files(tmp_path / "raw/p/p_1_mask.tif") == [tmp_path / "raw/p/p_1_mask.tif"]


def test_a_mask_without_an_image_is_warned_of_and_a_weak_name_is_none(tmp_path, caplog):
    files(tmp_path, "roi_1.png", "roi_2.png", "2.png", "gt_9.png", "3.png", "3_mask.png", "brain_seg_4.png")
    with caplog.at_level(logging.INFO, "medbundles"):
        assert found(tmp_path) == ["2.png", "3.png", "gt_9.png", "roi_1.png"]
    left, warned = caplog.records
    assert "3 masks by their names (3_mask.png, brain_seg_4.png, roi_2.png)" in left.message
    assert (left.levelname, warned.levelname) == ("INFO", "WARNING")
    assert "1 files" in warned.message
    assert "could be the masks of: brain_seg_4.png. If they are" in warned.message


def test_results_of_earlier_runs_are_no_inputs(tmp_path, caplog):
    files(tmp_path, "a.png", "sub/b.png", "sub/gradcam/c.png")  # the last one lies beside no record
    files(tmp_path / "sub/out", "predictions.json", "masks/a_mask.png", "overlays/a.png", "gradcam/x/a.png", "own.png")
    files(tmp_path / "vae", "predictions.json", "reconstructions/a.png", "samples/0.png")
    files(tmp_path / "runs/run_1", "config/environment.json", "plots/roc_curve.png")
    files(tmp_path / "now", "overlays/a.png")
    inputs = ["a.png", "sub/b.png", "sub/gradcam/c.png", "sub/out/own.png"]
    assert found(tmp_path) == sorted([*inputs, "now/overlays/a.png"])
    with caplog.at_level(logging.INFO, "medbundles"):
        assert found(tmp_path, tmp_path / "now") == inputs
    assert "7 results of earlier runs (now/overlays/a.png, runs/run_1/plots/roc_curve.png, " in caplog.text
    assert found(tmp_path / "vae/reconstructions") == ["a.png"]  # asked for by name
    with pytest.raises(DataError, match=r"no images in .*vae that could be an input, but 2 results of earlier runs \("):
        input_files(tmp_path / "vae")


def test_what_is_of_another_kind_is_counted(tmp_path, caplog):
    files(tmp_path, "a.nii.gz", "b.png")
    with caplog.at_level(logging.INFO, "medbundles"):
        assert found(tmp_path, endings=(".nii", ".nii.gz")) == ["a.nii.gz"]
    assert "1 no volumes (b.png)" in caplog.text
