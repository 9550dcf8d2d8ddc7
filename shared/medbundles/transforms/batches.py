"""What the engines take out of a batch."""

from typing import Any

import torch
from ignite.utils import convert_tensor
from monai.engines import PrepareBatch


class PrepareMaskBatch(PrepareBatch):
    """Moves a collated batch to the device as (image, mask), for a network that only segments and any loss of MONAI's.

    image is (B, C, H, W) float, the mask (B, 1, H, W) float32 class indices, or None where there is none: with whole
    numbers some losses fail, and MONAI's Hausdorff losses cut distances to whole numbers without a word.
    Further keywords (dtype, memory_format) act on the image alone.
    """

    def __call__(
        self,
        batchdata: dict[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, Any]:
        image = batchdata["image"].to(device=device, non_blocking=non_blocking, **kwargs)
        target = self.target(batchdata)
        return image, None if target is None else convert_tensor(target, device, non_blocking)

    def target(self, batchdata: dict[str, Any]) -> Any:
        """What the loss gets beside the prediction: a tensor, a dict of them, or None."""
        return batchdata["mask"].float() if "mask" in batchdata else None


class PrepareMultitaskBatch(PrepareMaskBatch):
    """Moves a collated batch to the device as (image, target).

    image is (B, C, H, W) float; target is {"mask": (B, 1, H, W) uint8, "cls": (B,) int64, "has_mask": (B,) bool}, and
    where the batch says with "crop" how `ResizeSquare` made its images, "spacing" (B, 2): sides of a pixel in pixels of
    the file. None where the batch has no labels (inference). Further keywords (dtype, memory_format) act on the image
    alone: the targets are indices.
    """

    def target(self, batchdata: dict[str, Any]) -> dict[str, torch.Tensor] | None:
        """The mask, the label as "cls", and whether there is a mask; None without labels."""
        names = {"mask": "mask", "cls": "label", "has_mask": "has_mask"}
        if "label" not in batchdata:
            return None
        target = {key: batchdata[name] for key, name in names.items()}
        if "crop" in batchdata:
            sides = torch.tensor(batchdata["image"].shape[2:])
            factor = (batchdata["crop"][:, 2:] / sides).amax(1, keepdim=True)  # as that of `margins`
            target["spacing"] = factor.double().expand(-1, len(sides))
        return target


class PrepareSegmentationBatch(PrepareMaskBatch):
    """Moves a collated batch to the device as (image, target), for the losses and measures of masks.

    image is (B, C, ...) float; target is {"mask": (B, 1, ...) class indices or (B, K, ...) regions} and, where the
    batch has them, "distance" (B, K, ...) for the boundary loss and "spacing" (B, dims) in mm; or None where it has no
    mask (inference). Further keywords (dtype, memory_format) act on the image alone.
    """

    def target(self, batchdata: dict[str, Any]) -> dict[str, torch.Tensor] | None:
        """The mask and what belongs to it; None without one."""
        names = ("mask", "distance", "spacing")
        return {name: batchdata[name] for name in names if name in batchdata} if "mask" in batchdata else None


class PrepareImageBatch(PrepareMaskBatch):
    """Moves a collated batch to the device as (image, image): what a network that reconstructs is given and must give.

    The image is (B, C, H, W) or (B, C, X, Y, Z) float, plain and on the device.
    """

    def target(self, batchdata: dict[str, Any]) -> torch.Tensor:
        """The image itself."""
        return batchdata["image"]
