"""Test metrics as functions of weights, so that a bootstrap over patients of any of them is a few matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from medbundles.metrics.log_odds import log_odds

CHUNK = 2_000_000  # weights held at once


class PatientBootstrap:
    """Values of metrics, and percentile intervals from drawing patients, not images, with replacement.

    Images of one patient are alike, so that drawing images would make the intervals too narrow (Efron & Tibshirani,
    An Introduction to the Bootstrap, 1993, chapters 8 and 13). A patient that is drawn twice counts twice: a metric
    is a function of weights, whole numbers >= 0, one per image.

    Args:
        patients: the patient of each of the n images.
        samples: how often patients are drawn.
        seed: seed of the drawing.
        level: coverage of the interval.

    Example:
        >>> bootstrap = PatientBootstrap(["a", "a", "b"], samples=200)
        >>> bootstrap.measure(WeightedMean(np.array([1.0, 0.0, 0.5])))["value"]
        0.5
    """

    def __init__(self, patients: Sequence[str] | np.ndarray, samples: int = 2000, seed: int = 0, level: float = 0.95):
        self.names, self.place = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
        self.samples, self.seed, self.level = samples, seed, level

    def measure(self, metric: Callable[[np.ndarray], np.ndarray]) -> dict[str, float | int | str | None]:
        """Value and interval of a metric.

        Args:
            metric: weights (R, n) -> values (R,), NaN where it is not defined. Its attribute `counts`, if any, says
                which images (n,) have a say in it.

        Returns:
            value, low, high (None when not defined), n_images, n_patients, and `reason` when something is None or
            when the metric was not defined in some of the draws.
        """
        counts = np.asarray(getattr(metric, "counts", np.ones(len(self.place), dtype=bool)))
        patients = len(np.unique(self.place[counts]))
        result: dict[str, float | int | str | None] = {
            "value": None, "low": None, "high": None,
            "n_images": int(counts.sum()), "n_patients": patients, "reason": "",
        }  # fmt: skip
        value = float(metric(np.ones((1, len(self.place))))[0])
        if np.isnan(value):
            result["reason"] = getattr(metric, "undefined", "not defined on these data")
            return result
        result["value"] = value
        if patients < 2:
            result["reason"] = "an interval over patients needs at least 2"
            return result
        drawn = np.concatenate([metric(weights) for weights in self._weights()])
        defined = drawn[~np.isnan(drawn)]
        if len(defined) < self.samples / 2:
            result["reason"] = f"no interval: defined in {len(defined)} of {self.samples} draws only"
            return result
        tail = (1 - self.level) / 2
        result["low"], result["high"] = (float(v) for v in np.quantile(defined, [tail, 1 - tail]))
        if len(defined) < self.samples:
            result["reason"] = f"interval from the {len(defined)} of {self.samples} draws in which it is defined"
        return result

    def _weights(self) -> Iterator[np.ndarray]:
        """How often each image was drawn, (R, n) at a time; the same draws for every metric."""
        rng, patients, left = np.random.default_rng(self.seed), len(self.names), self.samples
        while left > 0:
            rows = min(left, max(1, CHUNK // len(self.place)))
            drawn = rng.integers(0, patients, (rows, patients)) + patients * np.arange(rows)[:, None]
            yield np.bincount(drawn.ravel(), minlength=rows * patients).reshape(rows, patients)[:, self.place]
            left -= rows


class WeightedMean:
    """Mean of the values that are not NaN.

    Args:
        values: (n,).
        undefined: why it can be that there is none, for the report.
    """

    def __init__(self, values: np.ndarray, undefined: str = "no values"):
        self.values, self.counts, self.undefined = np.nan_to_num(values), ~np.isnan(values), undefined

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Weights (R, n) -> (R,)."""
        return _ratio(weights @ self.values, weights @ self.counts.astype(float))


MACRO = {"balanced_acc": "sensitivity", "recall_macro": "sensitivity", "precision_macro": "precision", "f1_macro": "f1"}


