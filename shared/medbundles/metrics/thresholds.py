"""Decision thresholds, chosen on the validation part: from which probability a pixel is tumour, an image has one."""

import functools
import math

import numpy as np
import torch

from medbundles.metrics.weighted import ratio

LARGEST = 745.0  # log-odds whose probability float64 tells from 0
MASK_GRID = tuple(round(0.05 * step, 2) for step in range(1, 20))


def counts_at_thresholds(prob: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels in both masks, and in the predicted one, at each of the T thresholds of MASK_GRID, in one pass.

    Pixels between thresholds are counted, then the counts summed.

    Args:
        prob: (B, ...), probability of tumour per pixel.
        mask: (B, ...), tumour where it is not 0; the prediction is it where `prob >= threshold`.

    Returns:
        Two of (B, T).
    """
    grid = _on_device(prob.device)
    images, bins = prob.shape[0], len(MASK_GRID) + 1
    # how many thresholds a pixel reaches, counted apart for each image and for tumour and background
    place = torch.bucketize(prob.detach().float().nan_to_num(nan=-1).reshape(images, -1), grid, right=True)
    place += bins * (mask.reshape(images, -1) != 0)
    place += 2 * bins * torch.arange(images, device=prob.device)[:, None]
    counts = _how_often(place.flatten(), 2 * bins * images).reshape(images, 2, bins)
    reached = counts.flip(-1).cumsum(-1).flip(-1)[:, :, 1:]
    return reached[:, 1], reached.sum(1)


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
        dice: (n, T) of each image at each threshold; rows of NaN (empty masks) do not count.
        weights: (n,) of the rows; None: 1 each.

    Returns:
        (threshold, Dice), both NaN when no image has a mask.
    """
    counts = np.where(np.isnan(dice).any(axis=1), 0.0, 1.0 if weights is None else weights)
    mean = ratio(counts @ np.nan_to_num(dice), np.full(dice.shape[1], counts.sum()))
    return _best(np.asarray(MASK_GRID), mean, 0.5)


def best_class_threshold(
    logits: np.ndarray, label: np.ndarray, weights: np.ndarray | None = None
) -> tuple[float, float]:
    """The log-odds from which an image counts as positive that give the largest balanced accuracy.

    This is Youden's J: (sensitivity + specificity) / 2. Candidates are the midpoints between neighbouring observed
    log-odds, in which probabilities that are 1.0 in print still differ; of equal ones that nearest to 0.

    Args:
        logits: (n,), log-odds of the positive class.
        label: (n,), 1 positive, 0 negative.
        weights: (n,) of the images; None: 1 each.

    Returns:
        (threshold, balanced accuracy), both NaN when only one class is there, all log-odds are equal, or one is NaN.
    """
    counts = np.ones(len(logits)) if weights is None else np.asarray(weights, dtype=float)
    used = counts > 0
    finite = np.clip(np.asarray(logits, dtype=np.float64)[used], -LARGEST, LARGEST)
    observed, place = np.unique(finite, return_inverse=True)
    positive = np.asarray(label)[used] == 1
    if positive.all() or not positive.any() or len(observed) < 2 or np.isnan(observed).any():
        return math.nan, math.nan
    # share of the positives, and of the negatives, at or below each observed value
    sums = (np.bincount(place, counts[used] * kind, len(observed)) for kind in (positive, ~positive))
    missed, spared = (np.cumsum(each) / each.sum() for each in sums)
    middles = (observed[1:] + observed[:-1]) / 2
    middles = np.where(middles > observed[:-1], middles, observed[1:])  # where there is no number between them
    return _best(middles, (1 - missed[:-1] + spared[:-1]) / 2, 0.0)


def _best(thresholds: np.ndarray, score: np.ndarray, middle: float) -> tuple[float, float]:
    if np.isnan(score).any():
        return math.nan, math.nan
    equal = thresholds[score >= score.max() - 1e-12]
    return float(equal[np.abs(equal - middle).argmin()]), float(score.max())
