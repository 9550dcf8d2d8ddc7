"""The network of exported configs, with the weights in it, and inputs of sizes that it takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from medbundles.networks.loading import load_weights

from ..bundle import plain_errors
from .model import Model

SIZES = ("patch_size", "spatial_size", "image_size")  # settings that say what is put into the network, most exact first


@dataclass(frozen=True)
class Built:
    """A network, and what it takes.

    Attributes:
        network: in evaluation mode, on the CPU.
        channels: of its input.
        size: of its input as it was trained, (H, W) or (X, Y, Z).
    """

    network: nn.Module
    channels: int
    size: tuple[int, ...]

    def example(self, size: tuple[int, ...] | None = None, batch: int = 1) -> torch.Tensor:
        """An input (batch, C, ...) of values from 0 to 1, the same at each call."""
        generator = torch.Generator().manual_seed(0)
        return torch.rand(batch, self.channels, *(size or self.size), generator=generator)


def build_network(config: Mapping[str, Any], metadata: Mapping[str, Any], model: Model, where: str) -> Built:
    """The network that a config names, with the weights of a model; every tensor must fit.

    Args:
        config: content of inference.json.
        metadata: of the bundle.
        model: what is exported.
        where: what messages call the weights.

    Raises:
        CheckpointError: the weights are of another network.
    """
    from monai.bundle import ConfigParser

    parser = ConfigParser({**config, "imports": ["$import torch"]})
    with plain_errors():
        network = parser.get_parsed_content("network_def")
        channels = int(parser.get_parsed_content("network_def::in_channels"))
    advice = "Give the run or the trained.json that belongs to them."
    load_weights(network, model.weights, 1, where=where, advice=advice)
    image = metadata["network_data_format"]["inputs"]["image"]
    dimensions = config.get("spatial_dims", len(image["spatial_shape"]))
    size = next(config[name] for name in SIZES if config.get(name))
    sides = tuple(size) if isinstance(size, (list, tuple)) else (size,) * dimensions
    return Built(network.eval(), channels, sides)


def outputs_of(network: nn.Module, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """The outputs by name; that of a network with a single one is called "pred"."""
    with torch.no_grad():
        found = network(image)
    return dict(found) if isinstance(found, Mapping) else {"pred": found}
