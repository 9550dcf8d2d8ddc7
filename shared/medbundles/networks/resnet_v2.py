"""The convolutional half of the hybrid vision transformer."""

import torch
from torch import nn
from torch.nn.functional import layer_norm

from medbundles.networks.small_inputs import Conv2d

GROUPS, EPS = 32, 1e-6
UNITS = (3, 4, 9)  # units of each block


class StandardisedConv2d(Conv2d):
    """Convolution whose kernels have mean 0 and variance 1 (Qiao et al. 2019, arXiv:1903.10520), without bias."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1):
        super().__init__(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)

    def _conv_forward(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return super()._conv_forward(input, layer_norm(weight, weight.shape[1:], eps=1e-5), bias)


class Unit(nn.Module):
    """Bottleneck of 1x1, 3x3 and 1x1 convolutions with group normalisation, beside a shortcut.

    Args:
        in_channels: C.
        width: of the 3x3 convolution; four times as many channels come out.
        stride: of the 3x3 convolution.
    """

    def __init__(self, in_channels: int, width: int, stride: int = 1):
        super().__init__()
        out_channels = 4 * width
        self.layers = nn.Sequential(
            StandardisedConv2d(in_channels, width, 1), nn.GroupNorm(GROUPS, width, EPS), nn.ReLU(inplace=True),
            StandardisedConv2d(width, width, 3, stride), nn.GroupNorm(GROUPS, width, EPS), nn.ReLU(inplace=True),
            StandardisedConv2d(width, out_channels, 1), nn.GroupNorm(GROUPS, out_channels, EPS),
        )  # fmt: skip
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            # the authors' group normalisation has a group for each channel, which is instance normalisation
            self.shortcut = nn.Sequential(
                StandardisedConv2d(in_channels, out_channels, 1, stride), nn.InstanceNorm2d(out_channels, affine=True)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, 4 width, H / stride, W / stride)."""
        return torch.relu(self.layers(x) + self.shortcut(x))


class ResNetV2(nn.Module):
    """The encoder of R50+ViT-B_16 (Dosovitskiy et al. 2020, arXiv:2010.11929): 3, 4 and 9 units, to a 16th of the size.

    Args:
        in_channels: channels C of the image.
    """

    channels = (64, 256, 512, 1024)  # at a half, a 4th, an 8th and a 16th of the size

    def __init__(self, in_channels: int):
        super().__init__()
        self.root = nn.Sequential(
            StandardisedConv2d(in_channels, 64, 7, 2), nn.GroupNorm(GROUPS, 64, EPS), nn.ReLU(inplace=True)
        )
        # as in the authors' JAX original, which pads on the right; their PyTorch code pads later, with zeros
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        before = self.channels[0]
        blocks = []
        for level, units in enumerate(UNITS):
            width = 64 * 2**level
            first = Unit(before, width, stride=2 if level else 1)
            blocks.append(nn.Sequential(first, *(Unit(4 * width, width) for _ in range(units - 1))))
            before = 4 * width
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, C, H, W), sides multiples of 16 -> the features at a half, a 4th, an 8th and a 16th of the size."""
        levels = [self.root(x)]
        x = self.pool(levels[0])
        for block in self.blocks:
            x = block(x)
            levels.append(x)
        return levels
