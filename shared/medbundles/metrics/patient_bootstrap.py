"""Values of scores and intervals around them, by drawing patients."""

from collections.abc import Iterator, Sequence

import numpy as np

from medbundles.metrics.weighted import ScoreOf, value_of

CHUNK = 2_000_000  # weights held at once
LEVEL = 0.95  # coverage of the intervals


class PatientBootstrap:
    """Values of metrics, and 95 % percentile intervals from drawing patients, not images, with replacement.

    Images of one patient are alike, so that drawing images would make the intervals too narrow (Efron & Tibshirani,
    An Introduction to the Bootstrap, 1993, chapters 8 and 13). A patient that is drawn twice counts twice: a metric
    is a function of weights, whole numbers >= 0, one per image. (scipy.stats.bootstrap draws single images, and calls
    the metric once per draw.)

    Args:
        patients: the patient of each of the n images.
        samples: how often patients are drawn.
        seed: seed of the drawing.

    Example:
        >>> bootstrap = PatientBootstrap(["a", "a", "b"], samples=200)
        >>> bootstrap.measure(WeightedMean(np.array([1.0, 0.0, 0.5])))["value"]
        0.5
    """

    def __init__(self, patients: Sequence[str] | np.ndarray, samples: int = 2000, seed: int = 0):
        self.names, self.place = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
        self.samples, self.seed = samples, seed

    def measure(self, metric: ScoreOf) -> dict[str, float | int | str | None]:
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
        value = value_of(metric, len(self.place))
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
        tail = (1 - LEVEL) / 2
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
