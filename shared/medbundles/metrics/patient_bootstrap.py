"""Values of scores and intervals around them, by drawing patients."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from medbundles.metrics.interval import LEAST, interval
from medbundles.metrics.weighted import ScoreOf, value_of

CHUNK = 2_000_000  # weights held at once


class PatientBootstrap:
    """Values of metrics, and 95 % intervals from drawing patients, not images, with replacement.

    Images of one patient are alike, so that drawing images would make the intervals too narrow (Efron & Tibshirani,
    An Introduction to the Bootstrap, 1993, chapters 8 and 13). A patient that is drawn twice counts twice: a metric
    is a function of weights, whole numbers >= 0, one per image. The draws give the standard error over patients (times
    sqrt(n / (n - 1)), as they vary by that much too little), and `medbundles.metrics.interval` the interval.
    (scipy.stats.bootstrap draws single images, and calls the metric once per draw.)

    Args:
        patients: the patient of each of the n images.
        samples: how often patients are drawn.
        seed: seed of the drawing.
        strata: of each image, such as its fold; as many patients as each has are drawn within it. None: from all.

    Example:
        >>> bootstrap = PatientBootstrap(["a", "a", "b"], samples=200)
        >>> bootstrap.measure(WeightedMean(np.array([1.0, 0.0, 0.5])))["value"]
        0.5
    """

    def __init__(
        self,
        patients: Sequence[str] | np.ndarray,
        samples: int = 2000,
        seed: int = 0,
        strata: Sequence | np.ndarray | None = None,
    ):
        stratum = np.zeros(len(patients), dtype=int) if strata is None else np.unique(strata, return_inverse=True)[1]
        pairs = np.stack([stratum.astype(str), np.asarray(patients, dtype=str)], axis=1).reshape(-1, 2)
        names, self.place = np.unique(pairs, axis=0, return_inverse=True)
        self.place = self.place.reshape(-1)
        self.sizes = [int((names[:, 0] == each).sum()) for each in np.unique(names[:, 0])]  # patients of each stratum
        self.samples, self.seed = samples, seed

    def measure(self, metric: ScoreOf) -> dict[str, float | int | str | None]:
        """Value and interval of a metric.

        Args:
            metric: weights (R, n) -> values (R,), NaN where it is not defined. Its attributes, if any: `counts`, which
                images (n,) have a say in it; `groups` of them, such as the two classes of an AUC, and `scores`, its
                parts, of which the one with the fewest patients counts; `bounds`, its smallest and largest value, or
                None (0 and 1 if it has no such attribute); `least`, from how many patients on there is an interval
                (None: never).

        Returns:
            value, low, high (None when not defined), n_images, n_patients, and `reason` when something is None or
            when the metric was not defined in some of the draws.
        """
        counts, patients = self._counts(metric), self._patients(metric)
        result: dict[str, float | int | str | None] = {
            "value": None, "low": None, "high": None,
            "n_images": int(counts.sum()), "n_patients": patients, "reason": "",
        }  # fmt: skip
        value = value_of(metric, len(self.place))
        if np.isnan(value):
            result["reason"] = getattr(metric, "undefined", "not defined on these data")
            return result
        result["value"] = value
        bounds, least = getattr(metric, "bounds", (0.0, 1.0)), getattr(metric, "least", LEAST)
        # a score is as uncertain as its part, or its class, that rests on the fewest patients
        scores, groups = getattr(metric, "scores", ()), getattr(metric, "groups", ())
        fewest = min([patients, *map(self._patients, scores), *map(self._of, groups)])
        if least is None:
            result["reason"] = "no interval, however many patients (docs/intervals.md)"
            return result
        if fewest < max(least, 2):
            part = f"; in a part of it {fewest} count" if patients >= least and not groups else ""
            result["reason"] = f"interval from {least} patients{' of each class' if groups else ''} on{part}"
            return result
        if min(self.sizes) < 2:
            result["reason"] = "no interval: a fold of one patient"
            return result
        drawn = np.concatenate([metric(weights) for weights in self._weights()])
        defined = drawn[~np.isnan(drawn)]
        if len(defined) < self.samples / 2:
            result["reason"] = f"no interval: defined in {len(defined)} of {self.samples} draws only"
            return result
        within = min(fewest, *self.sizes)  # draws vary too little by this, within each stratum
        error = float(defined.std()) * (within / (within - 1)) ** 0.5
        result["low"], result["high"] = interval(value, error, fewest, bounds)
        if len(defined) < self.samples:
            result["reason"] = f"interval from the {len(defined)} of {self.samples} draws in which it is defined"
        return result

    def _counts(self, metric: Any) -> np.ndarray:
        return np.asarray(getattr(metric, "counts", np.ones(len(self.place), dtype=bool)))

    def _patients(self, metric: Any) -> int:
        """How many patients have a say in it."""
        return self._of(self._counts(metric))

    def _of(self, images: np.ndarray) -> int:
        return len(np.unique(self.place[images]))

    def _weights(self) -> Iterator[np.ndarray]:
        """How often each image was drawn, (R, n) at a time; the same draws for every metric."""
        rng, patients, left = np.random.default_rng(self.seed), sum(self.sizes), self.samples
        while left > 0:
            rows = min(left, max(1, CHUNK // len(self.place)))
            before = np.cumsum([0, *self.sizes[:-1]])
            drawn = np.concatenate(
                [
                    rng.integers(first, first + size, (rows, size))
                    for first, size in zip(before, self.sizes, strict=True)
                ],
                axis=1,
            )
            drawn += patients * np.arange(rows)[:, None]
            yield np.bincount(drawn.ravel(), minlength=rows * patients).reshape(rows, patients)[:, self.place]
            left -= rows
