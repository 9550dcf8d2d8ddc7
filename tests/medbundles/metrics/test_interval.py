"""How often intervals cover the truth: simulated for each kind of score, at the number of patients they begin with."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, norm, t

from medbundles.metrics.classification import AreaUnderCurve, ClassificationScore
from medbundles.metrics.interval import (
    LEAST,
    LEAST_OF_CHANGES,
    LEAST_OF_ERRORS,
    LEAST_OF_MEANS,
    LEAST_OF_MISSES,
    LEAST_OF_RARE,
    interval,
)
from medbundles.metrics.patient_bootstrap import PatientBootstrap
from medbundles.metrics.weighted import MeanOfScores, WeightedMean

TABLE = Path(__file__).with_name("interval_coverage.json")
WANTED, DRAWS, STUDIES = 0.92, 400, 800
Study = tuple[Any, int]  # the score, images of a patient


def dice(rng, n, slices=5) -> Study:
    """One patient in five is a failure near 0, the others lie around 0.8; slices vary around their patient."""
    base = np.where(rng.random(n) < 0.2, rng.beta(1, 6, n), rng.beta(12, 3, n))
    values = rng.beta(np.maximum(40 * base, 0.05)[:, None], np.maximum(40 * (1 - base), 0.05)[:, None], (n, slices))
    return WeightedMean(values.ravel()), slices


def share(p, images, alike) -> Callable:
    """A share p of right images, of which those of one patient are alike (intraclass correlation)."""

    def study(rng, n) -> Study:
        of = rng.beta(p * (1 / alike - 1), (1 - p) * (1 / alike - 1), n) if images > 1 else np.full(n, p)
        right, label = (rng.random((n, images)) < of[:, None]).ravel(), np.arange(n * images) % 2
        return ClassificationScore("acc", label, np.where(right, label, 1 - label), 2), images

    return study


def graded(rng, n, positive=0.6, sensitivity=0.9, specificity=0.75) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted classes of n patients, both classes there."""
    label = (rng.permutation(n) < max(1, round(positive * n))).astype(int)
    right = rng.random(n) < np.where(label == 1, sensitivity, specificity)
    return label, np.where(right, label, 1 - label)


def area(auc, positive=0.5) -> Callable:
    """Normal scores of two classes that overlap so much that the area is `auc`."""

    def study(rng, n) -> Study:
        label = (rng.permutation(n) < max(1, round(positive * n))).astype(int)
        prob = norm.cdf(rng.normal(size=n) + math.sqrt(2) * norm.ppf(auc) * label)
        return AreaUnderCurve(label, np.stack([1 - prob, prob], axis=1)), 1

    return study


