"""Batch normalisation of features that were pooled over the whole image."""

import torch
from torch import nn
from torch.nn.functional import batch_norm


class PooledNorm(nn.BatchNorm1d):
    """Batch normalisation (B, C) whose running statistics are right from the first batch on.

    torch's begin with mean 0 and variance 1 and move by a tenth per batch: with features that vary by 0.015 they are
    wrong for a hundred batches. Here the first batches are averaged until a tenth each is reached. A batch of one has
    no spread and is normalised as in evaluation.
    """

    running_mean: torch.Tensor  # type: ignore[assignment]
    running_var: torch.Tensor  # type: ignore[assignment]
    num_batches_tracked: torch.Tensor  # type: ignore[assignment]

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Features (B, C) -> the same shape."""
        if not self.training or len(input) == 1:
            return batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        with torch.no_grad():  # tensors throughout: a number would make a GPU wait, and torch.compile compile again
            share = (1 / self.num_batches_tracked.add_(1)).clamp(min=0.1)
            self.running_mean.lerp_(input.mean(0), share)
            self.running_var.lerp_(input.var(0), share)
        return batch_norm(input, None, None, self.weight, self.bias, True, 0.0, self.eps)
