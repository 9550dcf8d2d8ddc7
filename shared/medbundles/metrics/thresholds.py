"""Decision thresholds, chosen on the validation part: from which probability a pixel is tumour, an image has one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from monai.handlers import IgniteMetricHandler
from monai.metrics import CumulativeIterationMetric

MASK_GRID = tuple(round(0.05 * step, 2) for step in range(1, 20))


def dice_at_thresholds(
    prob: torch.Tensor, mask: torch.Tensor, thresholds: tuple[float, ...] = MASK_GRID
) -> torch.Tensor:
    """Dice of every image at every threshold, in one pass: counts of pixels between thresholds, then their sums.

    Args:
        prob: (B, 1, H, W), probability of tumour per pixel.
        mask: (B, 1, H, W), tumour where it is not 0.
        thresholds: T ascending values; a pixel is tumour from `prob >= threshold` on.

    Returns:
        (B, T), NaN for images whose mask is empty.
    """
    grid = torch.tensor(thresholds, dtype=torch.float32, device=prob.device)
    images, bins = prob.shape[0], len(thresholds) + 1
    # how many thresholds a pixel reaches, counted apart for each image and for tumour and background
    place = torch.bucketize(prob.detach().float().reshape(images, -1), grid, right=True)
    place += bins * (mask.reshape(images, -1) != 0)
    place += 2 * bins * torch.arange(images, device=prob.device)[:, None]
    counts = torch.bincount(place.flatten(), minlength=2 * bins * images).reshape(images, 2, bins)
    reached = counts.flip(-1).cumsum(-1).flip(-1).double()
    truth, predicted, both = reached[:, 1, :1], reached[:, :, 1:].sum(1), reached[:, 1, 1:]
    return torch.where(truth > 0, 2 * both / (predicted + truth), torch.nan)


def best_mask_threshold(dice: torch.Tensor, thresholds: tuple[float, ...] = MASK_GRID) -> tuple[float, float]:
    """The threshold with the largest mean Dice, and that Dice; of equal ones that nearest to 0.5.

    Args:
        dice: (N, T) as `dice_at_thresholds` gives it; rows of NaN (empty masks) do not count.
        thresholds: the T values.

    Returns:
        (threshold, Dice), both NaN when no image has a mask.
    """
    rows = dice[~dice.isnan().any(dim=1)]
    if len(rows) == 0:
        return math.nan, math.nan
    return _best(np.asarray(thresholds), rows.double().mean(dim=0).cpu().numpy())


def best_class_threshold(prob: np.ndarray | torch.Tensor, label: np.ndarray | torch.Tensor) -> tuple[float, float]:
    """The probability from which an image counts as positive that gives the largest balanced accuracy.

    This is Youden's J: (sensitivity + specificity) / 2. Candidates are the midpoints between neighbouring observed
    probabilities; of equal ones that nearest to 0.5.

    Args:
        prob: (N,), probability of the positive class.
        label: (N,), 1 positive, 0 negative.

    Returns:
        (threshold, balanced accuracy), both NaN when only one class is there or all probabilities are equal.
    """
    values = np.asarray(prob, dtype=np.float64)
    positive = np.asarray(label) == 1
    observed, place = np.unique(values, return_inverse=True)
    if positive.all() or not positive.any() or len(observed) < 2:
        return math.nan, math.nan
    # share of the positives, and of the negatives, at or below each observed probability
    missed, spared = (
        np.cumsum(np.bincount(place[part], minlength=len(observed))) / part.sum() for part in (positive, ~positive)
    )
    balanced = (1 - missed[:-1] + spared[:-1]) / 2
    return _best((observed[1:] + observed[:-1]) / 2, balanced)


def _best(thresholds: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    equal = thresholds[score >= score.max() - 1e-12]
    return float(equal[np.abs(equal - 0.5).argmin()]), float(score.max())


def mask_probability(output: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """What `MaskThreshold` needs of an engine's output: (mask_prob, mask), both (B, 1, H, W)."""
    return output["pred"]["mask_prob"], output["label"]["mask"]


def class_probability(output: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """What `ClassThreshold` needs of an engine's output: probabilities (B, N) and labels (B, 1)."""
    return output["pred"]["prob"], output["label"]["cls"][:, None]


class _DicePerThreshold(CumulativeIterationMetric):
    """Buffers (N, T), gathers it over all ranks, and picks the best."""

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor | None = None, **kwargs: Any) -> torch.Tensor:
        assert y is not None
        return dice_at_thresholds(y_pred, y)

    def aggregate(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        self.threshold, self.score = best_mask_threshold(self.get_buffer())
        return torch.tensor(self.threshold, dtype=torch.float64)


class _ProbabilityAndLabel(CumulativeIterationMetric):
    """Buffers (N, 2), gathers it over all ranks, and picks the best."""

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor | None = None, **kwargs: Any) -> torch.Tensor:
        assert y is not None
        positive = y_pred[:, 1:2] if y_pred.shape[1] == 2 else torch.full_like(y_pred[:, :1], torch.nan)
        return torch.cat([positive.double(), y.double()], dim=1)

    def aggregate(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        prob, label = self.get_buffer().double().cpu().numpy().T
        usable = ~np.isnan(prob)
        self.threshold, self.score = best_class_threshold(prob[usable], label[usable])
        return torch.tensor(self.threshold, dtype=torch.float64)


class MaskThreshold(IgniteMetricHandler):
    """Metric whose value is the mask threshold that is best on the part it is computed on (NaN without any tumour).

    The Dice it reaches is in `dice` after the run. All thresholds of 0.05, 0.10 .. 0.95 cost one pass over the pixels.

    Args:
        output_transform: gives (probability (B, 1, H, W), mask (B, 1, H, W)) of an engine's output.

    Example::

        "val_mask_threshold": {"_target_": "medbundles.metrics.MaskThreshold"}
    """

    def __init__(self, output_transform: Callable = mask_probability):
        super().__init__(metric_fn=_DicePerThreshold(), output_transform=output_transform, save_details=False)

    @property
    def dice(self) -> float:
        """Mean Dice over images with tumour at the chosen threshold."""
        return getattr(self.metric_fn, "score", math.nan)


class ClassThreshold(IgniteMetricHandler):
    """Metric whose value is the best threshold on the probability of class 1 (NaN unless there are two classes).

    Args:
        output_transform: gives (probabilities (B, N), labels (B, 1)) of an engine's output.

    Example::

        "val_class_threshold": {"_target_": "medbundles.metrics.ClassThreshold"}
    """

    def __init__(self, output_transform: Callable = class_probability):
        super().__init__(metric_fn=_ProbabilityAndLabel(), output_transform=output_transform, save_details=False)

    @property
    def balanced_accuracy(self) -> float:
        """Balanced accuracy at the chosen threshold."""
        return getattr(self.metric_fn, "score", math.nan)
