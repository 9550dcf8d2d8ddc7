"""The loss of a network that segments and classifies, on batches in which only some images have a mask."""

from collections.abc import Mapping

import torch
from torch import nn

from medbundles.errors import ConfigError, in_range, refuse
from medbundles.losses.per_image import PerImage, at_least_float32
from medbundles.rules import Rule, has_rules


def _something_to_learn(lambda_seg: float, lambda_cls: float) -> str | None:
    if lambda_seg == 0 and lambda_cls == 0:
        return "loss#lambda_seg and loss#lambda_cls are both 0; nothing would be learnt."
    return None


@has_rules(Rule(("loss#lambda_seg", "loss#lambda_cls"), _something_to_learn))
class MultitaskLoss(nn.Module):
    """lambda_seg * mean of the segmentation loss over the images with a mask + lambda_cls * mean over all images.

    Adding an image without a mask does not change the segmentation term. A batch without any mask has the term 0.
    Every output takes part in the graph in any case, so that DistributedDataParallel waits for no gradient. (There each
    process averages over its own images, as always; a process whose batch has no mask adds 0 to the average.)

    A term whose lambda is 0 is computed without gradients, only to be reported. Its layers still get gradients of
    zero, which weight decay and momentum act upon: to keep layers as they are, freeze them.

    Args:
        seg_loss: of logits (B, K, H, W) and the mask (B, 1, H, W); any loss that `PerImage` can call.
        cls_loss: of logits (B, N) and the label (B,); likewise.
        lambda_seg: weight of the segmentation, >= 0.
        lambda_cls: weight of the classification, >= 0.

    Attributes:
        parts: of the latest call, detached, before the lambdas: {"seg": mean over the images with a mask (0 if there
            is none), "cls": mean over all images}.
        counts: how many images these are means of, {"seg": tensor, "cls": tensor}; running means weigh by them.

    Raises:
        ConfigError: for a negative lambda, when both are 0, or for a loss that `PerImage` refuses.

    Example:
        >>> loss = MultitaskLoss(SegmentationLoss("dice_bce"), ClassificationLoss("cross_entropy"))
        >>> pred = {"seg": torch.zeros(2, 1, 8, 8), "cls": torch.zeros(2, 2)}
        >>> has_mask = torch.tensor([True, False])
        >>> target = {"mask": torch.ones(2, 1, 8, 8), "cls": torch.tensor([1, 0]), "has_mask": has_mask}
        >>> total = loss(pred, target)
    """

    def __init__(self, seg_loss: nn.Module, cls_loss: nn.Module, lambda_seg: float = 1.0, lambda_cls: float = 0.5):
        super().__init__()
        in_range("loss#lambda_seg", lambda_seg, minimum=0)
        in_range("loss#lambda_cls", lambda_cls, minimum=0)
        refuse([_something_to_learn(lambda_seg, lambda_cls)])
        self.seg_loss, self.cls_loss = seg_loss, cls_loss
        self.seg_per_image = PerImage(seg_loss, "loss#seg_loss")
        self.cls_per_image = PerImage(cls_loss, "loss#cls_loss")
        self.lambda_seg, self.lambda_cls = lambda_seg, lambda_cls
        self.parts: dict[str, torch.Tensor] = {}
        self.counts: dict[str, torch.Tensor] = {}

    def forward(self, pred: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The scalar to minimise.

        Args:
            pred: {"seg": logits (B, K, H, W), "cls": logits (B, N)} of any float type; computed in at least float32.
            target: {"mask": (B, 1, H, W), "cls": (B,) int64, "has_mask": (B,) bool}.

        Raises:
            ConfigError: for a has_mask of another shape, which would be broadcast.
        """
        if target["has_mask"].ndim != 1:
            raise ConfigError(f"has_mask has the shape {tuple(target['has_mask'].shape)}; it must be (B,)")
        seg_logits, cls_logits = at_least_float32(pred["seg"]), at_least_float32(pred["cls"])
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.lambda_seg > 0):
            seg_values = self._seg(seg_logits, target)
            # where and clamp instead of boolean indexing: the shapes do not depend on the data, so nothing waits for it
            seg_count = target["has_mask"].sum()
            seg = torch.where(target["has_mask"], seg_values, 0).sum() / seg_count.clamp(min=1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.lambda_cls > 0):
            cls = self.cls_per_image(cls_logits, target["cls"]).mean()
        self.parts = {"seg": seg.detach(), "cls": cls.detach()}
        self.counts = {"seg": seg_count, "cls": torch.tensor(len(cls_logits))}
        total = cls_logits.new_zeros(())
        for weight, part, logits in ((self.lambda_seg, seg, seg_logits), (self.lambda_cls, cls, cls_logits)):
            total = total + (weight * part if weight > 0 else 0.0 * logits.sum())
        return total

    @property
    def unweighted(self) -> list[str]:
        """The outputs whose lambda is 0: what gives them learns nothing."""
        return [name for name in ("seg", "cls") if getattr(self, f"lambda_{name}") == 0]

    @torch.no_grad()
    def per_sample(
        self, pred: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]
    ) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Of each term the value of each image and whether it counts, (B,) and (B,), before the lambdas.

        The segmentation of an image without a mask is NaN and does not count.
        """
        seg = self._seg(at_least_float32(pred["seg"]), target)
        cls = self.cls_per_image(at_least_float32(pred["cls"]), target["cls"])
        has_mask = target["has_mask"]
        return {"seg": (torch.where(has_mask, seg, torch.nan), has_mask), "cls": (cls, torch.ones_like(cls))}

    def _seg(self, logits: torch.Tensor, target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The segmentation loss of each image; of one without a mask it may be anything."""
        return self.seg_per_image(logits, target["mask"].to(logits.dtype), target["has_mask"])
