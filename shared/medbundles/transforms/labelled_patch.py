"""Cuts a training patch out of an image and its map of classes."""

from collections.abc import Sequence

import numpy as np
import torch
from monai.transforms import Randomizable, Transform


class LabelledPatch(Randomizable, Transform):
    """A patch of image and mask from one random place, with random changes; a smaller image repeats its border.

    Each place inside the image is equally likely, but a share of the patches has its middle at a pixel of a class that
    is drawn first, so that rare classes are seen (nnU-Net: a third). MONAI's RandCropByLabelClassesd is not used: it
    cannot take an image that is smaller than the patch, and draws no place uniformly.

    Reads and writes "image" (C, ...) and "mask" (1, ...), tensors.

    Args:
        patch_size: sides of the patch; None: the whole image.
        foreground: share of the patches around a class.
        augmentation: the changes, a MONAI Randomizable, or None.
        ignore_label: value of the mask that is no class; None or False: there is none.
    """

    def __init__(
        self,
        patch_size: Sequence[int] | None = None,
        foreground: float = 0.0,
        augmentation: Randomizable | None = None,
        ignore_label: int | bool | None = None,
    ):
        self.patch_size = list(patch_size) if patch_size else None
        self.foreground, self.augmentation, self.ignore_label = foreground, augmentation, ignore_label or None

    def __call__(self, data: dict) -> dict:
        item = dict(data)
        if self.patch_size:
            for dim, start in enumerate(self._place(item["mask"][0]), start=1):
                side, length = self.patch_size[dim - 1], item["mask"].shape[dim]
                index = torch.arange(start, start + side).clamp(0, length - 1)
                item |= {key: item[key].index_select(dim, index) for key in ("image", "mask")}
        if self.augmentation is None:
            return item
        self.augmentation.set_random_state(seed=int(self.R.randint(2**31)))
        return self.augmentation(item)  # type: ignore[operator]

    def _place(self, mask: torch.Tensor) -> list[int]:
        """Where the patch begins; where the image is smaller, before it, so that it lies in the middle."""
        sides, room = (
            self.patch_size or [],
            [n - side for n, side in zip(mask.shape, self.patch_size or [], strict=True)],
        )
        starts = [self.R.randint(free + 1) if free >= 0 else free // 2 for free in room]
        if self.R.uniform() >= self.foreground:
            return starts
        present = np.unique(mask.numpy())
        present = present[(present > 0) & (present != self.ignore_label)]
        if not len(present):
            return starts
        places = np.flatnonzero(mask.numpy() == present[self.R.randint(len(present))])
        middle = np.unravel_index(places[self.R.randint(len(places))], mask.shape)
        return [
            int(np.clip(m - side // 2, 0, free)) if free >= 0 else free // 2
            for m, side, free in zip(middle, sides, room, strict=True)
        ]
