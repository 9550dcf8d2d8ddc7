"""Base of metrics that are a mean over the samples for which they are defined."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced, sync_all_reduce


class MeanOverSamples(Metric):
    """Mean of per-sample values, each with its weight, in float64: neither batch size nor number of processes matters.

    Args:
        output_transform: gives what `values` takes.
        columns: how many values a sample has.
    """

    def __init__(self, output_transform: Callable[[Any], Any], columns: int = 1):
        self.columns = columns
        super().__init__(output_transform)

    @abstractmethod
    def values(self, output: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """The values (B, columns), and which of them count (B, columns): bool, or weights of at least 0.

        A NaN that counts makes the mean NaN.
        """

    @reinit__is_reduced
    def reset(self) -> None:
        """Forget all samples."""
        self._sum = torch.zeros(self.columns, dtype=torch.float64)
        self._count = torch.zeros(self.columns, dtype=torch.float64)

    @reinit__is_reduced
    def update(self, output: Any) -> None:
        """Add a batch."""
        values, counted = self.values(output)
        weights = counted.double()
        # not weights * values alone: 0 * NaN is NaN
        self._sum = self._sum + torch.where(weights != 0, weights * values.double(), 0.0).sum(dim=0).cpu()
        self._count = self._count + weights.sum(dim=0).cpu()

    @sync_all_reduce("_sum", "_count")
    def means(self) -> list[float]:
        """The mean of each column over all processes: sum(weight * value) / sum(weight), NaN where no sample counts.

        `counted` holds the sums of the weights, that is how many samples count.
        """
        self.counted: list[float] = self._count.tolist()
        return (self._sum / self._count).tolist()

    def compute(self) -> float:
        """The mean of the first column."""
        return self.means()[0]
