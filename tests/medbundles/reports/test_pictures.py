"""Overlays and heat maps: where the colours are, and that any size and content works."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from medbundles.reports.panels import GAP, LINE, font
from medbundles.reports.pictures import (
    BAR,
    CLASSES,
    LETTER,
    PREDICTION,
    TRUTH,
    compared,
    comparison,
    gray,
    heat_colours,
    heat_map,
    overlay,
    scale_bar,
)


def test_outlines_lie_on_the_rims(tmp_path):
    image, truth, predicted = np.random.default_rng(0).random((1, 96, 128)), np.zeros((96, 128)), np.zeros((96, 128))
    truth[10:30, 20:50], predicted[60:80, 80:120] = 1, 1
    picture = np.asarray(Image.open(overlay(image, tmp_path / "o.png", predicted=predicted, truth=truth, caption="x")))
    factor = 3  # 128 pixels to 384
    wide = 128 * factor + 8
    middle, right = picture[: 96 * factor, wide : 2 * wide - 8], picture[: 96 * factor, 2 * wide :]
    rims = {TRUTH: (10, 30, 20, 50), PREDICTION: (60, 80, 80, 120)}
    for panel, colour in ((middle, TRUTH), (right, TRUTH), (right, PREDICTION)):
        top, bottom, left, right_edge = rims[colour]
        rows, columns = np.nonzero((panel == colour).all(-1))
        assert (rows.min() // factor, rows.max() // factor + 1) == (top, bottom)
        assert (columns.min() // factor, columns.max() // factor + 1) == (left, right_edge)
        assert len(rows) < 0.5 * (bottom - top) * (right_edge - left) * factor**2  # an outline, not an area
    assert not (middle == PREDICTION).all(-1).any()  # the truth stands alone beside the prediction
    assert (picture[: 96 * factor, : 128 * factor].std(axis=-1) == 0).all()  # the image beside it is untouched


def test_each_of_several_classes_has_a_colour_that_a_legend_names(tmp_path):
    image, truth, predicted = np.random.default_rng(0).random((64, 64)), np.zeros((64, 64)), np.zeros((64, 64))
    truth[10:20, 10:20], truth[30:50, 30:50], predicted[31:50, 31:50] = 1, 3, 3
    whole = {"truth": truth, "predicted": predicted}
    picture = np.asarray(Image.open(overlay(image, tmp_path / "o.png", **whole, names=["core", "oedema", "rim"])))
    middle, right = picture[:384, 392 : 392 + 384], picture[:384, 784:]
    for panel, shown in ((middle, {0: 11, 2: 31}), (right, {2: 31})):
        for number, colour in enumerate(CLASSES[:3]):
            rows, _ = np.nonzero((panel == colour).all(-1))
            assert (len(rows) > 0) == (number in shown)
            assert abs(rows.min() / 6 - shown[number]) <= 1 if len(rows) else True
    below = picture[384:]
    told = [(below == colour).all(-1).any() for colour in CLASSES[:3]]
    assert told == [True, False, True]  # those that are there
    assert not any((picture[:384] == colour).all(-1).any() for colour in (TRUTH, PREDICTION))
    alone = np.asarray(Image.open(overlay(image, tmp_path / "one.png", predicted=predicted > 0, names=["core", "rim"])))
    assert (alone[:384, 392:] == CLASSES[0]).all(-1).any()  # a class that is alone there keeps its colour


def test_a_long_legend_has_several_rows_and_no_name_is_cut(tmp_path):
    labels = np.repeat(np.arange(13), 5)[None].repeat(65, axis=0)
    names = [f"a very long name of organ {number}" for number in range(1, 13)]
    picture = np.asarray(Image.open(overlay(np.ones((65, 65)), tmp_path / "o.png", predicted=labels, names=names)))
    assert picture.shape[0] > 390 + 5 * LINE  # two or three in a row
    assert not picture[395:, -4:].any()


def test_heat_is_bright_where_it_is_hot(tmp_path):
    heat = np.zeros((64, 64))
    heat[40:50, 10:20] = 1
    picture = np.asarray(Image.open(heat_map(np.ones((64, 64)), heat, tmp_path / "h.png")), dtype=float)
    right = picture[:384, 384 + 8 :]
    assert right[45 * 6, 15 * 6, 0] > right[45 * 6, 15 * 6, 2] + 50  # yellow
    assert np.ptp(right[10 * 6, 40 * 6]) == 0  # gray


def test_heat_stays_in_the_head_and_has_a_scale(tmp_path):
    image, heat = np.zeros((64, 64)), np.full((64, 64), 0.5)
    image[16:48, 16:48] = np.random.default_rng(0).uniform(0.5, 1, (32, 32))
    heat[4, 4] = 1
    picture = np.asarray(Image.open(heat_map(image, heat, tmp_path / "h.png")), dtype=float)
    right = picture[:384, 384 + 8 : 2 * 384 + 8]
    assert np.ptp(right[4 * 6 + 3, 4 * 6 + 3]) == 0  # the hottest place lies in the air
    assert np.ptp(right[32 * 6, 32 * 6]) > 50
    assert (picture[:384, 2 * 392 :] == scale_bar(384, 1.0, over_gray=True)).all()


def test_beside_a_wide_picture_the_values_of_the_scale_do_not_lie_on_each_other(tmp_path):
    image = np.random.default_rng(0).uniform(0.5, 1, (16, 400))
    for path in (heat_map(image, image, tmp_path / "h.png"), comparison(image, image**2, tmp_path / "c.png")):
        bar = np.asarray(Image.open(path).convert("L"))[: 5 * LINE, -BAR:]
        texts = (bar[:, 4 * GAP :] > 128).any(axis=1)  # rows that letters are in
        assert np.count_nonzero(np.diff(texts.astype(int)) == 1) + texts[0] == 3


def test_sides_are_lettered_where_they_are_known(tmp_path):
    image = np.random.default_rng(0).random((64, 64))
    for sides, told in (("", False), ("RL", True)):
        picture = np.asarray(Image.open(overlay(image, tmp_path / "o.png", predicted=image > 2, sides=sides)))
        yellow = (picture == LETTER).all(-1)
        assert yellow.any() == told
    columns = np.flatnonzero(yellow[:384, :384].any(0))
    assert columns.min() < 16
    assert columns.max() > 384 - 16
    assert yellow[180:204].sum() == yellow.sum()  # halfway up


@pytest.mark.parametrize("form", [".png", ".jpg"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 900), (700, 5), (3, 40, 60)])
def test_any_shape(tmp_path, shape, form):
    image = np.arange(np.prod(shape), dtype=float).reshape(shape)
    plane = image.shape[-2:]
    overlay(image, tmp_path / f"o{form}", predicted=np.ones(plane), truth=np.zeros(plane), caption="a b\n" * 3)
    heat_map(image, np.zeros(plane), tmp_path / f"h{form}", predicted=np.zeros(plane))
    assert {p.name for p in tmp_path.iterdir()} == {f"o{form}", f"h{form}"}


def test_gray_uses_the_range_that_is_there():
    assert gray(np.full((4, 4), 7.0)).max() == 0
    values = gray(np.linspace(-1000, 3000, 10000).reshape(100, 100))
    assert values.min() == 0
    assert values.max() == 255
    assert abs(int(values[50, 0]) - 127) < 3
    spike = np.zeros((100, 100))
    spike[0, 0] = 5  # less than the middle 99 %
    assert gray(spike)[0, 0] == 255


def test_a_difference_has_the_colours_of_its_scale():
    target = np.tile(np.linspace(0, 1, 400, dtype=np.float32), (400, 1))
    made = target.copy()
    made[100:200], made[200:] = target[100:200] + 0.1, target[200:] - 0.2
    picture = np.asarray(compared(target, made, "case"))
    third, bar = picture[:, 2 * 408 :], scale_bar(400, 0.2)
    assert (third[:400, 408:] == bar).all()
    assert third[300, 200].tolist() == heat_colours(np.ones((1, 1)))[0, 0].tolist()
    assert third[50, 200].tolist() == [0, 0, 3]
    middle = bar[200, 12].astype(int)  # half the largest difference
    assert np.abs(third[150, 200].astype(int) - middle).max() <= 4


def test_one_wrong_pixel_does_not_darken_the_difference():
    target = np.random.default_rng(0).random((400, 400)).astype(np.float32)
    made = target + 0.1
    made[0, 0] += 100
    assert np.asarray(compared(target, made))[200, 2 * 408 + 200].sum() > 500


@pytest.mark.parametrize("shape", [(1, 1), (3, 900), (2100, 5), (1500, 2943)])
def test_a_comparison_of_any_shape_is_not_larger_than_needed(shape):
    target = np.random.default_rng(0).random(shape).astype(np.float32)
    width, height = compared(target, target).size
    assert height <= 1100
    assert width <= 3 * 1024 + 200


def test_umlauts_are_letters_and_no_boxes():
    drawn = {bytes(font().getmask(letter)) for letter in "äöüßéçñ"}
    assert len(drawn) == 7
