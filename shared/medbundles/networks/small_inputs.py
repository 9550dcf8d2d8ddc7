"""Convolutions of inputs smaller than their kernel, which torch's CPU build gets wrong in bfloat16."""

from typing import Any

import torch
from torch import nn


class Scriptable:
    """Before a layer of torch's that has another `forward` here, which TorchScript cannot read."""

    def __prepare_scriptable__(self) -> Any:
        """The layer as it was, which `torch.jit.script` takes in its place."""
        own = (kind for kind in type(self).__mro__ if not kind.__module__.startswith("medbundles."))
        self.__class__ = next(own)  # type: ignore[assignment]
        return self


class _SmallInFloat32(Scriptable):
    """Before a convolution class: computes in float32 where a side of the input is smaller than the kernel.

    With torch 2.13 on a CPU the weight gradient of a padding bfloat16 convolution is read from memory that nobody wrote
    there, which shows as sudden NaN or huge values, of a kernel of 7 as a crash. Networks get that small at their
    bottleneck. Float32 is right, and such inputs take hardly any time.
    """

    kernel_size: tuple[int, ...]

    def forward(self, input: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        """As the convolution itself."""
        own: Any = super()
        fits = all(side >= kernel for side, kernel in zip(input.shape[2:], self.kernel_size, strict=True))
        if fits or not torch.is_autocast_enabled("cpu"):
            return own.forward(input, *args, **options)
        with torch.autocast("cpu", enabled=False):
            return own.forward(input.float(), *args, **options)


class Conv2d(_SmallInFloat32, nn.Conv2d):
    """See `_SmallInFloat32`; at the top of the module, so that networks can be pickled."""


class Conv3d(_SmallInFloat32, nn.Conv3d):
    """See `_SmallInFloat32`."""


class ConvTranspose2d(_SmallInFloat32, nn.ConvTranspose2d):
    """See `_SmallInFloat32`."""


class ConvTranspose3d(_SmallInFloat32, nn.ConvTranspose3d):
    """See `_SmallInFloat32`."""


CAREFUL: dict[type, type] = {
    nn.Conv2d: Conv2d,
    nn.Conv3d: Conv3d,
    nn.ConvTranspose2d: ConvTranspose2d,
    nn.ConvTranspose3d: ConvTranspose3d,
}
