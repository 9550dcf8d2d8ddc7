"""nnU-Net's U-Net, MONAI's DynUNet, by width and depth."""

from collections.abc import Sequence

import torch
from monai.networks.blocks import UnetOutBlock
from monai.networks.nets import DynUNet

from medbundles.networks.norms import NORMS


class UNet(DynUNet):
    """MONAI's DynUNet (Isensee et al. 2021, arXiv:1904.08128): two convolutions a level, strided ones between levels.

    The features are [f, 2f, ..., f*2^depth], without nnU-Net's upper limit. An axis that is halved less often than the
    others (thick slices) is halved at the lowest levels, and has kernels of 1 above, as in nnU-Net's plans.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels C of the image.
        out_channels: channels K of the logits.
        base_channels: features f of the first level.
        depth: how often the image is halved; a list has a number for each axis.
        dropout: of each convolution's output but the last one's.
        norm: instance, batch or group.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        base_channels: int = 64,
        depth: int | Sequence[int] = 4,
        dropout: float = 0.0,
        norm: str = "instance",
    ):
        per_axis = [depth] * spatial_dims if isinstance(depth, int) else list(depth)
        levels = max(per_axis)
        strides = [[1 + (level > levels - halvings) for halvings in per_axis] for level in range(levels + 1)]
        kernels = [[3 if level >= levels - halvings else 1 for halvings in per_axis] for level in range(levels + 1)]
        super().__init__(
            spatial_dims, in_channels, out_channels, kernels, strides, strides[1:],
            filters=[base_channels * 2**level for level in range(levels + 1)],
            dropout=dropout or None,
            norm_name=NORMS[norm],
        )  # fmt: skip
        del self.skip_layers  # holds the same modules again, so that all weights would have two names

    def get_output_block(self, idx: int) -> UnetOutBlock:
        """Without MONAI's dropout, which would drop logits."""
        return UnetOutBlock(self.spatial_dims, self.filters[idx], self.out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, ...) -> logits (B, K, ...); each side can be halved as often as its axis is."""
        levels = [self.input_block(x)]
        for down in self.downsamples:
            levels.append(down(levels[-1]))
        x = self.bottleneck(levels[-1])
        for up, skip in zip(self.upsamples, reversed(levels), strict=True):
            x = up(x, skip)
        return self.output_block(x)
