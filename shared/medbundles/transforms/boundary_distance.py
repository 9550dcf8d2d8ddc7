"""How far each pixel is from the boundary of each class: what the boundary loss weighs probabilities with."""

from collections.abc import Sequence

import numpy as np
import torch
from monai.transforms import Transform


def signed_distance(mask: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Distance of each pixel from the boundary of a mask, divided by the largest, so from -1 (inside) to 1 (outside).

    Outside it is that to the nearest pixel of the mask, inside that to the nearest one that is not in it, less the
    smallest spacing, so that the pixels at the boundary have 0 there. (Kervadec et al. 2019 and MONAI's BoundaryLoss,
    which count in pixels.) A mask that is empty is everywhere far outside, 1; one that is full everywhere inside, -1.

    Args:
        mask: (H, W) or (X, Y, Z) bool.
        spacing: of the pixels along each axis, in mm.

    Returns:
        The same shape, float32.
    """
    from scipy.ndimage import distance_transform_edt, find_objects

    if not mask.any() or mask.all():
        return np.full(mask.shape, -1 if mask.any() else 1, dtype=np.float32)
    distance = distance_transform_edt(~mask, sampling=spacing)
    # the box around the mask, and a pixel more, holds what is nearest to each of its pixels
    box = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in find_objects(mask.astype(np.uint8))[0])
    distance[box] -= np.maximum(distance_transform_edt(mask[box], sampling=spacing) - min(spacing), 0)
    return (distance / np.abs(distance).max()).astype(np.float32)


class BoundaryDistance(Transform):
    """The `signed_distance` of each foreground class, for `medbundles.losses.CombinedSegmentationLoss`.

    It stands last among the transforms, after what is random, so that it fits the mask that is trained on, and is
    computed in the data's workers and not in the training's step. Pixels that are not labelled are in no class.

    Reads "mask", class indices (1, ...), or (K, ...) with regions, which is 1 where a pixel is in it; and "spacing",
    in mm along each axis, where an item has it (else pixels are counted). Writes "distance" float32 (K, ...), K the
    classes without the background.

    Args:
        out_channels: of the network, the background included where there is softmax.
        mask_rule: classes or regions.
        enabled: False leaves every item as it is: the loss needs no distances.

    Example::

        {"_target_": "medbundles.transforms.BoundaryDistance", "out_channels": "@out_channels",
         "enabled": {"_target_": "medbundles.losses.needs_distances", "loss": "@loss"}}

    Example:
        >>> transform = BoundaryDistance(out_channels=3)
        >>> transform({"mask": torch.ones(1, 4, 4)})["distance"][:, 0, 0]
        tensor([-1.,  1.])
    """

    def __init__(self, out_channels: int, mask_rule: str = "classes", enabled: bool = True):
        self.enabled = enabled
        self.classes = list(range(1, out_channels)) if mask_rule == "classes" and out_channels > 1 else []

    def __call__(self, data: dict) -> dict:
        if not self.enabled:
            return data
        mask = np.asarray(data["mask"])
        spacing = np.asarray(data.get("spacing", np.ones(mask.ndim - 1)), dtype=float).tolist()
        each = [mask[0] == c for c in self.classes] or list(mask == 1)
        return {**data, "distance": torch.from_numpy(np.stack([signed_distance(one, spacing) for one in each]))}
