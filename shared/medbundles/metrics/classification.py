"""Scores of the classification: from the confusion matrix, and the area under the ROC curve."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from ignite.metrics import ConfusionMatrix
from monai.handlers import ROCAUC

from medbundles.errors import ConfigError
from medbundles.metrics.log_odds import log_odds
from medbundles.metrics.pick import Pick

CLASSES = Pick("pred.class", "label.cls")
PROBABILITIES = Pick("pred.prob", "label.cls")
SCORES = ("accuracy", "sensitivity", "recall", "specificity", "precision", "f1")
AVERAGES = ("binary", "macro")


def check_score(score: str, average: str) -> None:
    """Refuse what `confusion_score` does not know.

    Raises:
        ConfigError: for an unknown score or average.
    """
    if score not in SCORES:
        raise ConfigError(f"unknown score {score!r}; choose one of: {', '.join(SCORES)}")
    if average not in AVERAGES:
        raise ConfigError(f"unknown average {average!r}; choose one of: {', '.join(AVERAGES)}")


def confusion_score(matrix: torch.Tensor, score: str, average: str = "binary") -> float:
    """A score of a confusion matrix (N, N) with true classes as rows.

    - binary: of class 1, the positive one; NaN where it is undefined (0 / 0). With more than two classes it is the
      mean of one class against the rest, NaN if that of one is.
    - macro: mean of one class against the rest, with two classes too. A class without samples and predictions is left
      out. As in scikit-learn with zero_division=0, precision is 0 for a class that is never predicted, and recall for
      one that is predicted without having samples.

    Accuracy is the share of correct samples in both cases. The macro sensitivity is the balanced accuracy.

    Args:
        matrix: counts.
        score: accuracy, sensitivity (also called recall), specificity, precision or f1.
        average: binary or macro.

    Raises:
        ConfigError: for an unknown score or average.
    """
    check_score(score, average)
    matrix = matrix.double()
    tp = matrix.diagonal()
    if score == "accuracy":
        return float(tp.sum() / matrix.sum())
    fn = matrix.sum(dim=1) - tp
    fp = matrix.sum(dim=0) - tp
    tn = matrix.sum() - tp - fn - fp
    recall = tp / (tp + fn)
    per_class = {
        "sensitivity": recall,
        "recall": recall,
        "specificity": tn / (tn + fp),
        "precision": tp / (tp + fp),
        "f1": 2 * tp / (2 * tp + fp + fn),
    }[score]
    if average == "macro":
        if score != "specificity":  # that is undefined only where all samples are of the class: left out
            per_class = per_class.nan_to_num(0)
        return float(per_class.where(tp + fn + fp > 0, torch.nan).nanmean())
    return float(per_class[1] if len(per_class) == 2 else per_class.mean())


def confusion_counts(label: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Confusion matrix (N, N) of true (rows) and predicted (columns) classes, (n,) each."""
    counts = np.zeros((classes, classes), dtype=int)
    np.add.at(counts, (np.asarray(label, dtype=int), np.asarray(predicted, dtype=int)), 1)
    return counts


def class_report(counts: np.ndarray, class_names: Sequence[str]) -> dict[str, dict[str, float | int | None]]:
    """Precision, recall, F1 and support (number of samples) of each class.

    The precision of a class that has samples and is never predicted is 0, as in the macro mean. None is what has no
    meaning: recall without samples, and the others without samples and predictions.

    Args:
        counts: confusion matrix (N, N) with true classes as rows.
        class_names: names of the N classes.

    Example:
        >>> class_report(np.array([[8, 2], [1, 3]]), ["no", "yes"])["yes"]
        {'precision': 0.6, 'recall': 0.75, 'f1': 0.6666666666666666, 'support': 4}
    """
    report: dict[str, dict[str, float | int | None]] = {}
    for c, name in enumerate(class_names):
        hits, support, found = int(counts[c, c]), int(counts[c].sum()), int(counts[:, c].sum())
        there = support + found > 0
        report[name] = {
            "precision": hits / max(found, 1) if there else None,
            "recall": hits / support if support else None,
            "f1": 2 * hits / (support + found) if there else None,
            "support": support,
        }
    return report


class ConfusionScore(ConfusionMatrix):
    """Accuracy, sensitivity, specificity, precision or F1 over all samples and processes (see `confusion_score`).

    Args:
        score: which one; recall is sensitivity.
        num_classes: classes N.
        output_transform: gives predicted and true class, (B,) int64 each.
        average: binary (of class 1) or macro (mean over the classes).

    Raises:
        ConfigError: for an unknown score or average.

    Example:
        >>> metric = ConfusionScore("sensitivity", output_transform=Pick("pred", "label"))
    """

    def __init__(
        self,
        score: str,
        num_classes: int = 2,
        output_transform: Callable[[Any], Any] = CLASSES,
        average: str = "binary",
    ):
        check_score(score, average)
        self.score, self.score_average = score, average  # Ignite's own `average` normalises the matrix
        super().__init__(num_classes, output_transform=output_transform)

    def update(self, output: Any) -> None:
        """Add a batch."""
        pred, label = output
        # Ignite wants scores per class and takes their argmax; the class itself may come from a chosen threshold
        super().update((torch.nn.functional.one_hot(pred.long(), self.num_classes), label))

    def compute(self) -> float:  # type: ignore[override]
        """The score."""
        return confusion_score(super().compute(), self.score, self.score_average)


class AUC(ROCAUC):
    """Area under the ROC curve over all samples and processes; NaN if a class is missing.

    Two classes: of the probability of class 1. More: mean of one class against the rest (macro).

    Args:
        output_transform: gives probabilities (B, N) and true class (B,) int64.
    """

    def __init__(self, output_transform: Callable[[Any], Any] = PROBABILITIES):
        super().__init__(average="macro", output_transform=output_transform)

    def update(self, output: Any) -> None:
        """Add a batch."""
        prob, label = output
        if prob.shape[1] == 2:
            prob, label = log_odds(prob)[:, None], label[:, None]
        else:
            label = torch.nn.functional.one_hot(label, prob.shape[1])
        super().update((prob, label))

    def compute(self) -> float:
        """The area, 0 to 1."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="y values can not be all")  # NaN says it
            return float(super().compute())
