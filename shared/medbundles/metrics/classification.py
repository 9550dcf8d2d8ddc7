"""Scores of the classification: from the confusion matrix, and the area under the ROC curve.

Equal to scikit-learn's with sample_weight, which takes one draw of the bootstrap per call: 2,000 calls for an interval.
"""

from collections.abc import Sequence

import numpy as np
import torch

from medbundles.metrics.log_odds import certainty, log_odds
from medbundles.metrics.weighted import mean_of_defined, ratio

NAN = "the network gives NaN"
ONE_CLASS = "needs images of two classes"
MACRO = {"balanced_acc": "sensitivity", "recall_macro": "sensitivity", "precision_macro": "precision", "f1_macro": "f1"}


def rate(kind: str, label: np.ndarray, predicted: np.ndarray, c: int, weights: np.ndarray) -> np.ndarray:
    """A rate of class c against all others, with weights (R, n) -> (R,); NaN where it is 0 / 0.

    The precision of a class that has samples and is never predicted is 0, as in scikit-learn.

    Args:
        kind: sensitivity, specificity, precision or f1.
        label: (n,) true classes.
        predicted: (n,) predicted classes.
        c: the class.
        weights: (R, n).
    """
    truth, found = label == c, predicted == c
    hits, missed = weights @ (truth & found), weights @ (truth & ~found)
    false, rejected = weights @ (~truth & found), weights @ (~truth & ~found)
    if kind == "sensitivity":
        return ratio(hits, hits + missed)
    if kind == "specificity":
        return ratio(rejected, rejected + false)
    if kind == "precision":
        return np.where((hits + false == 0) & (missed > 0), 0.0, ratio(hits, hits + false))
    return ratio(2 * hits, 2 * hits + false + missed)


def is_one_share(kind: str, classes: int) -> bool:
    """Whether a score is a share of all images, or of those of one class, and not made of several classes' shares."""
    return kind == "acc" or (classes == 2 and kind in ("sensitivity", "specificity"))


class ClassificationScore:
    """Accuracy, sensitivity, specificity, precision or F1 from a weighted confusion matrix.

    With two classes the positive one is class 1; with more it is the mean over the classes that are there, each
    against the others. The precision of a class that is there and never predicted is 0, as in scikit-learn.

    The macro scores are such means with two classes too. They need images of two classes at least, and a draw in which
    one of the classes is missing does not count: a mean over fewer classes would be another quantity.

    Args:
        kind: "acc", "sensitivity", "specificity", "precision", "f1", "balanced_acc" (also called "recall_macro"),
            "precision_macro" or "f1_macro".
        label: (n,) true classes.
        predicted: (n,) predicted classes.
        classes: number of classes N.
    """

    def __init__(self, kind: str, label: np.ndarray, predicted: np.ndarray, classes: int):
        self.kind, self.positive = MACRO.get(kind, kind), [1] if classes == 2 else list(range(classes))
        self.label, self.predicted = label, predicted
        self.one_class = kind == "acc" and len(np.unique(label)) < 2
        reasons = {
            "acc": ONE_CLASS if len(label) else "no images",
            "sensitivity": "no positive images",
            "specificity": "no negative images",
        }
        self.undefined = reasons.get(kind, "no images")
        if classes == 2 and kind in ("precision", "f1"):
            self.undefined = "no positive images, in truth or predicted"
        self.counts = np.ones(len(label), dtype=bool)
        if classes == 2 and kind in ("sensitivity", "specificity"):
            self.counts = label == (1 if kind == "sensitivity" else 0)
        self.needed: list[int] = []
        # a share over several classes is as uncertain as that of the rarest; of one class `counts` says it
        self.groups = [] if is_one_share(kind, classes) else [label == c for c in np.unique(label)]
        if kind in MACRO:
            self.undefined, self.needed = "needs images of both classes", np.unique(label).tolist()
            # recall needs images of the class; precision and F1 of a class that is only predicted are 0
            there = label if self.kind == "sensitivity" else np.r_[label, predicted]
            self.positive = np.unique(there).tolist() if len(self.needed) > 1 else []

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Weights (R, n) -> (R,)."""
        if self.one_class:  # what answers so always would be right
            return np.full(len(weights), np.nan)
        if self.kind == "acc":
            return ratio(weights @ (self.label == self.predicted), weights.sum(1))
        if not self.positive:
            return np.full(len(weights), np.nan)
        values = mean_of_defined([rate(self.kind, self.label, self.predicted, c, weights) for c in self.positive])
        for c in self.needed:
            values[weights @ (self.label == c) == 0] = np.nan
        return values


class AreaUnderCurve:
    """Area under the ROC curve; ties count half. With more than two classes the mean of each against the others.

    Args:
        label: (n,) true classes.
        prob: (n, N) probabilities.
        nan: why a probability may be NaN, for the report.
    """

    undefined = "needs images of both classes"

    def __init__(self, label: np.ndarray, prob: np.ndarray, nan: str = NAN):
        self.ranked, self.groups = [], [label == c for c in np.unique(label)]
        if np.isnan(prob).any():  # it would rank as the highest
            self.undefined = nan
            return
        two = prob.shape[1] == 2
        for c in [1] if two else range(prob.shape[1]):
            score = log_odds(torch.as_tensor(prob)).numpy() if two else certainty(prob, c)
            order = np.argsort(score, kind="stable")
            ranked = score[order]
            starts = np.flatnonzero(np.r_[True, ranked[1:] > ranked[:-1]])
            self.ranked.append((order, starts, (label == c)[order]))

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Weights (R, n) -> (R,)."""
        if not self.ranked:
            return np.full(len(weights), np.nan)
        return mean_of_defined([self._area(weights[:, order], starts, truth) for order, starts, truth in self.ranked])

    @staticmethod
    def _area(weights: np.ndarray, starts: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Mann-Whitney: positives above negatives, groups of equal probability at a time."""
        positive = np.add.reduceat(weights * truth, starts, axis=1).astype(float)
        negative = np.add.reduceat(weights * ~truth, starts, axis=1).astype(float)
        below = np.cumsum(negative, axis=1) - negative / 2
        return ratio((positive * below).sum(1), positive.sum(1) * negative.sum(1))


def confusion_counts(label: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Confusion matrix (N, N) of true (rows) and predicted (columns) classes, (n,) each."""
    counts = np.zeros((classes, classes), dtype=int)
    np.add.at(counts, (np.asarray(label, dtype=int), np.asarray(predicted, dtype=int)), 1)
    return counts


def class_report(
    label: np.ndarray, predicted: np.ndarray, class_names: Sequence[str]
) -> dict[str, dict[str, float | int | None]]:
    """Precision, recall, F1 and support (number of samples) of each class; None what has no meaning (0 / 0).

    Args:
        label: (n,) true classes.
        predicted: (n,) predicted classes.
        class_names: names of the N classes.

    Example:
        >>> class_report(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), ["no", "yes"])["yes"]
        {'precision': 0.6666666666666666, 'recall': 1.0, 'f1': 0.8, 'support': 2}
    """
    report: dict[str, dict[str, float | int | None]] = {}
    for c, name in enumerate(class_names):
        report[name] = {}
        for key, kind in {"precision": "precision", "recall": "sensitivity", "f1": "f1"}.items():
            value = float(rate(kind, label, predicted, c, np.ones((1, len(label))))[0])
            report[name][key] = None if np.isnan(value) else value
        report[name]["support"] = int((label == c).sum())
    return report
