"""Overlap of predicted and true tumour, per image over the images that have a tumour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monai import handlers

from medbundles.metrics.pick import PickMasks

MASKS = PickMasks("pred.mask", "label.mask")


class MeanDice(handlers.MeanDice):
    """MONAI's MeanDice, mean over the images with a non-empty true mask, but NaN instead of 0 if there are none.

    Images without a mask have a mask of zeros in the batch, so they drop out too.

    Args:
        output_transform: gives predicted and true mask, (B, 1, H, W) float 0/1 each.
    """

    def __init__(self, output_transform: Callable[[Any], Any] = MASKS):
        super().__init__(output_transform=output_transform)

    def compute(self) -> float:
        """The mean, 0 to 1."""
        return super().compute() if self.metric_fn.get_buffer().isfinite().any() else float("nan")


class MeanIoU(handlers.MeanIoUHandler):
    """MONAI's mean intersection over union, with the same rules as `MeanDice` here.

    Args:
        output_transform: gives predicted and true mask, (B, 1, H, W) float 0/1 each.
    """

    def __init__(self, output_transform: Callable[[Any], Any] = MASKS):
        super().__init__(output_transform=output_transform)

    def compute(self) -> float:
        """The mean, 0 to 1."""
        return super().compute() if self.metric_fn.get_buffer().isfinite().any() else float("nan")
