"""The network itself, without what distribution and compiling put around it."""

from torch import nn
from torch.nn.parallel import DistributedDataParallel


def bare_network(network: nn.Module) -> nn.Module:
    """The module inside DistributedDataParallel, torch.compile and MONAI Deploy's model; else the network itself."""
    if not isinstance(network, nn.Module):  # MONAI Deploy's; a network may well have a part called predictor
        inner = getattr(network, "predictor", None)
    else:
        inner = network.module if isinstance(network, DistributedDataParallel) else getattr(network, "_orig_mod", None)
    return network if inner is None else bare_network(inner)
