"""The validation loss and its parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from ignite.engine import Engine

from medbundles.losses.multitask import MultitaskLoss
from medbundles.metrics.mean_over_samples import MeanOverSamples
from medbundles.metrics.pick import Pick

PRED_AND_LABEL = Pick("pred", "label")


class MultitaskLossMetric(MeanOverSamples):
    """The multitask loss over all samples: lambda_seg * mean over those with a mask + lambda_cls * mean over all.

    Attached as "val_loss" it also sets "val_seg_loss" and "val_cls_loss", the means before the lambdas ("loss" in the
    name is replaced). Means of batches would depend on the batch size, because only some samples have a mask. Without
    any mask the segmentation part is NaN and adds nothing to the total.

    Args:
        loss: gives the loss per sample.
        output_transform: gives pred and target as the loss takes them.
    """

    def __init__(self, loss: MultitaskLoss, output_transform: Callable[[Any], Any] = PRED_AND_LABEL):
        self.loss = loss
        super().__init__(output_transform, columns=2)

    def values(self, output: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Segmentation and classification loss of each sample and whether they count, (B, 2) each."""
        pred, target = output
        losses = self.loss.per_sample(pred, target)
        has_mask = target["has_mask"]
        counted = torch.stack([has_mask, torch.ones_like(has_mask)], dim=1)
        return torch.stack([losses["seg"], losses["cls"]], dim=1), counted

    def compute(self) -> dict[str, float]:  # type: ignore[override]
        """{"loss": total, "seg_loss": ..., "cls_loss": ...}."""
        seg, cls = self.means()
        # Without any mask the segmentation is left out. Any other NaN comes from a diverged network and must show.
        weighted = [self.loss.lambda_seg * seg] if self.loss.lambda_seg > 0 and self.counted[0] else []
        weighted += [self.loss.lambda_cls * cls] if self.loss.lambda_cls > 0 else []
        return {"loss": sum(weighted) if weighted else float("nan"), "seg_loss": seg, "cls_loss": cls}

    def completed(self, engine: Engine, name: str) -> None:
        """Write the three into the engine's metrics."""
        for key, value in self.compute().items():
            engine.state.metrics[name.replace("loss", key)] = value
