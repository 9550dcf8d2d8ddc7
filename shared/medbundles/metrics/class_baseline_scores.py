"""Scores of classes that cost nothing (`medbundles.metrics.class_baselines`), and what the network has above them."""

import numpy as np

from medbundles.metrics.classification import AreaUnderCurve
from medbundles.metrics.definition import Columns, Definition
from medbundles.metrics.weighted import MeanOfScores, ScoreOf, WeightedMean

UNKNOWN = "no class_baselines.json with the weights, or a training of one class"
CONSTANT, LOGISTIC = "the most frequent class of the training part", "a logistic regression on mean, spread and size"


def right(label: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """1 where a class is right, 0 where not, NaN where there is no answer (n,)."""
    return np.where(np.isnan(answer), np.nan, label == answer)


def _logistic_class(columns: Columns) -> np.ndarray:
    logistic = columns["logistic"]
    return np.where(np.isnan(logistic[:, 0]), np.nan, np.nan_to_num(logistic).argmax(1))


def _auc_over(columns: Columns) -> ScoreOf:
    areas = [
        AreaUnderCurve(columns["label"], columns["prob"]),
        AreaUnderCurve(columns["label"], columns["logistic"], UNKNOWN),
    ]
    found = MeanOfScores(areas, [1, -1])
    found.groups = areas[0].groups  # type: ignore[attr-defined]
    found.undefined = next((area.undefined for area in areas if not area.ranked), areas[0].undefined)
    return found


CLASS_BASELINE_SCORES = {
    "acc_constant": Definition(
        ("label", "constant"), lambda c: WeightedMean(right(c["label"], c["constant"]), UNKNOWN),
        f"accuracy of always answering {CONSTANT}",
    ),
    "acc_logistic": Definition(
        ("label", "logistic"), lambda c: WeightedMean(right(c["label"], _logistic_class(c)), UNKNOWN),
        f"accuracy of {LOGISTIC}, fitted on the training part",
    ),
    "auc_logistic": Definition(
        ("label", "logistic"), lambda c: AreaUnderCurve(c["label"], c["logistic"], UNKNOWN), f"AUC of {LOGISTIC}"
    ),
    "acc_over_constant": Definition(
        ("label", "predicted", "constant"),
        lambda c: WeightedMean(right(c["label"], c["predicted"]) - right(c["label"], c["constant"]), UNKNOWN),
        f"accuracy minus that of {CONSTANT} (above 0: better than it)", bounds=(-1.0, 1.0),
    ),
    "auc_over_logistic": Definition(
        ("label", "prob", "logistic"), _auc_over, f"AUC minus that of {LOGISTIC} (above 0: better than it)",
        bounds=(-1.0, 1.0),
    ),
}  # fmt: skip
