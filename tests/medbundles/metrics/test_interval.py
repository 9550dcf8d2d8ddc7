from __future__ import annotations

import math

import numpy as np
import pytest

from medbundles.metrics import bootstrap_interval


def test_known_case_mean_of_independent_items():
    values = np.random.default_rng(1).normal(5.0, 2.0, 400)
    estimate, low, high = bootstrap_interval(values, "mean", np.arange(400))
    half = 1.96 * values.std() / math.sqrt(400)
    assert estimate == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((estimate - half, estimate + half), abs=0.1 * half)


def test_patients_are_resampled_not_slices():
    patient = np.repeat(np.arange(20), 30)
    values = np.random.default_rng(2).normal(0, 1, 20)[patient]  # all slices of a patient are alike
    _, low, high = bootstrap_interval(values, "mean", [f"p{i}" for i in patient])
    _, narrow_low, narrow_high = bootstrap_interval(values, "mean", np.arange(len(values)))
    assert (high - low) / (narrow_high - narrow_low) == pytest.approx(math.sqrt(30), rel=0.1)


def test_any_statistic_resamples_as_the_mean_does():
    rng = np.random.default_rng(3)
    values, groups = rng.normal(size=50), rng.integers(0, 12, 50)
    fast = bootstrap_interval(values, "mean", groups, n=300)
    assert bootstrap_interval((values,), lambda array: float(array.mean()), groups, n=300) == pytest.approx(fast)


def test_the_seed_decides():
    values, groups = np.random.default_rng(4).normal(size=40), np.arange(40) // 2
    assert bootstrap_interval(values, "mean", groups, seed=5) == bootstrap_interval(values, "mean", groups, seed=5)
    assert bootstrap_interval(values, "mean", groups, seed=5) != bootstrap_interval(values, "mean", groups, seed=6)


def test_level_and_paired_arrays():
    rng = np.random.default_rng(5)
    label, score = rng.integers(0, 2, 60), rng.random(60)

    def difference(label, score):  # NaN if a class is missing
        return score[label == 1].mean() - score[label == 0].mean() if 0 < label.mean() < 1 else math.nan

    estimate, low, high = bootstrap_interval((label, score), difference, np.arange(60), n=500)
    _, inner_low, inner_high = bootstrap_interval((label, score), difference, np.arange(60), n=500, level=0.5)
    assert estimate == pytest.approx(difference(label, score))
    assert low < inner_low < estimate < inner_high < high


def test_undefined_values_are_left_out():
    assert bootstrap_interval([1.0, math.nan, 3.0], "mean", ["a", "b", "c"])[0] == 2.0
    assert all(math.isnan(value) for value in bootstrap_interval([math.nan], "mean", ["a"]))
    assert all(math.isnan(value) for value in bootstrap_interval([], "mean", []))
    with pytest.raises(ValueError, match="differ in length"):
        bootstrap_interval([1.0], "mean", ["a", "b"])
