"""Figures are written whole, and show what they are given."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from medbundles.errors import ConfigError
from medbundles.reports import figures
from medbundles.reports.figures import (
    confusion_matrix,
    pr_curve,
    reliability,
    roc_curve,
)


def readable(path) -> bool:
    with Image.open(path) as picture:
        picture.load()
        return picture.format == "PNG" and min(picture.size) > 200 and len(set(picture.convert("L").tobytes())) > 20


def test_curves_and_matrix(tmp_path):
    label, prob = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    assert readable(confusion_matrix(label, prob > 0.5, ["no", "yes"], tmp_path / "cm.png"))
    assert readable(roc_curve({"all": (label, prob)}, tmp_path / "roc.png", threshold=0.5))
    assert readable(pr_curve({"all": (label, prob), "b": (label, prob)}, tmp_path / "pr.png", threshold=0.9))


def test_one_group_stands_out_from_the_folds(tmp_path, monkeypatch):
    drawn = {}

    def note(axes, cuts, x, y, threshold, look, named):
        drawn[look["color"]] = (look["linewidth"], named)

    monkeypatch.setattr(figures, "_mark", note)
    label, prob = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    groups = dict.fromkeys([*(f"fold {i}" for i in range(9)), "all, out of fold"], (label, prob))
    for figure in (roc_curve, pr_curve):
        drawn.clear()
        assert readable(figure(groups, tmp_path / "folds.png", threshold=0.5, strong="all, out of fold"))
        assert drawn == {figures.COLOURS[0]: (2.6, True)}
    looks, marked = figures._looks(groups, "all, out of fold")
    assert marked == ["all, out of fold"]
    assert [look["color"] for look in looks.values()].count(figures.COLOURS[0]) == 1
    with pytest.raises(ConfigError, match="no group 'alle' among: fold 0, fold 1"):
        roc_curve(groups, tmp_path / "folds.png", strong="alle")


@pytest.mark.parametrize("prob", [[0.0, 0.1, 0.95, 1.0], [0.5, 0.5, 0.5, 0.5]])
def test_reliability_with_empty_bins_and_at_the_edges(tmp_path, prob):
    label = np.array([0, 1, 1, 1])
    assert readable(reliability(label, np.array(prob), tmp_path / "reliability.png", positive="HGG"))


def test_points_of_the_curves_equal_counting(tmp_path, monkeypatch):
    label, prob = np.array([0, 1, 1, 0, 1]), np.array([0.2, 0.2, 0.7, 0.5, 0.5])
    drawn = []
    monkeypatch.setattr(figures, "_mark", lambda axes, cuts, x, y, *_: drawn.append((cuts, x, y)))
    for figure in (roc_curve, pr_curve):
        figure({"all": (label, prob)}, tmp_path / "curve.png")
    (cuts, false, hits), (pr_cuts, recall, precision) = drawn
    assert cuts.tolist() == [np.inf, 0.7, 0.5, 0.2]
    assert pr_cuts.tolist() == [0.7, 0.5, 0.2]
    for cut, f, h in zip(cuts, false, hits, strict=True):
        assert (f, h) == (((prob >= cut) & (label == 0)).sum() / 2, ((prob >= cut) & (label == 1)).sum() / 3)
    for cut, r, p in zip(pr_cuts, recall, precision, strict=True):
        assert (r, p) == ((prob >= cut)[label == 1].mean(), label[prob >= cut].mean())


def test_no_global_state_of_pyplot(tmp_path):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    confusion_matrix(np.array([0]), np.array([0]), ["a", "b"], tmp_path / "cm.png")
    assert pyplot.get_fignums() == []


def test_long_names_of_classes_do_not_lie_on_each_other(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *args, **options: figures.append(figure))
    monkeypatch.setattr("medbundles.reports.figures.replace_atomic", lambda path: nullcontext(path))
    for names in (["LGG", "HGG"], ["glioblastoma multiforme", "anaplastic astrocytoma", "no tumour at all"]):
        confusion_matrix(np.array([0, 1]), np.array([0, 1]), names, tmp_path / "c.png")
        figure = figures[-1]
        figure.draw_without_rendering()
        labels = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
        if figure.axes[0].get_xticklabels()[0].get_rotation():  # side by side along their slope: the ends are apart
            assert all(b.x1 - a.x1 > 40 for a, b in pairwise(labels))
        else:
            assert not any(a.overlaps(b) for a, b in pairwise(labels))
        assert labels[0].y0 >= 0


def test_names_with_dollar_signs_are_shown_as_they_are(tmp_path):
    label, prob = np.array([0, 1, 0, 1]), np.array([0.1, 0.9, 0.6, 0.4])
    names = ["below $a_{", "above $b^} or $"]
    confusion_matrix(label, (prob > 0.5).astype(int), names, tmp_path / "matrix.png")
    roc_curve({names[0]: (label, prob)}, tmp_path / "roc.png")
    pr_curve({names[1]: (label, prob)}, tmp_path / "pr.png")
    reliability(label, prob, tmp_path / "reliability.png", positive=names[0])
