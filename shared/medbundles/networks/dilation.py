"""Holes in kernels instead of strides."""

from torch import nn
from torch.nn.modules.conv import _ConvNd


def dilate(layer: nn.Module, dilation: int, strided: int) -> None:
    """Give up the stride of a ResNet's layer and see as far by holes in its kernels, in place.

    Args:
        layer: some blocks.
        dilation: of the kernels of 3.
        strided: the same of those that had a stride. Where it is that of the layer before, the features at each
            second pixel are those that the strided layer would give, so that its weights mean the same.
    """
    for module in layer.modules():
        if isinstance(module, _ConvNd):
            dims = len(module.kernel_size)
            if module.kernel_size == (3,) * dims:
                module.dilation = module.padding = (dilation if set(module.stride) == {1} else strided,) * dims
            module.stride = (1,) * dims
