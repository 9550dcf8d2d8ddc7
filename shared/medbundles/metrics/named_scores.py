"""The scores of a classification by name, as a report asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from medbundles.errors import ConfigError
from medbundles.metrics.calibration import CalibrationError, brier_scores
from medbundles.metrics.patient_bootstrap import AreaUnderCurve, ClassificationScore, WeightedMean

SCORES = {
    "acc": "share of images with the right class",
    "sensitivity": "share of positive images found (more than two classes: mean over classes)",
    "specificity": "share of negative images left alone (more than two classes: mean over classes)",
    "auc": "area under the ROC curve (more than two classes: mean over classes)",
    "f1": "F1 of the positive class (more than two classes: mean over classes)",
    "precision": "share of those predicted positive that are, 0 if none is (more than two classes: mean over classes)",
    "balanced_acc": "mean over the classes of the share of their images that was found",
    "recall_macro": "recall, mean over classes: the balanced accuracy",
    "precision_macro": "precision, mean over classes (0 for a class that is never predicted)",
    "f1_macro": "F1, mean over classes",
    "brier": "Brier score: mean of (probability of class 1 - truth)^2 (more classes: summed over them; 0 is best)",
    "ece": "expected calibration error: confidence against share of right classes in 10 equally wide bins (0 is best)",
}


def check_scores(scores: Sequence[str]) -> tuple[str, ...]:
    """The scores as a tuple.

    Raises:
        ConfigError: naming the unknown ones and those there are.
    """
    unknown = [name for name in scores if name not in SCORES]
    if unknown:
        raise ConfigError(f"scores: {', '.join(map(repr, unknown))} unknown; choose from: {', '.join(SCORES)}")
    return tuple(scores)


def named_score(
    name: str, label: np.ndarray, predicted: np.ndarray, prob: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """A score as a function of weights (R, n) -> (R,), for `PatientBootstrap`.

    Args:
        name: one of `SCORES`.
        label: (n,) true classes.
        predicted: (n,) predicted classes.
        prob: (n, N) probabilities.
    """
    if name == "auc":
        return AreaUnderCurve(label, prob)
    if name == "brier":
        return WeightedMean(brier_scores(label, prob), "no images with a probability")
    if name == "ece":
        return CalibrationError(label, predicted, prob)
    return ClassificationScore(name, label, predicted, prob.shape[1])
