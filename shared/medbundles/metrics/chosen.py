"""The cases of a validation at the thresholds that this validation chooses."""

from collections.abc import Collection, Mapping

import numpy as np
import torch
from scipy.special import expit

from medbundles.errors import ConfigError
from medbundles.metrics.log_odds import log_odds
from medbundles.metrics.measures import AT_THRESHOLDS
from medbundles.metrics.overlap import with_case_scores
from medbundles.metrics.thresholds import MASK_GRID, best_class_threshold, best_mask_threshold
from medbundles.metrics.volumes import volumes_of
from medbundles.metrics.weighted import mean_of_defined

Columns = Mapping[str, np.ndarray]
SUFFIX = "_at_thresholds"
OF_THE_MASKS = ("right_pixels", "hd95", "surface_dice", "volume_difference")  # not known of masks decided anew


def log_odds_of(prob: np.ndarray) -> np.ndarray:
    """Log-odds of the second of two classes, (n, 2) -> (n,); 0 with more, where there is nothing to choose."""
    return log_odds(torch.from_numpy(prob)).numpy() if prob.shape[1] == 2 else np.zeros(len(prob))


def dice_at_thresholds(columns: Columns) -> np.ndarray:
    """Dice of each image at every mask threshold (n, T), NaN where it has no tumour or no mask.

    With several channels it is the mean over those that are there.
    """
    counts = {name.removesuffix(SUFFIX): columns[name] for name in AT_THRESHOLDS}
    counts |= {"true_pixels": columns["true_pixels"][..., None], "has_mask": columns["has_mask"]}
    dice = with_case_scores({**counts, "pixels": np.ones(len(columns["has_mask"]))})["dice"]
    return dice if dice.ndim == 2 else mean_of_defined(list(np.moveaxis(dice, 1, 0)))


def volume_threshold(columns: Columns) -> float:
    """Probability from which a volume counts as positive; NaN where the volumes are all healthy, or none is."""
    if columns["prob"].shape[1] != 2 or not columns["has_mask"].any():
        return float("nan")
    prob, label = volumes_of(columns)
    return float(np.clip(expit(best_class_threshold(log_odds_of(prob), label)[0]), 1e-12, 1 - 1e-12))


def at_chosen_thresholds(
    columns: Columns, undecided: Collection[str]
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """The cases with masks and classes as decided by the thresholds that are best for them.

    Args:
        columns: what `Masks` and `MaskThresholds`, or `Classes`, measure; what is not there is not decided.
        undecided: what to choose: "mask", "class" or both.

    Returns:
        The columns, and mask_threshold and class_threshold (probabilities), and class_logit_threshold, which tells
        those apart that are 1.0 as a probability, as far as they could be chosen.
    """
    thresholds: dict[str, float] = {}
    if "mask" in undecided and all(name in columns for name in AT_THRESHOLDS):
        threshold, _ = best_mask_threshold(dice_at_thresholds(columns))
        thresholds |= {} if np.isnan(threshold) else {"mask_threshold": threshold}
    if "class" in undecided and "prob" in columns:
        threshold, _ = best_class_threshold(log_odds_of(columns["prob"]), columns["label"])
        if not np.isnan(threshold):
            thresholds |= {"class_threshold": float(expit(threshold)), "class_logit_threshold": threshold}
    return decided(columns, thresholds.get("mask_threshold"), thresholds.get("class_logit_threshold")), thresholds


def decided(
    columns: Columns, mask_threshold: float | None = None, class_logit_threshold: float | None = None
) -> dict[str, np.ndarray]:
    """The cases with masks and classes decided anew.

    Args:
        columns: what `Masks` and `MaskThresholds`, or `Classes`, measure.
        mask_threshold: one of MASK_GRID; None: the masks stay as they are. What was measured of their places, such as
            `OF_THE_MASKS`, is left out of masks that are decided anew.
        class_logit_threshold: log-odds from which the second of two classes counts; None: the classes stay.

    Raises:
        ConfigError: masks are measured, and `MaskThresholds` are not.
    """
    found = dict(columns)
    if mask_threshold is not None and "overlap" in columns:
        if any(name not in columns for name in AT_THRESHOLDS):
            raise ConfigError("cases: masks at another threshold need the measure medbundles.metrics.MaskThresholds")
        place = MASK_GRID.index(mask_threshold)
        for name in OF_THE_MASKS:
            found.pop(name, None)
        found |= {name.removesuffix(SUFFIX): columns[name][..., place] for name in AT_THRESHOLDS}
    if class_logit_threshold is not None and "prob" in columns and columns["prob"].shape[1] == 2:
        found["predicted"] = (log_odds_of(columns["prob"]) >= class_logit_threshold).astype(int)
    return found
