"""Drops components of predicted masks that are too small, or not the largest."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform

from medbundles.errors import ConfigError


class Components(Transform):
    """Cleans predicted masks, after `Predictions`; what is dropped becomes background.

    Pixels belong together that touch at an edge, voxels that touch at a face. MONAI's KeepLargestConnectedComponent and
    RemoveSmallObjects need scikit-image.

    Reads and writes pred["mask"] (B, K, ...), 0/1, where there is one; label["spacing"] (B, dims) in mm, likewise (else
    a pixel counts as one).

    Args:
        largest: keep the largest component alone, of each class (True), of none (False), or of these classes, by their
            numbers from 1 on.
        min_size: smallest size of a component, in mm3 (of pictures in pixels): a number, or one for each class; 0: any.

    Raises:
        ConfigError: when it is called: a class that there is not, or another number of sizes than of classes.
    """

    def __init__(self, largest: bool | Sequence[int] = False, min_size: float | Sequence[float] = 0):
        self.largest, self.min_size = largest, min_size

    def __call__(self, data: dict) -> dict:
        if "mask" not in data["pred"]:  # of a decoder that nothing has trained
            return data
        masks = data["pred"]["mask"]
        chosen, sizes = self._of_classes(masks.shape[1])
        if not any(chosen) and not any(sizes):
            return data
        label: Any = data.get("label")
        spacing = label.get("spacing") if isinstance(label, dict) else None
        voxels = [1.0] * len(masks) if spacing is None else spacing.prod(dim=1).tolist()
        clean = masks.cpu().numpy() > 0
        for i, one in enumerate(voxels):
            for k, (only, size) in enumerate(zip(chosen, sizes, strict=True)):
                if only or size:
                    clean[i, k] = _kept(clean[i, k], only, size / one)
        made = torch.from_numpy(clean).to(masks)
        return {**data, "pred": {**data["pred"], "mask": made}}

    def _of_classes(self, count: int) -> tuple[list[bool], list[float]]:
        """Of each class whether the largest component alone is kept, and the smallest size."""
        largest = [self.largest] * count if isinstance(self.largest, bool) else []
        if not largest:
            beyond = [label for label in self.largest if not 1 <= label <= count]  # type: ignore[union-attr]
            if beyond:
                raise ConfigError(f"largest_component: {beyond} are no classes; there are 1 to {count}.")
            largest = [label in self.largest for label in range(1, count + 1)]  # type: ignore[operator]
        sizes = [*self.min_size] if isinstance(self.min_size, Sequence) else [self.min_size] * count
        if len(sizes) != count:
            raise ConfigError(
                f"min_size: {sizes} are {len(sizes)} numbers; there are {count} classes without background."
            )
        return largest, [float(size) for size in sizes]


def _kept(mask: np.ndarray, only: bool, least: float) -> np.ndarray:
    """The components of a mask that are kept."""
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    keep = sizes >= max(least, 1)
    if only and count:
        keep &= np.arange(len(sizes)) == sizes.argmax()
    return keep[labels]
