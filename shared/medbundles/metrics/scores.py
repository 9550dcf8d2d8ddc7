"""All scores by name: which columns each needs, what it means, and how it is made of them.

A score is a function of weights (see `medbundles.metrics.weighted`). The metric of an epoch is its value at weight 1,
the value and the interval of a report come from the same function, and so do the comparisons of stages and folds.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit

from medbundles.errors import ConfigError
from medbundles.metrics.calibration import CalibrationError, brier_scores
from medbundles.metrics.chosen import dice_at_thresholds, log_odds_of, volume_threshold
from medbundles.metrics.class_baseline_scores import CLASS_BASELINE_SCORES, CONSTANT, share_right
from medbundles.metrics.classification import NAN, AreaUnderCurve, ClassificationScore, is_one_share
from medbundles.metrics.definition import Columns, Definition
from medbundles.metrics.interval import (
    LEAST,
    LEAST_OF_CLASSES,
    LEAST_OF_ERRORS,
    LEAST_OF_MEANS,
    LEAST_OF_MISSES,
    LEAST_OF_RARE,
)
from medbundles.metrics.measures import AT_THRESHOLDS
from medbundles.metrics.overlap import MASK_BASELINES, PatientDice, with_case_scores
from medbundles.metrics.reconstruction_scores import RECONSTRUCTION_SCORES
from medbundles.metrics.surface_scores import SURFACE_SCORES
from medbundles.metrics.thresholds import best_class_threshold, best_mask_threshold
from medbundles.metrics.weighted import MeanOfScores, ScoreOf, WeightedMean, value_of

NO_EMPTY, ALL_EMPTY = "no image with a mask has an empty one", "no image has anything in its mask"
MASK_COUNTS = ("overlap", "predicted_pixels", "true_pixels")
CLASS_COLUMNS = ("label", "predicted", "prob")


def _of_masks(column: str, undefined: str, meaning: str, least: int | None = LEAST_OF_MEANS) -> Definition:
    def mean(columns: Columns) -> ScoreOf:
        return WeightedMean(columns[column], undefined)

    return Definition((column,), mean, meaning, per_channel=True, least=least)


def _classification(kind: str, meaning: str) -> Definition:
    def made(columns: Columns) -> ScoreOf:
        return ClassificationScore(kind, columns["label"], columns["predicted"], columns["prob"].shape[1])

    def least(columns: Columns) -> int:
        return LEAST if is_one_share(kind, columns["prob"].shape[1]) else LEAST_OF_CLASSES

    return Definition(CLASS_COLUMNS, made, meaning, least=least)


def _patient_dice(columns: Columns) -> ScoreOf:
    counts = [np.where(columns["has_mask"].astype(bool), columns[name], np.nan) for name in MASK_COUNTS]
    return PatientDice(columns["patient"], *counts)


def _combined(answer: str, columns: Columns) -> ScoreOf:
    # not "$(@a + @b) / 2" in a config: that knows no epoch's values, and an interval needs both on the same draws
    parts: list[Any] = [score("dice", columns), share_right(columns["label"], columns[answer])]
    found = MeanOfScores(parts)
    found.undefined = next((p.undefined for p in parts if np.isnan(value_of(p, _count(columns)))), found.undefined)
    return found


def _dice_over(baseline: str, what: str) -> Definition:
    def mean(columns: Columns) -> ScoreOf:
        return WeightedMean(columns["dice"] - columns[f"dice_{baseline}"], ALL_EMPTY)

    needs, meaning = ("dice", f"dice_{baseline}"), f"Dice per image minus that of {what} (above 0: better than it)"
    return Definition(needs, mean, meaning, True, (-1.0, 1.0), LEAST_OF_MEANS)


class _Threshold:
    """A threshold as a function of weights: the best for each row of them."""

    def __init__(self, best: Callable[..., tuple[float, float]], *columns: np.ndarray):
        self.best, self.columns = best, columns

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        return np.array([self.best(*self.columns, row)[0] for row in weights])


def _mask_threshold(columns: Columns) -> ScoreOf:
    return _Threshold(best_mask_threshold, dice_at_thresholds(columns))


def _class_logit_threshold(columns: Columns) -> ScoreOf:
    return _Threshold(best_class_threshold, log_odds_of(columns["prob"]), columns["label"])


def _class_threshold(columns: Columns) -> ScoreOf:
    chosen = _class_logit_threshold(columns)
    return lambda weights: expit(chosen(weights))


def loss_terms(columns: Columns) -> list[str]:
    """Columns of the terms of a loss, such as ["seg_loss", "cls_loss"]; ["loss"] of a loss without terms."""
    return [name for name in columns if f"{name}_weight" in columns]


def _mean_loss(term: str, columns: Columns) -> ScoreOf:
    return WeightedMean(columns[term], NAN, own_weights=columns[f"{term}_weight"])


def _loss(columns: Columns) -> ScoreOf:
    """Sum of the terms' means, each with its factor; a term that no sample has, or with the factor 0, adds nothing."""
    means, factors = [], []
    for term in loss_terms(columns):
        factor = float(columns.get(f"{term}_factor", np.ones(1))[0])
        if factor > 0 and columns[f"{term}_weight"].any():
            means.append(_mean_loss(term, columns))
            factors.append(factor)
    return MeanOfScores(means, factors) if means else WeightedMean(np.full(_count(columns), np.nan))


