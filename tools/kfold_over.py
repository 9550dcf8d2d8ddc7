"""The mean of a score over the folds of a cross-validation, with its interval."""

import statistics
from collections.abc import Mapping
from typing import Any

import numpy as np

from medbundles.metrics.patient_bootstrap import PatientBootstrap
from medbundles.metrics.scores import score
from medbundles.metrics.weighted import mean_of_defined, value_of


class MeanOverFolds:
    """Mean of a score over the folds in which it is defined, as a function of weights (R, n) -> (R,).

    Args:
        name: of the score.
        columns: of all cases, with their "fold" (n,).
    """

    def __init__(self, name: str, columns: Mapping[str, np.ndarray]):
        self.each, self.counts = [], np.zeros(len(columns["fold"]), dtype=bool)
        for fold in np.unique(columns["fold"]):
            chosen = columns["fold"] == fold
            found: Any = score(name, {key: values[chosen] for key, values in columns.items()})
            self.bounds, self.least, self.undefined = found.bounds, found.least, getattr(found, "undefined", "")
            if not np.isnan(value_of(found, int(chosen.sum()))):
                self.each.append((chosen, found))
                self.counts[chosen] = getattr(found, "counts", True)
        label = columns.get("label", np.empty(0))
        self.groups = [label == c for c in np.unique(label)] if getattr(found, "groups", ()) else []

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        values = [found(weights[:, chosen]) for chosen, found in self.each]
        return mean_of_defined(values) if values else np.full(len(weights), np.nan)


def over_folds(name: str, columns: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The mean of a score over the folds with its interval, standard deviation (n - 1) and number of folds."""
    mean = MeanOverFolds(name, columns)
    found = PatientBootstrap(columns["patient"], strata=columns["fold"]).measure(mean)
    values = [value_of(each, int(chosen.sum())) for chosen, each in mean.each]
    return {
        "mean": found["value"], "low": found["low"], "high": found["high"], "reason": found["reason"],
        "std": statistics.stdev(values) if len(values) > 1 else None, "n": len(values),
    }  # fmt: skip
