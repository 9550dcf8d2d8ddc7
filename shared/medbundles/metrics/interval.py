"""Confidence intervals by resampling patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def bootstrap_interval(
    values: Sequence[Any] | np.ndarray | tuple[np.ndarray, ...],
    statistic: str | Callable[..., float],
    groups: Sequence[Any] | np.ndarray,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float, float]:
    """Percentile bootstrap interval of a statistic, resampling groups with replacement (Efron & Tibshirani 1993).

    Slices of a patient resemble each other: resampling slices would give an interval that is far too narrow.

    Args:
        values: one value per item, or a tuple of such arrays (labels and scores, say).
        statistic: "mean" (of the values that are not NaN), or a function of the resampled arrays.
        groups: the patient of each item.
        n: resamples.
        seed: the same seed gives the same interval.
        level: share of the resamples inside, 0 to 1.

    Returns:
        (estimate on all items, low, high). Resamples in which the statistic is NaN (an AUC with one class, say) are
        left out; NaN where nothing is left.

    Raises:
        ValueError: when the arrays differ in length.

    Example:
        >>> bootstrap_interval([0.5, 0.5, 0.5], "mean", ["a", "a", "b"])
        (0.5, 0.5, 0.5)
    """
    arrays = tuple(map(np.asarray, values)) if isinstance(values, tuple) else (np.asarray(values),)
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    if any(len(array) != len(group_of) for array in arrays):
        raise ValueError(f"values and groups differ in length: {[len(array) for array in arrays]}, {len(group_of)}")
    if not len(names):
        return float("nan"), float("nan"), float("nan")
    draws = np.random.default_rng(seed).integers(len(names), size=(n, len(names)))
    if statistic == "mean":
        known = ~np.isnan(arrays[0])
        sums = np.bincount(group_of, np.where(known, arrays[0], 0.0), len(names))
        counts = np.bincount(group_of, known, len(names))
        with np.errstate(invalid="ignore"):
            estimate = sums.sum() / counts.sum()
            resampled = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    else:
        function: Callable[..., float] = statistic  # type: ignore[assignment]
        members = [np.flatnonzero(group_of == group) for group in range(len(names))]
        estimate = function(*arrays)
        rows = (np.concatenate([members[group] for group in draw]) for draw in draws)
        resampled = np.array([function(*(array[index] for array in arrays)) for index in rows], dtype=float)
    resampled = resampled[~np.isnan(resampled)]
    if not len(resampled):
        return float(estimate), float("nan"), float("nan")
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return float(estimate), float(low), float(high)
