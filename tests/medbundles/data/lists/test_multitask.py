from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from medbundles.data import multitask_datalist
from medbundles.errors import DataError

CLASSES = ["no", "yes"]


@pytest.fixture
def folders(tmp_path):
    rng = np.random.default_rng(0)
    for path in ["s/images/p1/0.png", "s/masks/p1/0.png", "k/no/1.png", "k/yes/2.png"]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 2, (8, 8)) * 255 if "masks" in path else rng.integers(0, 255, (8, 8))
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / path)
    return str(tmp_path / "s"), str(tmp_path / "k")


def test_both_sources_one_after_the_other_and_each_alone(folders):
    slices, pictures = folders
    both = multitask_datalist(slices, pictures, CLASSES)
    assert [item["source"] for item in both] == ["slices", "images", "images"]
    assert [item["has_mask"] for item in both] == [True, False, False]
    assert [item["label"] for item in both] == [-1, 0, 1]
    assert multitask_datalist(slices, False, CLASSES) == both[:1]
    assert multitask_datalist(None, pictures, CLASSES) == both[1:]


@pytest.mark.parametrize("off", [(None, None), (False, False), (None, False)])
def test_no_source_at_all_is_an_error(off):
    with pytest.raises(DataError, match="folders of both sources, slices and pictures, are switched off"):
        multitask_datalist(*off, CLASSES)


def test_what_is_optional_may_be_missing(folders, tmp_path):
    _, pictures = folders
    gone = str(tmp_path / "gone")
    assert multitask_datalist(gone, None, CLASSES, optional=True) == []
    assert multitask_datalist(gone, pictures, CLASSES, optional=True) == multitask_datalist(None, pictures, CLASSES)
    with pytest.raises(DataError, match="gone"):
        multitask_datalist(gone, pictures, CLASSES)
