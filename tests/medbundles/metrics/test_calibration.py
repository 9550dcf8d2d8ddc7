"""Brier score, calibration error and reliability bins, against scikit-learn, SciPy and loops."""

from __future__ import annotations

import numpy as np
import pytest

from medbundles.metrics.calibration import CalibrationError, bin_of, brier_scores, reliability_bins


def data(n: int = 120, classes: int = 2, seed: int = 0):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, n)
    prob = rng.random((n, classes)) + 0.6 * np.eye(classes)[label]
    return label, prob / prob.sum(1, keepdims=True)


def test_brier_score_equals_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the reference")
    label, prob = data()
    assert brier_scores(label, prob).mean() == pytest.approx(sklearn.brier_score_loss(label, prob[:, 1]), abs=1e-12)
    assert brier_scores(label, np.full((120, 2), 0.5)).mean() == 0.25
    label, prob = data(classes=3)
    squares = [sum((prob[i, c] - (label[i] == c)) ** 2 for c in range(3)) for i in range(120)]
    assert brier_scores(label, prob) == pytest.approx(np.array(squares))


def test_bins_are_closed_on_the_right():
    edges = np.linspace(0, 1, 11)
    assert bin_of(edges).tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert bin_of(np.array([1e-9, 0.3, 0.7, 0.700001, 0.999])).tolist() == [0, 2, 6, 7, 9]


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_calibration_error_equals_a_loop_over_bins_of_repeated_rows(threshold):
    label, prob = data()
    predicted = (prob[:, 1] >= threshold).astype(int)  # below 0.5 the predicted class can be the less probable one
    weights = np.random.default_rng(1).integers(0, 4, (3, len(label)))
    weights[2] = 0
    found = CalibrationError(label, predicted, prob)(weights)
    for row, value in zip(weights[:2], found[:2], strict=True):
        repeated = np.repeat(np.arange(len(label)), row)
        confidence = prob[repeated, predicted[repeated]]
        right = label[repeated] == predicted[repeated]
        error = 0.0
        for low in np.linspace(0, 0.9, 10):
            inside = (confidence > low) & (confidence <= low + 0.1)
            if inside.any():
                error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
        assert value == pytest.approx(error, abs=1e-12)
    assert np.isnan(found[2])


def test_calibration_error_is_0_where_confidence_is_the_share_of_right_classes():
    label, prob = np.array([1, 1, 1, 0]), np.tile([0.25, 0.75], (4, 1))
    assert CalibrationError(label, np.ones(4, dtype=int), prob)(np.ones((1, 4)))[0] == pytest.approx(0, abs=1e-15)


def test_a_diverged_network_has_no_calibration_error():
    label, prob = data()
    prob[3] = np.nan
    assert np.isnan(CalibrationError(label, label, prob)(np.ones((1, len(label)))))[0]


def test_reliability_bins_equal_scikit_learn_and_scipy():
    sklearn = pytest.importorskip("sklearn.calibration", reason="scikit-learn is the reference")
    stats = pytest.importorskip("scipy.stats", reason="SciPy is the reference")
    label, prob = data()
    mean, share, interval, count = reliability_bins(label, prob[:, 1])
    wanted_share, wanted_mean = sklearn.calibration_curve(label, prob[:, 1], n_bins=10)
    assert mean == pytest.approx(wanted_mean)
    assert share == pytest.approx(wanted_share)
    assert count.sum() == len(label)
    for p, n, low, high in zip(share, count, *interval, strict=True):
        assert (low, high) == pytest.approx(stats.binomtest(round(p * n), n).proportion_ci(method="wilson"), abs=1e-6)
