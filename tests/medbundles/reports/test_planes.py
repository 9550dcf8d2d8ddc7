"""Three planes of a volume: which voxel they pass, and that left, right, front and top are where they belong."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from medbundles.data import axial_slices
from medbundles.reports import planes
from medbundles.reports.panels import GAP, LINE, SIDE, font
from medbundles.reports.pictures import BAR, heat_in_head
from medbundles.reports.planes import sides_across, sides_of, three_planes

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
    assert picture.shape[1] == left + BAR  # the scale
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
    image = np.zeros((64, 64, 8))
    image[6:-6, 6:-6] = np.random.default_rng(0).uniform(0.3, 1, (52, 52, 8))
    heat = np.zeros(image.shape)
    heat[10, 20, 5] = 1
    picture = np.asarray(Image.open(three_planes(image, heat, tmp_path / "p.png")), dtype=float)
    shown = picture[LINE : LINE + SIDE, :SIDE].reshape(64, 6, 64, 6, 3).mean(axis=(1, 3))[..., 0]
    wanted = axial_slices(image)[5]
    away = np.abs(np.arange(64) - (63 - 20)) > 1, np.abs(np.arange(64) - (63 - 10)) > 1  # the lines
    inner = np.ix_(away[0], away[1])
    assert np.corrcoef(shown[inner].ravel(), wanted[inner].ravel())[0, 1] > 0.95


def test_the_planes_pass_the_hottest_voxel(tmp_path):
    image, heat = np.zeros(SHAPE), np.zeros(SHAPE)
    image[4:-4, 4:-4, 4:-4] = 1
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


def test_heat_outside_the_head_is_not_shown():
    heat, head = np.zeros((8, 8)), np.zeros((8, 8), dtype=bool)
    head[2:6, 2:6], heat[3, 3], heat[0, 0] = True, 0.5, 1
    shown, is_outside = heat_in_head(heat, head)
    assert is_outside
    assert shown[0, 0] == 0
    assert shown[3, 3] == 1  # the scale ends at the most that is shown
    assert not heat_in_head(np.zeros((8, 8)), head)[1]


@pytest.mark.parametrize(
    ("path", "dims", "sides"),
    [
        ("a/b.nii.gz", 3, "RL"),
        ("a/b.NII", 3, "RL"),
        ("a/b.npy", 3, ""),
        ("a/b.nii.gz", 2, ""),
        ("a.png", 2, ""),
        ("", 3, ""),
    ],
)
def test_sides_are_told_where_they_are_known(path, dims, sides):
    assert sides_of(path, dims) == sides


def test_sides_across_each_axis_are_those_of_the_planes():
    """Right is at low x in RAS, and the planes are flipped: it is on the left; the nose is at high y."""
    assert [sides_across(axis) for axis in range(3)] == ["AP", "RL", "RL"]


def test_the_caption_says_in_which_voxel_the_lines_meet(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(planes, "write_panels", lambda panels, path, caption: said.append(caption))
    heat = np.zeros(SHAPE)
    heat[10, 42, 22] = 1
    three_planes(np.ones(SHAPE), heat, tmp_path / "p.png", "a")
    assert "x 10, y 42, z 22, counted from left, back and below in the 48 x 64 x 32 voxels that the network" in said[0]
    three_planes(np.ones(SHAPE), 0 * heat, tmp_path / "p.png")
    assert "the planes are the middle ones" in said[1]
    assert "hottest" not in said[1]


def test_the_titles_of_narrow_planes_are_whole(tmp_path):
    shape = (16, 16, 128)
    picture = Image.open(three_planes(np.random.default_rng(0).random(shape), np.zeros(shape), tmp_path / "p.png"))
    widths = [2 * GAP + round(font().getlength(title)) for title in ("axial, z 64", "coronal, y 8", "sagittal, x 8")]
    assert min(widths) > 16 * 3
    assert picture.width == sum(widths) + 3 * GAP + BAR
