"""Decision thresholds, chosen on the validation part: from which probability a pixel is tumour, an image has one."""

import functools
import math

import numpy as np
import torch

from medbundles.metrics.weighted import ratio

MASK_GRID = tuple(round(0.05 * step, 2) for step in range(1, 20))


def dice_at_thresholds(prob: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Dice of every image at each of the T thresholds of MASK_GRID, in one pass.

    Pixels between thresholds are counted, then the counts summed.

    Args:
        prob: (B, ...), probability of tumour per pixel.
        mask: (B, ...), tumour where it is not 0; the prediction is it where `prob >= threshold`.

    Returns:
        (B, T), NaN for images whose mask is empty.
    """
    grid = _on_device(prob.device)
    images, bins = prob.shape[0], len(MASK_GRID) + 1
    # how many thresholds a pixel reaches, counted apart for each image and for tumour and background
    place = torch.bucketize(prob.detach().float().nan_to_num(nan=-1).reshape(images, -1), grid, right=True)
    place += bins * (mask.reshape(images, -1) != 0)
    place += 2 * bins * torch.arange(images, device=prob.device)[:, None]
    counts = _how_often(place.flatten(), 2 * bins * images).reshape(images, 2, bins)
    reached = counts.flip(-1).cumsum(-1).flip(-1).double()
    truth, predicted, both = reached[:, 1, :1], reached[:, :, 1:].sum(1), reached[:, 1, 1:]
    return torch.where(truth > 0, 2 * both / (predicted + truth), torch.nan)


@functools.lru_cache(maxsize=8)
def _on_device(device: torch.device) -> torch.Tensor:
    """The thresholds, copied once, not with each batch."""
    return torch.tensor(MASK_GRID, dtype=torch.float32, device=device)


def _how_often(place: torch.Tensor, size: int) -> torch.Tensor:
    """`torch.bincount`; on a GPU that waits for the largest value, which is not needed here."""
    if place.device.type == "cpu":
        return torch.bincount(place, minlength=size)
    return torch.zeros(size, dtype=place.dtype, device=place.device).scatter_add_(0, place, torch.ones_like(place))


def best_mask_threshold(dice: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float]:
    """The threshold with the largest mean Dice, and that Dice; of equal ones that nearest to 0.5.

    Args:
        dice: (n, T) as `dice_at_thresholds` gives it; rows of NaN (empty masks) do not count.
        weights: (n,) of the rows; None: 1 each.

    Returns:
        (threshold, Dice), both NaN when no image has a mask.
    """
    counts = np.where(np.isnan(dice).any(axis=1), 0.0, 1.0 if weights is None else weights)
    mean = ratio(counts @ np.nan_to_num(dice), np.full(dice.shape[1], counts.sum()))
    return _best(np.asarray(MASK_GRID), mean)


def best_class_threshold(prob: np.ndarray, label: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float]:
    """The probability from which an image counts as positive that gives the largest balanced accuracy.

    This is Youden's J: (sensitivity + specificity) / 2. Candidates are the midpoints between neighbouring observed
    probabilities; of equal ones that nearest to 0.5.

    Args:
        prob: (n,), probability of the positive class.
        label: (n,), 1 positive, 0 negative.
        weights: (n,) of the images; None: 1 each.

    Returns:
        (threshold, balanced accuracy), both NaN when only one class is there, all probabilities are equal, or one is
        NaN.
    """
    counts = np.ones(len(prob)) if weights is None else np.asarray(weights, dtype=float)
    used = counts > 0
    observed, place = np.unique(np.asarray(prob, dtype=np.float64)[used], return_inverse=True)
    positive = np.asarray(label)[used] == 1
    if positive.all() or not positive.any() or len(observed) < 2 or np.isnan(observed).any():
        return math.nan, math.nan
    # share of the positives, and of the negatives, at or below each observed probability
    sums = (np.bincount(place, counts[used] * kind, len(observed)) for kind in (positive, ~positive))
    missed, spared = (np.cumsum(each) / each.sum() for each in sums)
    middles = (observed[1:] + observed[:-1]) / 2
    middles = np.where(middles > observed[:-1], middles, observed[1:])  # next to 1 there is no number between them
    return _best(middles, (1 - missed[:-1] + spared[:-1]) / 2)


def _best(thresholds: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    if np.isnan(score).any():
        return math.nan, math.nan
    equal = thresholds[score >= score.max() - 1e-12]
    return float(equal[np.abs(equal - 0.5).argmin()]), float(score.max())
