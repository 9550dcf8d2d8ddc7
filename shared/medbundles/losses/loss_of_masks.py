"""Any loss of logits and masks in the place of ours."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from medbundles.errors import ConfigError
from medbundles.losses.mask_logits import mask_logits
from medbundles.losses.per_image import PerImage


class MaskLoss(nn.Module):
    """Someone else's loss, which takes logits and a mask, on what `PrepareSegmentationBatch` gives.

    Args:
        loss: takes logits (B, C, ...) and the mask (B, 1, ...) of class indices, or (B, C, ...) of regions, float32:
            with whole numbers some losses fail.

    Raises:
        ConfigError: as `PerImage`.
    """

    def __init__(self, loss: Any):
        super().__init__()
        self.loss, self.per_image = loss, PerImage(loss, "loss")

    def forward(self, pred: Any, target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What the loss gives of a batch."""
        return self.loss(*_logits_and_mask(pred, target))

    @torch.no_grad()
    def per_sample(self, pred: Any, target: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """The value of each image, and what it counts with, (B,) and (B,)."""
        values = self.per_image(*_logits_and_mask(pred, target))
        return values, torch.ones_like(values)

    def set_epoch(self, epoch: int) -> str:
        """Tell a loss that follows the epochs; see `medbundles.handlers.EpochOfLoss`."""
        return self.loss.set_epoch(epoch) if hasattr(self.loss, "set_epoch") else ""


def loss_of_masks(loss: Any, ignore_label: int | bool | None = None) -> Any:
    """The loss for a batch with masks: ours as it is, and any other that takes logits and a mask as a `MaskLoss`.

    One that takes the batch's whole target, {"mask", "distance", "spacing"}, has a method `per_sample`, as ours.

    Args:
        loss: of the config.
        ignore_label: value of the mask that stands for "not labelled"; None or False: there is none.

    Raises:
        ConfigError: pixels are not labelled, and the loss would count them.

    Example::

        {"_target_": "medbundles.losses.loss_of_masks", "loss": "@loss", "ignore_label": "@ignore_label"}
    """
    if hasattr(loss, "per_sample"):
        return loss
    if ignore_label:
        raise ConfigError(
            f"ignore_label: {type(loss).__name__} would count the pixels with {ignore_label} as a class; use "
            "medbundles.losses.CombinedSegmentationLoss, or masks without that value."
        )
    return MaskLoss(loss)


def _logits_and_mask(pred: Any, target: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    return mask_logits(pred, target["mask"]), target["mask"].float()
