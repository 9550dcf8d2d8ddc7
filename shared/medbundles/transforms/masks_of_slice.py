"""Masks of a slice in the picture that it was made of."""

from collections.abc import Sequence

import numpy as np
import torch

from medbundles.transforms.geometry import to_original
from medbundles.transforms.predictions import Predictions

Sides = Sequence[int] | torch.Tensor


def masks_of_slice(
    predictions: Predictions, mask_prob: torch.Tensor, seg: torch.Tensor, crop: Sides, size: Sides
) -> tuple[torch.Tensor, np.ndarray]:
    """What a network says of a slice, in the picture (H, W).

    Args:
        predictions: what makes masks of probabilities.
        mask_prob: (K, S, S); of the rule "foreground" (1, S, S).
        seg: logits (C, S, S).
        crop: see `to_original`.
        size: likewise.

    Returns:
        The probabilities (K, H, W); and masks uint8 (K, H, W): 0/1 of each class, or of each region, which may overlap.
        With "foreground" and several classes each pixel has the strongest.
    """
    prob = to_original(mask_prob.cpu(), crop, size)
    masks = predictions.masks(prob[None])[0]
    if predictions.mask_rule == "foreground" and len(seg) > 2:
        strongest = to_original(seg[1:].float().cpu(), crop, size).argmax(dim=0)
        masks = masks & (strongest == torch.arange(len(seg) - 1)[:, None, None])
    return prob, masks.numpy().astype(np.uint8)
