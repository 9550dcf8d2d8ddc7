"""One value range per image, and what the file holds decides which."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from medbundles.errors import DataError
from medbundles.transforms import LoadWholeImage


def load(path, array, channels=1):
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)
    return LoadWholeImage(2, channels)({"image": path, "name": "a"})


@pytest.mark.parametrize(
    ("array", "name", "value_range"),
    [
        (np.array([[3, 7]], np.uint8), "a.png", (0, 255)),  # a dark picture stays dark
        (np.array([[3, 7]], np.uint8), "a.npy", (0, 255)),
        (np.array([[3, 7]], np.uint16), "a.png", (3, 7)),  # whole numbers below 256, but of 16 bits
        (np.array([[100, 4000]], np.uint16), "a.tif", (100, 4000)),
        (np.array([[0, 255]], np.float32), "a.npy", (0, 255)),
        (np.array([[-1.5, 2.5]], np.float32), "a.npy", (-1.5, 2.5)),
        (np.array([[1, 2]], np.int8), "a.npy", (1, 2)),
    ],
)
def test_the_stored_type_decides_on_the_range(tmp_path, array, name, value_range):
    item = load(tmp_path / name, array)
    assert item["value_range"].tolist() == list(value_range)
    assert item["value_range"].dtype == torch.float64
    low, high = value_range
    expected = (array.astype(np.float64) - low) / (high - low)
    torch.testing.assert_close(item["image"], torch.from_numpy(expected[None]).float())
    assert (item["image_path"], item["name"]) == (str(tmp_path / name), "a")


def test_a_constant_image_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(DataError, match=r"flat\.png: the image is constant"):
        load(tmp_path / "flat.png", np.full((4, 4), 9, np.uint8))


def test_an_item_without_an_image_passes():
    assert LoadWholeImage()({"latent": "a.npz"}) == {"latent": "a.npz"}
