"""Scores of the classification: from the confusion matrix, and the area under the ROC curve."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from ignite.metrics import ConfusionMatrix
from monai.handlers import ROCAUC

from medbundles.errors import ConfigError
from medbundles.metrics.pick import Pick

CLASSES = Pick("pred.class", "label.cls")
PROBABILITIES = Pick("pred.prob", "label.cls")
SCORES = ("accuracy", "sensitivity", "specificity", "precision", "f1")


def confusion_score(matrix: torch.Tensor, score: str) -> float:
    """A score of a confusion matrix (N, N) with true classes as rows; NaN where it is undefined (0 / 0).

    Two classes: class 1 is the positive one. More: mean of one class against the rest (macro). Accuracy is the share
    of correct samples in both cases.

    Args:
        matrix: counts.
        score: accuracy, sensitivity (recall), specificity, precision or f1.

    Raises:
        ConfigError: for an unknown score.
    """
    if score not in SCORES:
        raise ConfigError(f"unknown score {score!r}; choose one of: {', '.join(SCORES)}")
    matrix = matrix.double()
    tp = matrix.diagonal()
    if score == "accuracy":
        return float(tp.sum() / matrix.sum())
    fn = matrix.sum(dim=1) - tp
    fp = matrix.sum(dim=0) - tp
    tn = matrix.sum() - tp - fn - fp
    per_class = {
        "sensitivity": tp / (tp + fn),
        "specificity": tn / (tn + fp),
        "precision": tp / (tp + fp),
        "f1": 2 * tp / (2 * tp + fp + fn),
    }[score]
    return float(per_class[1] if len(per_class) == 2 else per_class.mean())


class ConfusionScore(ConfusionMatrix):
    """Accuracy, sensitivity, specificity, precision or F1 over all samples and processes (see `confusion_score`).

    Args:
        score: which one.
        num_classes: classes N.
        output_transform: gives predicted and true class, (B,) int64 each.

    Raises:
        ConfigError: for an unknown score.

    Example:
        >>> metric = ConfusionScore("sensitivity", output_transform=Pick("pred", "label"))
    """

    def __init__(
        self,
        score: str,
        num_classes: int = 2,
        output_transform: Callable[[Any], Any] = CLASSES,
    ):
        if score not in SCORES:
            raise ConfigError(f"unknown score {score!r}; choose one of: {', '.join(SCORES)}")
        self.score = score
        super().__init__(num_classes, output_transform=output_transform)

    def update(self, output: Any) -> None:
        """Add a batch."""
        pred, label = output
        # Ignite wants scores per class and takes their argmax; the class itself may come from a chosen threshold
        super().update((torch.nn.functional.one_hot(pred.long(), self.num_classes), label))

    def compute(self) -> float:  # type: ignore[override]
        """The score."""
        return confusion_score(super().compute(), self.score)


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
        classes = prob.shape[1]
        if classes == 2:
            prob, label = prob[:, 1:], label[:, None]
        else:
            label = torch.nn.functional.one_hot(label, classes)
        super().update((prob.float(), label))

    def compute(self) -> float:
        """The area, 0 to 1."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="y values can not be all")  # NaN says it
            return float(super().compute())
