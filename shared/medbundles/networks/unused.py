"""Parameters that no output depends on."""

import copy
from collections.abc import Sequence

import torch
from torch import nn


def freeze_unused(network: nn.Module, shape: Sequence[int]) -> list[str]:
    """Freeze the parameters that get no gradient, such as the cross-attention's norm in MONAI's TransformerBlock.

    DistributedDataParallel waits for the gradients of all that are not frozen, and fails at the second step. They are
    found by a step without numbers (torch's device "meta"), which takes a moment and no memory.

    Args:
        network: returns a tensor.
        shape: of a batch that it takes, (B, C, ...).

    Returns:
        The names of the parameters that were frozen.
    """
    meta: dict[int, torch.Tensor] = {id(p): nn.Parameter(p.to("meta"), p.requires_grad) for p in network.parameters()}
    meta |= {id(buffer): buffer.to("meta") for buffer in network.buffers()}
    without_numbers = copy.deepcopy(network, meta)
    without_numbers(torch.empty(*shape, device="meta")).sum().backward()
    unused = [name for name, parameter in without_numbers.named_parameters() if parameter.grad is None]
    for name in unused:
        network.get_parameter(name).requires_grad_(False)
    return unused
