"""Which plane of a volume a picture shows."""

from collections.abc import Sequence

import numpy as np
import torch


def shown_plane(arrays: Sequence[torch.Tensor], masks: Sequence[torch.Tensor] = ()) -> list[np.ndarray]:
    """One plane (H, W) of each array: the arrays themselves in 2D, of a volume (X, Y, Z) one slice as radiologists
    show it, axial and nose up for volumes in RAS.

    Args:
        arrays: (H, W) or (X, Y, Z) each.
        masks: the slice is the one with most of the first of these that is not empty, else the middle one.
    """
    if arrays[0].ndim == 2:
        return [array.numpy() for array in arrays]
    filled = [(mask > 0).sum((0, 1)) for mask in masks]
    z = next((int(sizes.argmax()) for sizes in filled if sizes.any()), arrays[0].shape[-1] // 2)
    return [array[..., z].flip(0, 1).T.numpy() for array in arrays]
