"""Cuts a training patch out of a whole image."""

from collections.abc import Sequence

import torch
from monai.transforms import Compose, Randomizable, Transform

from medbundles.rules import Rule, has_rules
from medbundles.transforms.image_augmentation import ImageAugmentation


def _final_epochs(final_epochs: int, epochs: int, final_size: Sequence[int] | None) -> str | None:
    if final_epochs > epochs:
        return f"final_patch_epochs: {final_epochs} is more than all {epochs} epochs; use {epochs} or less."
    if final_epochs > 0 and not final_size:
        return f"final_patch_epochs: {final_epochs} epochs of no size; give --final_patch_size, or 0 epochs."
    if final_size and final_epochs == 0:
        return f"final_patch_size: {list(final_size)} in no epoch; give --final_patch_epochs too."
    return None


@has_rules(Rule(("final_patch_epochs", "epochs", "final_patch_size"), _final_epochs))
class RandomPatch(Randomizable, Transform):
    """A patch from a random place, with random changes; where the image is smaller, its border is repeated.

    The changes work on the patch and what lies around it as far as they reach, not on the whole image: of a large image
    that would take longer than the training's step. Each place inside the image is equally likely, so the border is
    seen as well. (MONAI's SpatialPad and RandSpatialCrop would pad all of the image.)

    Reads "image", a tensor (C, H, W) or (C, X, Y, Z), and "epoch", counted from 1, as `SeededDataset` gives it. Writes
    "image".

    Args:
        patch_size: sides of the patch.
        final_patch_size: its sides in the last part of the training, closer to a whole image; None or False: the same.
        final_from_epoch: the first epoch that takes them.
        augmentation: the changes; None: none. MONAI's random transforms, in a Compose, see the patch alone.

    Example:
        >>> patches = RandomPatch([4, 4], final_patch_size=[8, 8], final_from_epoch=10)
        >>> [patches({"image": torch.zeros(1, 6, 9), "epoch": epoch})["image"].shape[1:] for epoch in (9, 10)]
        [torch.Size([4, 4]), torch.Size([8, 8])]
    """

    def __init__(
        self,
        patch_size: Sequence[int],
        final_patch_size: Sequence[int] | None = None,
        final_from_epoch: int = 1,
        augmentation: ImageAugmentation | Compose | None = None,
    ):
        self.patch_size, self.final_patch_size = list(patch_size), list(final_patch_size or patch_size)
        self.final_from_epoch, self.augmentation = final_from_epoch, augmentation

    def __call__(self, data: dict) -> dict:
        size = self.final_patch_size if data["epoch"] >= self.final_from_epoch else self.patch_size
        changes = self.augmentation
        margins = changes.margins(size) if isinstance(changes, ImageAugmentation) else [0] * len(size)
        image = data["image"]
        for dim, (side, margin) in enumerate(zip(size, margins, strict=True), start=1):
            start = self.R.randint(max(image.shape[dim] - side, 0) + 1)
            index = torch.arange(start - margin, start + side + margin)
            image = image.index_select(dim, index.clamp(0, image.shape[dim] - 1))
        if self.augmentation:
            self.augmentation.set_random_state(seed=int(self.R.randint(2**31)))
            image = self.augmentation({"image": image})["image"]
            for dim, (side, margin) in enumerate(zip(size, margins, strict=True), start=1):
                image = image.narrow(dim, margin, side)
        return {**data, "image": image}
