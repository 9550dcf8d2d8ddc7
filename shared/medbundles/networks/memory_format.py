"""Where a network's weights live and how they lie in memory."""

import torch
from torch import nn

from medbundles.errors import one_of
from medbundles.networks.freed_memory import keep_freed_memory
from medbundles.networks.quick_layers import QUICK
from medbundles.networks.small_inputs import CAREFUL


def resolve_channels_last(channels_last: bool | str, device: str | torch.device) -> bool:
    """Whether convolution weights lie channels-last; "auto": on a CPU with AVX-512, where convolutions gain by it.

    Raises:
        ConfigError: for anything but True, False and "auto".
    """
    one_of("channels_last", channels_last, (True, False, "auto"))
    if channels_last == "auto":
        return torch.device(device).type == "cpu" and torch.cpu._is_avx512_supported()
    return bool(channels_last)


def to_device(network: nn.Module, device: str | torch.device, channels_last: bool | str = False) -> nn.Module:
    """The same network on `device`, with its convolution weights channels-last if wanted.

    The results are the same up to rounding; which layout is quicker depends on network and machine. Some layers become
    subclasses of themselves, with the same tensors: convolutions that are right in bfloat16 on inputs smaller than
    their kernel (`medbundles.networks.small_inputs`), and layers that a CPU computes faster
    (`medbundles.networks.quick_layers`). A network is scripted before this, not after it. On a CPU the process keeps
    the memory that it frees for what it needs next (`medbundles.networks.freed_memory`).

    Args:
        network: moved in place.
        device: for example "cpu" or "cuda:0".
        channels_last: NHWC weights for 2D networks, NDHWC for 3D ones; as in `resolve_channels_last`. "auto" leaves
            networks with group normalisation as they are: with few channels a group its channels-last form takes 8 to
            70 times as long in bfloat16.

    Raises:
        ConfigError: for an unknown `channels_last`.
    """
    for kinds in (CAREFUL, QUICK):
        for module in network.modules():
            module.__class__ = kinds.get(type(module), type(module))  # what someone has changed already stays as it is
    network = network.to(device)
    if torch.device(device).type == "cpu":
        keep_freed_memory()
    in_groups = any(isinstance(module, nn.GroupNorm) for module in network.modules())
    if resolve_channels_last(channels_last, device) and not (channels_last == "auto" and in_groups):
        volumetric = any(parameter.dim() == 5 for parameter in network.parameters())
        memory_format = torch.channels_last_3d if volumetric else torch.channels_last
        network = network.to(memory_format=memory_format)  # type: ignore[call-overload]
    return network
