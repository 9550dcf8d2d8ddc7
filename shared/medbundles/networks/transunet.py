"""TransUNet: a hybrid vision transformer in a U-Net."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from monai.networks.blocks import TransformerBlock
from torch import nn
from torch.nn.functional import interpolate

from medbundles.networks.norms import replace_batch_norm
from medbundles.networks.resnet_v2 import ResNetV2

WIDTHS = (512, 256, 128, 64, 16)  # of the decoder, from a 16th of the size to the full one


def unit(in_channels: int, out_channels: int) -> nn.Sequential:
    """3x3 convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class TransUNet(nn.Module):
    """TransUNet (Chen et al. 2021, arXiv:2102.04306) for images (B, C, H, W).

    A `ResNetV2` gives features at a 16th of the size, each of which becomes a token; the transformer's result goes up
    through a decoder that sees the ResNet's finer features. The blocks are MONAI's. With 12 layers, 12 heads, 768
    features, 224x224 and 3 channels to 9 classes there are 105,277,081 parameters, as in the authors' network, without
    those that MONAI's blocks never use.

    Args:
        in_channels: channels C of the image.
        out_channels: channels K of the logits.
        image_size: sides of the image, multiples of 16; each token has a position of its own.
        layers: of the transformer.
        heads: of each attention; they divide `hidden`.
        hidden: features of a token.
        dropout: in the transformer; 0.1 in the paper.
        norm: instance, batch or group, in the decoder; the encoder has its own.
    """

    multiple = 16  # the sides of an image are

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        image_size: Sequence[int],
        layers: int = 12,
        heads: int = 12,
        hidden: int = 768,
        dropout: float = 0.0,
        norm: str = "batch",
    ):
        super().__init__()
        tokens = (image_size[0] // self.multiple) * (image_size[1] // self.multiple)
        self.resnet = ResNetV2(in_channels)
        self.embedding = nn.Conv2d(ResNetV2.channels[-1], hidden, 1)
        self.positions = nn.Parameter(torch.zeros(1, tokens, hidden))
        self.transformer = nn.Sequential(
            nn.Dropout(dropout),
            *(TransformerBlock(hidden, 4 * hidden, heads, dropout, qkv_bias=True) for _ in range(layers)),
            nn.LayerNorm(hidden),
        )
        self.bottleneck = unit(hidden, WIDTHS[0])
        skips = (*reversed(ResNetV2.channels[:3]), 0)
        self.ups = nn.ModuleList(
            nn.Sequential(unit(below + skip, width), unit(width, width))
            for (below, width), skip in zip(pairwise(WIDTHS), skips, strict=True)
        )
        self.head = nn.Conv2d(WIDTHS[-1], out_channels, 3, padding=1)
        replace_batch_norm(self, norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Image (B, C, H, W) of `image_size` -> logits (B, K, H, W)."""
        *skips, low = self.resnet(x)
        grid = self.embedding(low)
        tokens = self.transformer(grid.flatten(2).transpose(1, 2) + self.positions)
        x = self.bottleneck(tokens.transpose(1, 2).reshape(grid.shape))
        for up in self.ups:
            x = interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            x = up(torch.cat([x, skips.pop()], dim=1) if skips else x)
        return self.head(x)
