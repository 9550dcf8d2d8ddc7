"""Scores are functions of weights, one per case: (R, n) -> (R,), NaN where not defined. These are the simple ones.

At weight 1 such a function gives the value; with the weights of a bootstrap it gives a value per draw in a few matrix
products. Its attribute `counts` (n,) says which cases have a say in it, `undefined` why it may not be defined, `bounds`
its smallest and largest possible value (None: it has none), `least` from how many patients on there is an interval.
"""

from collections.abc import Callable, Sequence

import numpy as np

from medbundles.metrics.interval import LEAST_OF_MEANS

ScoreOf = Callable[[np.ndarray], np.ndarray]


class WeightedMean:
    """Mean of the values: sum(weight * own weight * value) / sum(weight * own weight).

    Args:
        values: (n,).
        undefined: why it can be that there is none, for the report.
        own_weights: (n,) of the cases, or one number for all; 0: does not count. A NaN that counts is a diverged
            network's and makes the mean NaN. None: those that are not NaN count 1 each.
        bounds: smallest and largest possible value; None: there are none.
        least: from how many patients on there is an interval, see `medbundles.metrics.interval`.
    """

    def __init__(
        self,
        values: np.ndarray,
        undefined: str = "no values",
        own_weights: np.ndarray | float | None = None,
        bounds: tuple[float, float] | None = (0.0, 1.0),
        least: int | None = LEAST_OF_MEANS,
    ):
        self.bounds, self.least = bounds, least
        own = ~np.isnan(values) if own_weights is None else np.broadcast_to(own_weights, values.shape)
        self.own_weights, self.counts, self.undefined = own.astype(float), own > 0, undefined
        self.sums = self.own_weights * np.where(self.counts, values, 0.0)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Weights (R, n) -> (R,)."""
        return ratio(weights @ self.sums, weights @ self.own_weights)


class MeanOfScores:
    """Mean of several scores, each with a factor; NaN in a draw in which one of them is not defined.

    Args:
        scores: at least one.
        factors: what each counts with in the sum; None: 1 over their number each.
    """

    def __init__(self, scores: Sequence[ScoreOf], factors: Sequence[float] | None = None):
        self.scores, self.factors = scores, factors or [1 / len(scores)] * len(scores)
        self.undefined = getattr(scores[0], "undefined", "not defined on these data")

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Weights (R, n) -> (R,)."""
        return np.sum([f * score(weights) for f, score in zip(self.factors, self.scores, strict=True)], axis=0)


def value_of(score: ScoreOf, count: int) -> float:
    """The score of `count` cases, each at weight 1."""
    return float(score(np.ones((1, count)))[0])


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, NaN where below is 0."""
    return np.where(below > 0, above / np.maximum(below, 1e-300), np.nan)


def mean_of_defined(values: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of arrays of one shape, place by place, without what is NaN."""
    stacked = np.stack(values)
    defined = ~np.isnan(stacked)
    return ratio(np.nan_to_num(stacked).sum(0), defined.sum(0).astype(float))
