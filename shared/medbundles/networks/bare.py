"""The network itself, without what distribution and compiling put around it."""

from torch import nn
from torch.nn.parallel import DistributedDataParallel


def bare_network(network: nn.Module) -> nn.Module:
    """The module inside DistributedDataParallel and torch.compile; the network itself where there is neither."""
    while True:
        if isinstance(network, DistributedDataParallel):
            network = network.module
        elif hasattr(network, "_orig_mod"):  # torch.compile
            network = network._orig_mod  # type: ignore[assignment]
        else:
            return network