class ClassificationScore:
    """Accuracy, sensitivity, specificity, precision or F1 from a weighted confusion matrix.

    With two classes the positive one is class 1; with more it is the mean over the classes that are there, each
    against the others. The precision of a class that is there and never predicted is 0, as in scikit-learn.

    The macro scores are such means with two classes too. They need images of two classes at least, and a draw in which
    one of the classes is missing does not count: a mean over fewer classes would be another quantity.

    Args:
        kind: "acc", "sensitivity", "specificity", "precision", "f1", "balanced_acc" (also called "recall_macro"),
            "precision_macro" or "f1_macro".
        label: (n,) true classes.
        predicted: (n,) predicted classes.
        classes: number of classes N.
    """

    def __init__(self, kind: str, label: np.ndarray, predicted: np.ndarray, classes: int):
        self.kind, self.positive = MACRO.get(kind, kind), [1] if classes == 2 else list(range(classes))
        self.label, self.predicted = label, predicted
        reasons = {"sensitivity": "no positive images", "specificity": "no negative images"}
        self.undefined = reasons.get(kind, "no images")
        if classes == 2 and kind in ("precision", "f1"):
            self.undefined = "no positive images, in truth or predicted"
        self.counts = np.ones(len(label), dtype=bool)
        if classes == 2 and kind in ("sensitivity", "specificity"):
            self.counts = label == (1 if kind == "sensitivity" else 0)
        self.needed: list[int] = []
        if kind in MACRO:
            self.undefined, self.needed = "needs images of both classes", np.unique(label).tolist()
            # recall needs images of the class; precision and F1 of a class that is only predicted are 0
            there = label if self.kind == "sensitivity" else np.r_[label, predicted]
            self.positive = np.unique(there).tolist() if len(self.needed) > 1 else []

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Weights (R, n) -> (R,)."""
        if self.kind == "acc":
            return _ratio(weights @ (self.label == self.predicted), weights.sum(1))
        if not self.positive:
            return np.full(len(weights), np.nan)
        values = _mean_of_defined([self._of_class(weights, c) for c in self.positive])
        for c in self.needed:
            values[weights @ (self.label == c) == 0] = np.nan
        return values

    def _of_class(self, weights: np.ndarray, c: int) -> np.ndarray:
        truth, found = self.label == c, self.predicted == c
        hits, missed = weights @ (truth & found), weights @ (truth & ~found)
        false, rejected = weights @ (~truth & found), weights @ (~truth & ~found)
        if self.kind == "sensitivity":
            return _ratio(hits, hits + missed)
        if self.kind == "specificity":
            return _ratio(rejected, rejected + false)
        if self.kind == "precision":
            return np.where((hits + false == 0) & (missed > 0), 0.0, _ratio(hits, hits + false))
        return _ratio(2 * hits, 2 * hits + false + missed)


class AreaUnderCurve:
    """Area under the ROC curve; ties count half. With more than two classes the mean of each against the others.

    Args:
        label: (n,) true classes.
        prob: (n, N) probabilities.
    """

    undefined = "needs images of both classes"

    def __init__(self, label: np.ndarray, prob: np.ndarray):
        self.parts = []
        scores = {1: log_odds(torch.as_tensor(prob)).numpy()} if prob.shape[1] == 2 else dict(enumerate(prob.T))
        for c, score in scores.items():
            order = np.argsort(score, kind="stable")
            ranked = score[order]
            starts = np.flatnonzero(np.r_[True, ranked[1:] > ranked[:-1]])
            self.parts.append((order, starts, (label == c)[order]))

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Weights (R, n) -> (R,)."""
        return _mean_of_defined([self._area(weights[:, order], starts, truth) for order, starts, truth in self.parts])

    @staticmethod
    def _area(weights: np.ndarray, starts: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Mann-Whitney: positives above negatives, groups of equal probability at a time."""
        positive = np.add.reduceat(weights * truth, starts, axis=1).astype(float)
        negative = np.add.reduceat(weights * ~truth, starts, axis=1).astype(float)
        below = np.cumsum(negative, axis=1) - negative / 2
        return _ratio((positive * below).sum(1), positive.sum(1) * negative.sum(1))


class PatientDice:
    """Dice per patient: 2 * overlap / (predicted + true) over all slices of a patient together, then the mean.

    Patients without any tumour pixel in their masks do not count; false positives on empty slices of the others do.

    Args:
        patients: (n,) patient of each image.
        overlap, predicted, truth: (n,) pixels, NaN for images without a mask.
    """

    undefined = "no patient has tumour in a mask"

    def __init__(
        self, patients: Sequence[str] | np.ndarray, overlap: np.ndarray, predicted: np.ndarray, truth: np.ndarray
    ):
        _, first, place = np.unique(np.asarray(patients, dtype=str), return_index=True, return_inverse=True)
        both, said, real = (np.bincount(place, np.nan_to_num(v), len(first)) for v in (overlap, predicted, truth))
        self.first = first  # all images of a patient have the same weight, so one of them stands for the patient
        self.dice = np.where(real > 0, 2 * both / np.maximum(said + real, 1), np.nan)
        self.counts = (real > 0)[place] & ~np.isnan(truth)
        self._mean = WeightedMean(self.dice)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Weights (R, n) -> (R,)."""
        return self._mean(weights[:, self.first])


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.where(below > 0, above / np.maximum(below, 1e-300), np.nan)


def _mean_of_defined(values: list[np.ndarray]) -> np.ndarray:
    stacked = np.stack(values)
    defined = ~np.isnan(stacked)
    return _ratio(np.nan_to_num(stacked).sum(0), defined.sum(0).astype(float))