def _count(columns: Columns) -> int:
    return len(next(iter(columns.values()), ()))


MASK_BASELINE_SCORES = {
    **{f"dice_{n}": _of_masks(f"dice_{n}", ALL_EMPTY, f"the Dice of {what}") for n, what in MASK_BASELINES.items()},
    **{f"dice_over_{name}": _dice_over(name, what) for name, what in MASK_BASELINES.items()},
}
SCORES = {
    "dice": _of_masks("dice", ALL_EMPTY, "Dice per image, mean over images whose true mask is not empty"),
    "dice_patient": Definition(
        ("patient", "overlap"), _patient_dice,
        "Dice over all slices of a patient together, mean over patients whose masks are not all empty", True,
        least=LEAST_OF_MEANS,
    ),
    "iou": _of_masks(
        "iou", ALL_EMPTY, "intersection over union per image, mean over images whose true mask is not empty"
    ),
    "fp_area": _of_masks(
        "fp_area", NO_EMPTY,
        "share of the image wrongly marked, mean over images whose true mask is empty (0 is best)",
        least=None,
    ),
    "mask_precision": _of_masks(
        "mask_precision", ALL_EMPTY,
        "share of the predicted mask that is right, 0 if there is none; mean over images whose true mask is not empty",
        LEAST_OF_MISSES,
    ),
    "mask_recall": _of_masks(
        "mask_recall", ALL_EMPTY, "share of the true mask that is found, mean over images where it is not empty",
        LEAST_OF_MISSES,
    ),
    "pixel_accuracy": Definition(
        ("pixel_accuracy",), lambda c: WeightedMean(c["pixel_accuracy"], "no image has a mask"),
        "share of all pixels with the right class, the background included, mean over images (channels that may "
        "overlap: mean over them)",
        least=LEAST_OF_RARE,
    ),
    **MASK_BASELINE_SCORES,
    **SURFACE_SCORES,
    "acc": _classification("acc", "share of images with the right class"),
    "sensitivity": _classification(
        "sensitivity", "share of positive images found (more than two classes: mean over classes)"
    ),
    "specificity": _classification(
        "specificity", "share of negative images left alone (more than two classes: mean over classes)"
    ),
    "auc": Definition(
        CLASS_COLUMNS, lambda c: AreaUnderCurve(c["label"], c["prob"]),
        "area under the ROC curve (more than two classes: mean over classes)",
    ),
    "f1": _classification("f1", "F1 of the positive class (more than two classes: mean over classes)"),
    "precision": _classification(
        "precision",
        "share of those predicted positive that are, 0 if none is (more than two classes: mean over classes)",
    ),
    "balanced_acc": _classification(
        "balanced_acc", "mean over the classes of the share of their images that was found"
    ),
    "recall_macro": _classification("recall_macro", "recall, mean over classes: the balanced accuracy"),
    "precision_macro": _classification(
        "precision_macro", "precision, mean over classes (0 for a class that is never predicted)"
    ),
    "f1_macro": _classification("f1_macro", "F1, mean over classes"),
    "brier": Definition(
        CLASS_COLUMNS, lambda c: WeightedMean(brier_scores(c["label"], c["prob"]), NAN, own_weights=1),
        "Brier score: mean of (probability of class 1 - truth)^2 (more classes: summed over them; 0 is best)",
        bounds=(0.0, 2.0), least=LEAST_OF_ERRORS,
    ),
    "ece": Definition(
        CLASS_COLUMNS, lambda c: CalibrationError(c["label"], c["predicted"], c["prob"]),
        "expected calibration error: confidence against share of right classes in 10 equally wide bins (0 is best)",
        least=None,
    ),
    "combined": Definition(
        ("dice", "label", "predicted"), partial(_combined, "predicted"),
        "mean of the Dice per image and the share of right classes", least=LEAST_OF_MEANS,
    ),
    "combined_constant": Definition(
        ("dice", "label", "constant"), partial(_combined, "constant"),
        f"the same with these masks and always {CONSTANT}", least=LEAST_OF_MEANS,
    ),
    **CLASS_BASELINE_SCORES,
    **RECONSTRUCTION_SCORES,
    "loss": Definition((), _loss, bounds=None),
    "mask_threshold": Definition((*AT_THRESHOLDS, "true_pixels", "has_mask"), _mask_threshold),
    "class_threshold": Definition(("label", "prob"), _class_threshold),
    "class_logit_threshold": Definition(("label", "prob"), _class_logit_threshold, bounds=None),
    "volume_threshold": Definition(
        ("label", "prob", "has_mask", "true_pixels", "patient"),
        lambda c: lambda weights: np.full(len(weights), volume_threshold(c)),
    ),
}  # fmt: skip
CASE_SCORES = tuple(name for name, definition in SCORES.items() if definition.needs == (name,))  # have a value per case
IN_REPORTS = ("dice", "dice_patient", "iou", "fp_area", *MASK_BASELINE_SCORES, *SURFACE_SCORES, "acc",
              "balanced_acc", "sensitivity", "specificity", "auc", "f1", *CLASS_BASELINE_SCORES,
              *RECONSTRUCTION_SCORES)  # fmt: skip


