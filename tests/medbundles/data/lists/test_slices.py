"""Pairs of image and mask; all that is wrong is told at once."""

import logging

import numpy as np
import pytest
from PIL import Image

from medbundles.data import slice_datalist
from medbundles.errors import DataError


def put(folder, kind, name, size=(8, 6)):
    path = folder / kind / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.arange(size[0] * size[1], dtype=np.uint8).reshape(size)
    if path.suffix == ".npy":
        np.save(path, pixels)
    else:
        Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def part(tmp_path):
    for name in ("p2/b.png", "p1/a.tif", "flat.png"):
        put(tmp_path, "images", name)
        put(tmp_path, "masks", name)
    put(tmp_path, "images", "p1/c.npy")
    put(tmp_path, "masks", "p1/c.png")
    (tmp_path / "images" / "p1" / "._c.png").write_bytes(b"macOS")
    return tmp_path


def test_items(part):
    items = slice_datalist(part)
    assert [(item["name"], item["patient"]) for item in items] == [
        ("flat", "flat"),
        ("p1/a", "p1"),
        ("p1/c", "p1"),
        ("p2/b", "p2"),
    ]
    assert items[2] == {
        "image": str(part / "images/p1/c.npy"),
        "mask": str(part / "masks/p1/c.png"),
        "label": -1,
        "has_mask": True,
        "patient": "p1",
        "source": "slices",
        "name": "p1/c",
    }


def test_all_problems_in_one_error_or_left_out_with_a_log_line(part, caplog):
    put(part, "images", "p3/lonely.png")
    put(part, "masks", "p3/orphan.png")
    put(part, "images", "p3/size.png")
    put(part, "masks", "p3/size.png", (6, 8))
    put(part, "images", "p3/broken.png").write_bytes(b"no image")
    put(part, "masks", "p3/broken.png")
    put(part, "images", "p3/twice.png")
    put(part, "images", "p3/twice.tif")
    put(part, "masks", "p3/twice.png")
    with pytest.raises(DataError) as error:
        slice_datalist(part)
    text = str(error.value)
    for wanted in (
        "5 bad files",
        "lonely.png: image without a mask",
        "orphan.png: mask without an image",
        "--skip_bad_files True",
        "size.png: is 8x6 (HxW), its mask",
        "6x8",
        "broken.png: not a readable",
        "twice.tif: has the same name as",
    ):
        assert wanted in text
    with caplog.at_level(logging.WARNING, logger="medbundles"):
        items = slice_datalist(part, skip_bad_files=True)
    assert [item["name"] for item in items] == ["flat", "p1/a", "p1/c", "p2/b", "p3/twice"]
    assert "5 bad files" in caplog.text
    assert "orphan.png" in caplog.text


def test_long_lists_are_cut(part):
    for number in range(40):
        put(part, "images", f"p9/{number}.png")
    with pytest.raises(DataError, match="and 20 more") as error:
        slice_datalist(part)
    assert len(str(error.value).splitlines()) < 25


def test_missing_or_empty_folders_name_the_command(tmp_path):
    with pytest.raises(DataError, match=r"folder not found.*python -m tools sample-data --out DIR"):
        slice_datalist(tmp_path / "train")
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataError, match=r"no images in it.*sample-data"):
        slice_datalist(tmp_path)
    put(tmp_path, "images", "a.png")
    with pytest.raises(DataError, match="no usable image is left"):
        slice_datalist(tmp_path, skip_bad_files=True)
