"""One output of a network that has several."""

import torch
from torch import nn


class TaskOutput(nn.Module):
    """Gives one entry of a network's dict of outputs as a plain tensor, for Grad-CAM, exports and single-task tools.

    Args:
        network: returns a dict of tensors.
        key: the entry to return, for example "seg" or "cls".

    Example:
        >>> from medbundles.networks import MultitaskUNet
        >>> TaskOutput(MultitaskUNet(base_filters=8, depth=3), "cls")(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 2])
    """

    def __init__(self, network: nn.Module, key: str):
        super().__init__()
        self.network = network
        self.key = key

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Image (B, C, H, W) -> the entry `key` of the network's outputs."""
        return self.network(x)[self.key]
