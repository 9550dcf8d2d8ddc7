"""How much tumour is seen where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from medbundles.metrics.mean_over_samples import MeanOverSamples
from medbundles.metrics.pick import Pick

MASKS = Pick("pred.mask", "label.mask", "label.has_mask")


class FalsePositiveArea(MeanOverSamples):
    """Mean share of the image area that is predicted as tumour, over the images whose true mask is empty.

    Dice over images with a tumour does not see these. Images without a mask do not count. 0 is perfect; NaN if no
    image counts.

    Args:
        output_transform: gives the predicted mask (B, 1, H, W) and true mask (B, 1, H, W), both with values > 0 for
            tumour, and which images have a mask (B,) bool.
    """

    def __init__(self, output_transform: Callable[[Any], Any] = MASKS):
        super().__init__(output_transform)

    def values(self, output: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Share of each image and whether it counts, (B, 1) each."""
        pred, mask, has_mask = output
        empty = ~(mask > 0).flatten(1).any(dim=1)
        return (pred > 0).flatten(1).double().mean(dim=1)[:, None], (has_mask & empty)[:, None]
