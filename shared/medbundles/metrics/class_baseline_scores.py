"""Scores of classes that cost nothing (`medbundles.metrics.class_baselines`), and what the network has above them."""

import numpy as np

from medbundles.metrics.classification import ONE_CLASS, AreaUnderCurve
from medbundles.metrics.definition import Columns, Definition
from medbundles.metrics.weighted import MeanOfScores, ScoreOf, WeightedMean

UNKNOWN = "no class_baselines.json with the weights, a training of one class, or noise in the background"
CONSTANT, LOGISTIC = "the most frequent class of the training part", "a logistic regression on mean, spread and size"


def share_right(label: np.ndarray, answer: np.ndarray, instead: np.ndarray | None = None) -> WeightedMean:
    """Share of right answers (n,), minus that of other ones; not defined on data of one class, or without answers."""
    if len(np.unique(label)) < 2:
        return WeightedMean(np.full(len(label), np.nan), ONE_CLASS)
    answers = [answer] if instead is None else [answer, instead]
    values = [np.where(np.isnan(each), np.nan, label == each) for each in answers]
    return WeightedMean(values[0] if instead is None else values[0] - values[1], UNKNOWN)


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
        ("label", "constant"), lambda c: share_right(c["label"], c["constant"]),
        f"accuracy of always answering {CONSTANT}",
    ),
    "acc_logistic": Definition(
        ("label", "logistic"), lambda c: share_right(c["label"], _logistic_class(c)),
        f"accuracy of {LOGISTIC}, fitted on the training part",
    ),
    "auc_logistic": Definition(
        ("label", "logistic"), lambda c: AreaUnderCurve(c["label"], c["logistic"], UNKNOWN), f"AUC of {LOGISTIC}"
    ),
    "acc_over_constant": Definition(
        ("label", "predicted", "constant"),
        lambda c: share_right(c["label"], c["predicted"], c["constant"]),
        f"accuracy minus that of {CONSTANT} (above 0: better than it)", bounds=(-1.0, 1.0),
    ),
    "auc_over_logistic": Definition(
        ("label", "prob", "logistic"), _auc_over, f"AUC minus that of {LOGISTIC} (above 0: better than it)",
        bounds=(-1.0, 1.0),
    ),
}  # fmt: skip
