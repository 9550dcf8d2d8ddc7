"""Where a network's weights live and how they lie in memory."""

import torch
from torch import nn

from medbundles.networks.small_inputs import with_small_inputs_right


def to_device(network: nn.Module, device: str | torch.device, channels_last: bool = False) -> nn.Module:
    """The same network on `device`, with its convolution weights channels-last if wanted.

    The results are the same up to rounding; which layout is quicker depends on network and machine. Convolutions of
    inputs smaller than their kernel are made right in bfloat16 (`medbundles.networks.small_inputs`); a network is
    scripted before this, not after it.

    Args:
        network: moved in place.
        device: for example "cpu" or "cuda:0".
        channels_last: NHWC weights for 2D networks, NDHWC for 3D ones.
    """
    network = with_small_inputs_right(network).to(device)
    if channels_last:
        volumetric = any(parameter.dim() == 5 for parameter in network.parameters())
        memory_format = torch.channels_last_3d if volumetric else torch.channels_last
        network = network.to(memory_format=memory_format)  # type: ignore[call-overload]
    return network
