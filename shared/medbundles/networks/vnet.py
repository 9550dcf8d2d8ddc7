"""V-Net of any width, normalisation and number of channels."""

import math

import torch
from monai.networks.blocks import Convolution
from monai.networks.nets import vnet
from torch import nn

from medbundles.networks.norms import replace_batch_norm

ACT = ("elu", {"inplace": True})


class InputTransition(vnet.InputTransition):
    """MONAI's, for images whose number of channels does not divide that of the features, too.

    The image that is added to the features is repeated until it has as many channels.
    """

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int):
        super().__init__(spatial_dims, 1, out_channels, ACT)
        self.conv_block = Convolution(
            spatial_dims, in_channels, out_channels, kernel_size=5, act=None, norm="batch", bias=False
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, ...) -> (B, out_channels, ...)."""
        times = math.ceil(self.out_channels / x.shape[1])
        image = torch.cat([x] * times, dim=1)[:, : self.out_channels]
        return self.act_function(self.conv_block(x) + image)


class VNet(vnet.VNet):
    """MONAI's V-Net (Milletari et al. 2016, arXiv:1606.04797), whose width is 16 and whose norm is batch, of any.

    Its tensors have MONAI's names. Behind the last convolution the K channels of the logits are normalised, as there.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels C of the image.
        out_channels: channels K of the logits.
        base_channels: features f of the first level; the lowest has 16 f.
        dropout: of the two lowest levels and of all skip connections.
        norm: instance, batch or group.
    """

    multiple = 16  # the sides of an image are

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        base_channels: int = 16,
        dropout: float = 0.0,
        norm: str = "batch",
    ):
        nn.Module.__init__(self)  # MONAI's would build its own layers
        dims, f, low, drop = spatial_dims, base_channels, dropout or None, (dropout or None, dropout)
        skip, kind = (None, dropout), spatial_dims  # whole channels are dropped
        self.in_tr = InputTransition(dims, in_channels, f)
        self.down_tr32 = vnet.DownTransition(dims, f, 1, ACT)
        self.down_tr64 = vnet.DownTransition(dims, 2 * f, 2, ACT)
        self.down_tr128 = vnet.DownTransition(dims, 4 * f, 3, ACT, low, kind)
        self.down_tr256 = vnet.DownTransition(dims, 8 * f, 2, ACT, low, kind)
        self.up_tr256 = vnet.UpTransition(dims, 16 * f, 16 * f, 2, ACT, drop, kind)
        self.up_tr128 = vnet.UpTransition(dims, 16 * f, 8 * f, 2, ACT, drop, kind)
        self.up_tr64 = vnet.UpTransition(dims, 8 * f, 4 * f, 1, ACT, skip, kind)
        self.up_tr32 = vnet.UpTransition(dims, 4 * f, 2 * f, 1, ACT, skip, kind)
        self.out_tr = vnet.OutputTransition(dims, 2 * f, out_channels, ACT)
        replace_batch_norm(self, norm)
