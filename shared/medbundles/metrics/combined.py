"""One number for both tasks."""

from __future__ import annotations

from ignite.metrics import Metric, MetricsLambda


def mean_of_two(first: float, second: float) -> float:
    """(first + second) / 2."""
    return (first + second) / 2


def combined_metric(dice: Metric, accuracy: Metric) -> MetricsLambda:
    """(dice + accuracy) / 2 as a metric; NaN if one is.

    Both must also be attached to the engine under their own names (as MONAI's `additional_metrics`).

    Args:
        dice: for example `MeanDice()`.
        accuracy: for example `ConfusionScore("accuracy")`.
    """
    return MetricsLambda(mean_of_two, dice, accuracy)
