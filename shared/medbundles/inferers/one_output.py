"""One output of a network that has several, for hosts that take one tensor."""

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from monai.utils import convert_to_tensor


class OneOutput(Inferer):
    """Runs a network by another inferer and gives one of its named outputs.

    An image that has an axis more than the network takes, (B, C, H, W, N), is N slices, which go through it in batches.

    Args:
        inferer: runs the network.
        name: of the output.
        spatial_dims: of the network.
        batch_size: slices at a time.

    Example:
        >>> from medbundles.inferers import AutocastInferer
        >>> inferer = OneOutput(AutocastInferer("fp32"), "seg")
        >>> inferer(torch.zeros(1, 1, 8, 8, 3), lambda image: {"seg": image}).shape
        torch.Size([1, 1, 8, 8, 3])
    """

    def __init__(self, inferer: Callable[..., Any], name: str, spatial_dims: int = 2, batch_size: int = 1):
        super().__init__()
        self.inferer, self.name, self.spatial_dims, self.batch_size = inferer, name, spatial_dims, batch_size

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """Image (B, C, ...) or (B, C, ..., N) -> the output, (B, K, ...) or (B, K, ..., N)."""
        image = convert_to_tensor(inputs, track_meta=False)
        if image.ndim == 2 + self.spatial_dims:
            return self.inferer(image, network, *args, **kwargs)[self.name]
        slices = image.movedim(-1, 1).flatten(0, 1)  # (B * N, C, ...)
        found = [self.inferer(part, network, *args, **kwargs)[self.name] for part in slices.split(self.batch_size)]
        return torch.cat(found).unflatten(0, (len(image), -1)).movedim(1, -1)
