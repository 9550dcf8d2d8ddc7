"""The network itself, without what distribution and compiling put around it."""

from torch import nn
from torch.nn.parallel import DistributedDataParallel


def bare_network(network: nn.Module) -> nn.Module:
    """The module inside DistributedDataParallel and torch.compile; the network itself where there is neither."""
    of_compiled = getattr(network, "_orig_mod", None)
    inner = network.module if isinstance(network, DistributedDataParallel) else of_compiled
    return network if inner is None else bare_network(inner)
