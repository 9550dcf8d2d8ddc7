"""The network itself, without what distribution and compiling put around it."""

from torch import nn
from torch.nn.parallel import DistributedDataParallel


def bare_network(network: nn.Module) -> nn.Module:
    """The module inside DistributedDataParallel, torch.compile and MONAI Deploy's model; else the network itself."""
    around = ("_orig_mod", "predictor")  # of the last two
    inner = next((found for name in around if (found := getattr(network, name, None)) is not None), None)
    inner = network.module if isinstance(network, DistributedDataParallel) else inner
    return network if inner is None else bare_network(inner)
