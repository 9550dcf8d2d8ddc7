"""Three planes of a volume: which voxel they pass, and that left, right, front and top are where they belong."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from medbundles.data import axial_slices
from medbundles.reports.pictures import GAP, LINE, SIDE
from medbundles.reports.planes import three_planes

SHAPE = (48, 64, 32)  # X, Y, Z: enlarged 6 times
FACTOR = 6


def panels(path) -> dict[str, list[np.ndarray]]:
    """The two panels (above, below) of each plane, cut out of the picture and made small again."""
    picture = np.asarray(Image.open(path), dtype=float)
    x, y, z = SHAPE
    found, left = {}, 0
    for plane, (height, width) in {"axial": (y, x), "coronal": (z, x), "sagittal": (z, y)}.items():
        found[plane] = []
        for i in range(2):
            top = LINE + i * (SIDE + GAP) + (SIDE - height * FACTOR) // 2
            cut = picture[top : top + height * FACTOR, left : left + width * FACTOR]
            found[plane].append(cut[FACTOR // 4 :: FACTOR, FACTOR // 4 :: FACTOR])
        left += width * FACTOR + GAP
    assert picture.shape[1] == left - GAP
    return found


# where a bar at the patient's right, front and top is shown: plane -> the axis across it (0: near the top, 1: left)
@pytest.mark.parametrize(
    ("axis", "sides"),
    [(0, {"axial": 1, "coronal": 1}), (1, {"axial": 0, "sagittal": 1}), (2, {"coronal": 0, "sagittal": 0})],
    ids=["right", "front", "top"],
)
def test_directions(tmp_path, axis, sides):
    image = np.zeros(SHAPE)
    bar = [slice(None)] * 3
    bar[axis] = slice(SHAPE[axis] - 8, SHAPE[axis] - 4)
    image[tuple(bar)] = 1
    found = panels(three_planes(image, np.zeros(SHAPE), tmp_path / "p.png"))
    for plane, across in sides.items():
        gray = np.median(found[plane][0], axis=-1)  # the lines are one colour in three
        profile = np.median(gray, axis=1 - across)
        assert profile[5:7].min() > 200, plane
        assert profile[12:].max() < 60, plane


def test_axial_is_turned_like_the_slices_of_the_other_bundle(tmp_path):
    image = np.random.default_rng(0).random((64, 64, 8))
    heat = np.zeros(image.shape)
    heat[10, 20, 5] = 1
    picture = np.asarray(Image.open(three_planes(image, heat, tmp_path / "p.png")), dtype=float)
    shown = picture[LINE : LINE + SIDE, :SIDE].reshape(64, 6, 64, 6, 3).mean(axis=(1, 3))[..., 0]
    wanted = axial_slices(image)[5]
    away = np.abs(np.arange(64) - (63 - 20)) > 1, np.abs(np.arange(64) - (63 - 10)) > 1  # the lines
    inner = np.ix_(away[0], away[1])
    assert np.corrcoef(shown[inner].ravel(), wanted[inner].ravel())[0, 1] > 0.95


def test_the_planes_pass_the_hottest_voxel(tmp_path):
    image, heat = np.random.default_rng(0).normal(0, 0.05, SHAPE), np.zeros(SHAPE)
    heat[8:13, 40:45, 20:25] = 0.5
    heat[10, 42, 22] = 1
    found = panels(three_planes(image, heat, tmp_path / "p.png"))
    x, y, z = 48 - 1 - 10, 64 - 1 - 42, 32 - 1 - 22
    for plane, (row, column) in {"axial": (y, x), "coronal": (z, x), "sagittal": (z, y)}.items():
        below = found[plane][1]
        assert below[row, column, 0] > below[row, column, 2] + 50, plane  # yellow
        warm = np.ptp(below, axis=-1) > 20
        rows = np.nonzero(warm[:, 12:-12])[0]  # without the letters
        assert abs(rows.mean() - row) < 2, plane


@pytest.mark.parametrize("shape", [(1, 1, 1), (128, 128, 128), (5, 300, 40)])
def test_any_shape_and_no_heat(tmp_path, shape):
    path = three_planes(np.full(shape, -4.0), np.zeros(shape), tmp_path / "sub" / "p.png", caption="a\n" * 3)
    assert Image.open(path).height > SIDE


def test_the_planes_pass_the_head_where_the_hottest_voxel_does_not(tmp_path):
    """A corner full of heat would else give three black planes."""
    image, heat = np.zeros(SHAPE), np.zeros(SHAPE)
    image[16:32, 16:48, 8:24] = 1
    heat[20, 30, 10] = 0.5
    inside = three_planes(image, heat, tmp_path / "inside.png", "a case")
    heat[0, 0, 0] = 1
    corner = three_planes(image, heat, tmp_path / "corner.png", "a case")
    for plane in ("axial", "coronal", "sagittal"):
        assert np.array_equal(panels(corner)[plane][0], panels(inside)[plane][0])
    heights = [Image.open(path).height for path in (inside, corner)]
    assert heights[1] == heights[0] + LINE  # a line that says so
