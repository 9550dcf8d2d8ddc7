"""Layers that a CPU computes faster than torch's own forms of them, with the same parameters and results."""

import math
from typing import Any

import torch
from monai.networks.blocks import SpatialAttentionBlock
from torch import nn
from torch.nn.functional import batch_norm, group_norm

from medbundles.networks import small_inputs

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def _is_for_us(x: torch.Tensor) -> bool:
    """Whether these forms may be used: traces and compiled graphs get torch's own, which hold for any batch."""
    return x.is_cpu and x.dim() in FORMATS and not (torch.jit.is_tracing() or torch.compiler.is_compiling())


def _is_channels_last(x: torch.Tensor) -> bool:
    return not x.is_contiguous() and x.is_contiguous(memory_format=FORMATS[x.dim()])


class _QuickInstanceNorm(small_inputs.Scriptable):
    """Before an instance normalisation: group normalisation with a group for each channel; channels-last case by case.

    torch's own copies its input to fit it to batch normalisation, and channels-last back and forth. Group normalisation
    does not, but its channels-last form is forty times as slow with one channel a group; batch normalisation of each
    case alone is not. All three are equal up to rounding.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As the instance normalisation itself, which also refuses what it refuses."""
        own, layer = super(), self  # type: Any, Any
        channels = layer.num_features
        if layer.track_running_stats or not _is_for_us(x) or x.shape[1] != channels or x[0, 0].numel() == 1:
            return own.forward(x)
        if not _is_channels_last(x):
            return group_norm(x, channels, layer.weight, layer.bias, layer.eps)
        cases = x.split(1)
        return torch.cat(
            [batch_norm(case, None, None, layer.weight, layer.bias, True, 0.0, layer.eps) for case in cases]
        )


class _QuickConvTranspose:
    """Before a transposed convolution: where the patches that it writes do not overlap, it is a product of matrices.

    Its channels-last form takes up to 2 (float32) or 8 times (bfloat16) as long, on large images, as a convolution of
    1 followed by one copy that puts the patches side by side. On small ones in float32 it is the quicker (0.7 times).
    """

    def forward(self, x: torch.Tensor, output_size: Any = None) -> torch.Tensor:
        """As the transposed convolution itself."""
        own, layer = super(), self  # type: Any, Any
        size = layer.kernel_size
        is_plain = size == layer.stride and layer.groups == 1 and set(layer.dilation) == {1} and output_size is None
        is_plain = is_plain and not any(layer.padding) and not any(layer.output_padding)
        if not is_plain or not _is_for_us(x) or not _is_channels_last(x):
            return own.forward(x, output_size)
        dims = len(size)
        kernel = layer.weight.movedim((0, 1), (-1, -2))  # (C, O, *k) -> (*k, O, C)
        bias = None if layer.bias is None else layer.bias.repeat(math.prod(size))
        convolution = torch.conv2d if dims == 2 else torch.conv3d
        out = convolution(x, kernel.reshape(-1, x.shape[1], *[1] * dims), bias).movedim(1, -1)
        out = out.reshape(len(x), *x.shape[2:], *size, -1)  # (B, *sides, *k, O)
        out = out.permute(0, *(axis for dim in range(1, 1 + dims) for axis in (dim, dim + dims)), -1)
        grown = [side * step for side, step in zip(x.shape[2:], size, strict=True)]
        return out.reshape(len(x), *grown, -1).movedim(-1, 1)


class Attention(SpatialAttentionBlock):
    """MONAI's attention, which leaves an image in the layout in which it came.

    MONAI's own turns it channels-last, and all that follows stays so, also where the convolutions are not; group
    normalisation then takes 6 to 18 times as long.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As MONAI's own."""
        out = super().forward(x)
        return out.contiguous() if x.is_contiguous() else out


class InstanceNorm2d(_QuickInstanceNorm, nn.InstanceNorm2d):
    """See `_QuickInstanceNorm`; at the top of the module, so that networks can be pickled."""


class InstanceNorm3d(_QuickInstanceNorm, nn.InstanceNorm3d):
    """See `_QuickInstanceNorm`."""


class ConvTranspose2d(_QuickConvTranspose, small_inputs.ConvTranspose2d):
    """See `_QuickConvTranspose`."""


class ConvTranspose3d(_QuickConvTranspose, small_inputs.ConvTranspose3d):
    """See `_QuickConvTranspose`."""


QUICK: dict[type, type] = {
    nn.InstanceNorm2d: InstanceNorm2d,
    nn.InstanceNorm3d: InstanceNorm3d,
    small_inputs.ConvTranspose2d: ConvTranspose2d,
    small_inputs.ConvTranspose3d: ConvTranspose3d,
    SpatialAttentionBlock: Attention,
}
