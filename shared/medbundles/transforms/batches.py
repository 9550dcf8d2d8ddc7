"""What the engines take out of a batch."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import PrepareBatch


class PrepareMultitaskBatch(PrepareBatch):
    """Moves a collated batch to the device as (image, target).

    image is (B, C, H, W) float; target is {"mask": (B, 1, H, W) uint8, "cls": (B,) int64, "has_mask": (B,) bool}, or
    None where the batch has no labels (inference). Further keywords (dtype, memory_format) act on the image alone:
    the targets are indices.
    """

    def __call__(
        self,
        batchdata: dict[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor] | None]:
        image = batchdata["image"].to(device=device, non_blocking=non_blocking, **kwargs)
        if "label" not in batchdata:
            return image, None
        target = {"mask": batchdata["mask"], "cls": batchdata["label"], "has_mask": batchdata["has_mask"]}
        return image, {key: value.to(device=device, non_blocking=non_blocking) for key, value in target.items()}


class PrepareMaskBatch(PrepareBatch):
    """Moves a collated batch to the device as (image, mask), for a network that only segments and any loss of MONAI's.

    image is (B, C, H, W) float, the mask (B, 1, H, W) uint8 class indices, or None where there is none.
    Further keywords (dtype, memory_format) act on the image alone.
    """

    def __call__(
        self,
        batchdata: dict[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        image = batchdata["image"].to(device=device, non_blocking=non_blocking, **kwargs)
        mask = batchdata.get("mask")
        return image, mask if mask is None else mask.to(device=device, non_blocking=non_blocking)