def two_areas(rng, n) -> Study:
    """The difference of an AUC of 0.9 and one of 0.7 on the same patients."""
    label, own = (rng.permutation(n) < n // 2).astype(int), 0.5 * rng.normal(size=n)
    probs = [
        norm.cdf(own + math.sqrt(0.75) * rng.normal(size=n) + math.sqrt(2) * norm.ppf(a) * label) for a in (0.9, 0.7)
    ]
    found: Any = MeanOfScores([AreaUnderCurve(label, np.stack([1 - p, p], axis=1)) for p in probs], [1, -1])
    found.bounds, found.groups = (-1.0, 1.0), [label == 0, label == 1]
    return found, 1


def change_of_dice(rng, n) -> Study:
    """Paired: most patients gain a little, one in six much."""
    values = np.where(rng.random(n) < 1 / 6, rng.normal(0.3, 0.15, n), rng.normal(0.02, 0.04, n))
    return WeightedMean(values, bounds=(-1.0, 1.0)), 1


def dice_over(rng, n) -> Study:
    """Paired: `dice` of one slice minus that of one mask for all, which lies around a half."""
    own = np.where(rng.random(n) < 0.2, rng.beta(1, 6, n), rng.beta(12, 3, n))
    return WeightedMean(own - rng.beta(5, 5, n), bounds=(-1.0, 1.0)), 1


def over_constant(rng, n) -> Study:
    label, predicted = graded(rng, n, sensitivity=0.85, specificity=0.8)
    return WeightedMean((label == predicted) - label.astype(float), bounds=(-1.0, 1.0)), 1


def of_classes(kind, positive=0.6) -> Callable:
    return lambda rng, n: (ClassificationScore(kind, *graded(rng, n, positive), 2), 1)


def brier(rng, n) -> Study:
    label = rng.random(n) < 0.6
    prob = 1 / (1 + np.exp(-1.5 * rng.normal(size=n) - np.where(label, 1.5, -1.5)))
    return WeightedMean((prob - label) ** 2), 1


def missed(rng, n, share) -> np.ndarray:
    """Which of n lesions are missed."""
    return rng.random(n) < share


def surface_dice(rng, n) -> Study:
    return WeightedMean(np.where(missed(rng, n, 0.1), 0.0, rng.beta(12, 1, n))), 1


def pixel_accuracy(rng, n) -> Study:
    """One image in ten is three times as far off as the others are."""
    return WeightedMean(1 - np.where(missed(rng, n, 0.1), rng.beta(2, 40, n), rng.beta(1.5, 150, n))), 1


def hausdorff(rng, n) -> Study:
    """Around 4 mm, and 100 mm, the image's diagonal, of what is missed."""
    values = np.where(missed(rng, n, 0.05), 100.0, np.minimum(rng.lognormal(math.log(4), 0.8, n), 100))
    return WeightedMean(values, bounds=(0.0, 100.0)), 1


def unbounded(draw) -> Callable:
    return lambda rng, n: (WeightedMean(draw(rng, n), bounds=None), 1)


KINDS: dict[str, tuple[Callable, int]] = {
    "Dice, a fifth failures, 5 slices": (dice, LEAST_OF_MEANS),
    "Dice, a fifth failures, 1 slice": (lambda rng, n: dice(rng, n, 1), LEAST_OF_MEANS),
    "Dice over one mask for all": (dice_over, LEAST_OF_MEANS),
    "Brier score": (brier, LEAST_OF_ERRORS),
    "change of Dice, one in six large": (change_of_dice, LEAST_OF_CHANGES),
    "accuracy .85, 1 image": (share(0.85, 1, 0), LEAST),
    "accuracy .95, 1 image": (share(0.95, 1, 0), LEAST),
    "accuracy .85, 6 images alike": (share(0.85, 6, 0.3), LEAST),
    "accuracy .95, 10 images alike": (share(0.95, 10, 0.1), LEAST),
    "balanced accuracy": (of_classes("balanced_acc"), 75),  # 30 of the rarer class
    "balanced accuracy, a quarter positive": (of_classes("balanced_acc", 0.25), 120),
    "balanced accuracy, a tenth positive": (of_classes("balanced_acc", 0.1), 300),
    "precision, a quarter positive": (of_classes("precision", 0.25), 120),
    "F1, macro": (of_classes("f1_macro"), 75),
    "accuracy over the constant answer": (over_constant, LEAST),
    "AUC .7": (area(0.7), 20),  # 10 of each class
    "AUC .7, a tenth positive": (area(0.7, 0.1), 100),
    "AUC .9, a quarter positive": (area(0.9, 0.25), 40),
    "AUC .97": (area(0.97), 20),
    "difference of two AUC": (two_areas, 20),
    "surface Dice, a tenth missed": (surface_dice, LEAST_OF_MISSES),
    "accuracy over pixels, a tenth far off": (pixel_accuracy, LEAST_OF_RARE),
    "Hausdorff distance, one in twenty missed": (hausdorff, LEAST_OF_RARE),
    "PSNR": (unbounded(lambda rng, n: rng.normal(36, 2, n) - rng.exponential(1, n)), LEAST),
    "errors, log-normal": (unbounded(lambda rng, n: rng.lognormal(0, 0.5, n)), LEAST),
}


def truth(kind: str) -> float:
    """The score of very many patients: it is consistent."""
    rng, value = np.random.default_rng(1), 0.0
    for _ in range(20):
        metric, images = KINDS[kind][0](rng, 20_000)
        value += float(metric(np.ones((1, 20_000 * images)))[0]) / 20
    return value


def coverage(kind: str, patients: int, studies: int, seed: int) -> tuple[float, float]:
    """How often the interval covers the truth, and how wide it is."""
    rng, wanted, hits, width = np.random.default_rng(seed), truth(kind), 0, 0.0
    for _ in range(studies):
        metric, images = KINDS[kind][0](rng, patients)
        metric.least = 2
        found = PatientBootstrap(np.repeat(np.arange(patients), images), DRAWS, int(rng.integers(2**31))).measure(
            metric
        )
        if found["low"] is None:  # one patient of a class
            continue
        hits += found["low"] <= wanted <= found["high"]
        width += (found["high"] - found["low"]) / studies
    return hits / studies, width


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_covers_92_percent_from_the_first_number_of_patients_on(kind):
    """Again with another seed than the table's: it may differ by what chance allows."""
    least = KINDS[kind][1]
    for patients in (least, 2 * least):
        found, _ = coverage(kind, patients, STUDIES, seed=2)
        assert found >= WANTED - 3 * math.sqrt(WANTED * (1 - WANTED) / STUDIES)


def test_the_table_says_so_for_each_kind_of_score():
    table = json.loads(TABLE.read_text())
    assert set(table["coverage"]) == set(KINDS)
    for kind, (_, least) in KINDS.items():
        at = {int(patients): row[0] for patients, row in table["coverage"][kind].items()}
        assert min(at) <= least <= max(at)
        assert all(found >= WANTED for patients, found in at.items() if patients >= least), kind


def wilson(hits: int, n: int) -> tuple[float, float]:
    """As Wilson 1927 gives it: the two shares at which the normal test just does not reject, by bisection."""
    z, p = norm.ppf(0.975), hits / n

    def edge(inside: float, outside: float) -> float:
        for _ in range(200):
            middle = (inside + outside) / 2
            rejected = abs(p - middle) > z * math.sqrt(middle * (1 - middle) / n)
            inside, outside = (inside, middle) if rejected else (middle, outside)
        return inside

    return edge(p, 0.0), edge(p, 1.0)


def test_with_many_patients_a_share_has_wilsons_interval():
    n, hits = 2000, 1800
    error = math.sqrt(0.9 * 0.1 / n)
    assert interval(0.9, error, n, (0.0, 1.0)) == pytest.approx(wilson(hits, n), abs=2e-5)
    assert interval(0.9, error, n, (0.0, 1.0)) != pytest.approx((0.9 - 1.96 * error, 0.9 + 1.96 * error), abs=2e-5)


def test_without_bounds_it_is_students():
    q = t.ppf(0.975, 9)
    assert interval(30.0, 0.5, 10, None) == pytest.approx((30 - q * 0.5, 30 + q * 0.5))


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_where_all_are_alike_it_is_not_empty_and_stays_inside(right):
    low, high = interval(right, 0.0, 20, (0.0, 1.0))
    assert (low, high) == ((0.0, pytest.approx(high)) if right == 0 else (pytest.approx(low), 1.0))
    assert 0.1 < high - low < 0.3
    assert binom.pmf(20, 20, 1 - (high - low)) < 0.1  # 20 of 20 would be rare at its other end
    rare = interval(right, 0.0, 4, (0.0, 1.0))
    assert rare[1] - rare[0] > high - low


def test_differences_have_bounds_of_their_own():
    low, high = interval(0.9, 0.05, 10, (-1.0, 1.0))
    assert -1 <= low < 0.9 < high <= 1
    assert interval(-0.9, 0.05, 10, (-1.0, 1.0)) == pytest.approx((-high, -low))


def test_folds_are_drawn_apart():
    values = np.r_[np.zeros(12), np.ones(12)]
    folds = np.repeat([0, 1], 12)
    apart = PatientBootstrap(np.arange(24), 300, strata=folds).measure(WeightedMean(values, bounds=None))
    together = PatientBootstrap(np.arange(24), 300).measure(WeightedMean(values, bounds=None))
    assert (apart["low"], apart["high"]) == (0.5, 0.5)  # each draw has half of each
    assert together["high"] - together["low"] > 0.3


if __name__ == "__main__":  # makes the table: python -m tests.medbundles.metrics.test_interval
    sizes = (5, 10, 15, 20, 30, 40, 50, 80, 100, 200, 300)
    rows = {k: {n: [round(x, 3) for x in coverage(k, n, STUDIES, 1)] for n in sizes} for k in KINDS}
    TABLE.write_text(
        json.dumps({"columns": ["coverage", "mean width"], "studies": STUDIES, "coverage": rows}, indent=1) + "\n"
    )
