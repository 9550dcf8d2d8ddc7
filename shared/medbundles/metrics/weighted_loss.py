"""The validation loss of a network that only classifies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from medbundles.losses.per_image import per_sample
from medbundles.metrics.mean_over_samples import MeanOverSamples
from medbundles.metrics.pick import Pick

LOGITS = Pick("pred.cls", "label.cls")


class WeightedLoss(MeanOverSamples):
    """The loss over all samples and processes: sum(weight * value) / sum(weight).

    Means of batches would depend on the batch size wherever the weights of the samples differ. What the loss does at
    the moment, such as deferred re-weighting, counts here too.

    Args:
        loss: `loss.per_sample(logits, label)` gives the values (B,) and weights (B,); of a loss without it, such as
            torch's CrossEntropyLoss, every sample weighs 1.
        output_transform: gives logits (B, N) and true classes (B,) int64.

    Example::

        "val_loss": {"_target_": "medbundles.metrics.WeightedLoss", "loss": "@loss"}
    """

    def __init__(self, loss: Any, output_transform: Callable[[Any], Any] = LOGITS):
        self.loss = loss
        super().__init__(output_transform)

    def values(self, output: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and weight of each sample, (B, 1) each."""
        logits, label = output
        values, weights = per_sample(self.loss, logits, label)
        return values[:, None], weights[:, None]