def known_score(name: str) -> str:
    """The name of a score.

    Raises:
        ConfigError: there is no such score; names those there are.
    """
    if name not in SCORES:
        raise ConfigError(f"unknown score {name!r}; choose one of: {', '.join(SCORES)}")
    return name


def check_scores(names: Sequence[str]) -> tuple[str, ...]:
    """The names of scores for a report, as a tuple.

    Raises:
        ConfigError: naming the unknown ones and those there are.
    """
    known = [name for name, definition in SCORES.items() if definition.meaning]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"scores: {', '.join(map(repr, unknown))} unknown; choose from: {', '.join(known)}")
    return tuple(names)


def scores_of(columns: Columns) -> list[str]:
    """Those of `IN_REPORTS` that the columns give."""
    return [name for name in IN_REPORTS if gives(columns, name)]


def gives(columns: Columns, name: str) -> bool:
    """Whether the columns give a score."""
    there = with_case_scores(columns)
    return all(need in there for need in SCORES[name].needs)


def score(name: str, columns: Columns, channel: int | None = None) -> ScoreOf:
    """A score of the columns as a function of weights (R, n) -> (R,).

    Args:
        name: one of `SCORES`, or a term of the loss, such as "seg_loss".
        columns: (n,) or (n, K) each.
        channel: of masks with several channels this one alone; None: the mean over the channels that are there, without
            regions, each a mean over its images. A draw without one of those does not count.

    Raises:
        ConfigError: an unknown score, one whose columns are not there, or a channel that the masks do not have.
    """
    columns = with_case_scores(columns)
    if name != "loss" and name in loss_terms(columns):
        return _mean_loss(name, columns)
    definition = SCORES[known_score(name)]
    missing = [need for need in definition.needs if need not in columns]
    if missing or (name == "loss" and not loss_terms(columns)):
        raise ConfigError(
            f"score {name!r}: nothing measured gives {', '.join(missing) or 'a loss'}; "
            f"there are: {', '.join(columns) or 'no cases'}"
        )
    if channel is not None:
        if not 0 <= channel < channel_count(columns):
            raise ConfigError(
                f"channel {channel} of score {name!r}: the masks have {channel_count(columns)}, from 0 on"
            )
        columns = of_channel(columns, channel)
    several = definition.per_channel and channel is None and channel_count(columns) > 1
    count = class_count(columns) if several else 1
    each: list[Any] = [definition.make(of_channel(columns, c) if several else columns) for c in range(count)]
    found: Any = each[0]
    if count > 1:
        there = [one for one in each if not np.isnan(value_of(one, _count(columns)))]
        found = MeanOfScores(there or each)
        found.counts = np.any([one.counts for one in each], axis=0)
    for name, what in {"bounds": definition.bounds, "least": definition.least}.items():
        setattr(found, name, what(columns) if callable(what) else what)
    return found


def channel_count(columns: Columns) -> int:
    """Channels of the masks; 1 where there are none."""
    dice = with_case_scores(columns).get("dice", np.empty(0))
    return dice.shape[1] if dice.ndim == 2 else 1


def class_count(columns: Columns) -> int:
    """Channels of the masks without those of regions, see `medbundles.metrics.Masks`."""
    return int(np.max(columns["class_channels"], initial=1)) if "class_channels" in columns else channel_count(columns)


def of_channel(columns: Columns, channel: int) -> dict[str, np.ndarray]:
    """The columns of one channel of the masks."""
    per_channel = {*MASK_COUNTS, *(name for name, definition in SCORES.items() if definition.per_channel)}
    return {n: v[:, channel] if n in per_channel and v.ndim == 2 else v for n, v in columns.items()}
