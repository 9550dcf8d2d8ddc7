"""Scores of the surfaces and volumes of masks (`medbundles.metrics.surfaces`)."""

from typing import Any

import numpy as np

from medbundles.metrics.definition import Bounds, Columns, Definition
from medbundles.metrics.interval import LEAST_OF_MISSES, LEAST_OF_RARE
from medbundles.metrics.weighted import ScoreOf, WeightedMean

BOTH_EMPTY = "in no image there is anything in the predicted or the true mask"
EMPTY = "; an image where one of both is empty has {}, one where both are does not count"


def _of(column: str, meaning: str, bounds: Any, least: int | None) -> Definition:
    def mean(columns: Columns) -> ScoreOf:
        return WeightedMean(columns[column], BOTH_EMPTY)

    return Definition((column,), mean, meaning, True, bounds, least)


def _up_to_the_diagonal(columns: Columns) -> Bounds:
    return (0.0, float(np.max(columns["diagonal"], initial=0))) if "diagonal" in columns else None


def _volume_error(columns: Columns) -> ScoreOf:
    return WeightedMean(np.abs(columns["volume_difference"]), BOTH_EMPTY)


SURFACE_SCORES = {
    "hd95": _of(
        "hd95",
        "95th percentile of the distances between both surfaces, in mm (of pictures in pixels)"
        f"{EMPTY.format('the diagonal')} (0 is best)",
        _up_to_the_diagonal,
        LEAST_OF_RARE,
    ),
    "surface_dice": _of(
        "surface_dice",
        f"share of both surfaces that is within the tolerance of the other one{EMPTY.format('0')}",
        (0.0, 1.0),
        LEAST_OF_MISSES,
    ),
    "volume_difference": _of(
        "volume_difference",
        "predicted minus true volume in ml (of pictures in 100 pixels); without images where both are empty",
        None,
        None,
    ),
    "volume_error": Definition(
        ("volume_difference",), _volume_error, "the same without its sign (0 is best)", True, None, None
    ),
}


def empty_masks(columns: Columns) -> dict[str, np.ndarray]:
    """How many images have an empty mask, of each channel (K,): what the surface scores take apart.

    missed: the predicted one alone is empty; false_alarms: the true one alone; both_empty.

    Args:
        columns: what `medbundles.metrics.Masks` measures.
    """
    there = columns["has_mask"].astype(bool)
    counts = (columns[name][there] for name in ("predicted_pixels", "true_pixels"))
    found, true = ((each if each.ndim == 2 else each[:, None]) > 0 for each in counts)
    kinds = {"missed": ~found & true, "false_alarms": found & ~true, "both_empty": ~found & ~true}
    return {kind: which.sum(0) for kind, which in kinds.items()}
