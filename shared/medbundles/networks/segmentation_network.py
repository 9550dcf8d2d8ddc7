"""The networks that segment, by name."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from medbundles.errors import in_range, one_of, refuse
from medbundles.networks.norms import GROUPS
from medbundles.networks.padding import cropped, padded_by_axis
from medbundles.networks.unet import UNet
from medbundles.networks.unused import freeze_unused
from medbundles.rules import EVERYWHERE, Rule, has_rules

NETWORKS: dict[str, type[nn.Module]] = {"unet": UNet}
GROUP = "network_def#"  # of the settings that stand there; the others are at the top of a config
TOP = ("spatial_dims", "in_channels", "out_channels", "image_size")


def takes(name: str) -> dict[str, Any]:
    """The arguments of a network with its own values of them."""
    return {key: argument.default for key, argument in inspect.signature(NETWORKS[name]).parameters.items()}


def problems(given: dict[str, Any]) -> Iterator[str]:
    """A line for each setting that the network does not know, and for each combination that it cannot be built of.

    Args:
        given: all arguments of `SegmentationNetwork`.
    """
    name, dims = given["name"], given["spatial_dims"]
    own = takes(name)
    for key, value in given.items():
        others = [other for other in NETWORKS if key in takes(other)]
        if key not in own and value not in (None, DEFAULTS[key]) and key not in (*TOP, "name"):
            yield f"{GROUP}{key}: {name} does not know it; it is a setting of {', '.join(others)}. Leave it out."
    if dims != 2 and "spatial_dims" not in own:
        volumetric = [other for other in NETWORKS if "spatial_dims" in takes(other)]
        yield f"{GROUP}name: {name} is for 2D; with spatial_dims {dims} use one of {', '.join(volumetric)}."
    used = own | {key: value for key, value in given.items() if key in own and value is not None}
    for key in ("base_channels", "embed_dim"):
        if used["norm"] == "group" and key in used and used[key] % GROUPS:
            yield f"{GROUP}{key}: {used[key]} must be a multiple of {GROUPS}, the groups of {GROUP}norm group."


def _unbuildable(*values: Any) -> str | None:
    given = dict(zip(DEFAULTS, values, strict=True))
    return "\n".join(problems(given)) or None


class SegmentationNetwork(nn.Module):
    """A network that segments, chosen by name; images (B, C, ...) of any size to logits (B, K, ...) of the same size.

    Sides that the network cannot halve as often as it does are padded by repeating the border, and the logits are
    cropped back. An argument that is None has the network's own value. One that the network does not know is refused
    unless it is None or as it is here, so that no setting is silently ignored. Parameters that no output depends on
    are frozen: DistributedDataParallel would wait for their gradients.

    Args:
        name: unet.
        spatial_dims: 2 or 3.
        in_channels: channels C of the image.
        out_channels: channels K of the logits.
        image_size: what networks with a position for each patch are built for, a number or one for each axis.
        base_channels: features of the first level.
        depth: how often the image is halved; for unet a list may have a number for each axis.
        embed_dim: features of a patch.
        dropout: share of the features that are dropped, 0 <= p < 1.
        norm: instance, batch or group (of 8 groups).

    Raises:
        ConfigError: unknown names, values that the network cannot have, or arguments that it does not know.

    Example:
        >>> SegmentationNetwork("unet", base_channels=8, depth=2)(torch.zeros(1, 1, 30, 41)).shape
        torch.Size([1, 2, 30, 41])
    """

    def __init__(
        self,
        name: str = "unet",
        spatial_dims: int = 2,
        in_channels: int = 1,
        out_channels: int = 2,
        image_size: int | Sequence[int] = 256,
        base_channels: int | None = 64,
        depth: int | Sequence[int] | None = None,
        embed_dim: int | None = 48,
        dropout: float = 0.0,
        norm: str = "instance",
    ):
        super().__init__()
        given = {key: value for key, value in locals().items() if key in DEFAULTS}
        one_of("network_def#name", name, NETWORKS)
        one_of("spatial_dims", spatial_dims, (2, 3))
        in_range("network_def#dropout", dropout, minimum=0, below=1)
        refuse(problems(given))
        self.given = given
        self.body: Any = NETWORKS[name](**{k: v for k, v in given.items() if k in takes(name) and v is not None})
        self.multiples: list[int] = self.body.multiple
        freeze_unused(self.body, [2, in_channels, *(2 * multiple for multiple in self.multiples)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Image (B, C, H, W) or (B, C, X, Y, Z) -> logits (B, K, ...) of the same size."""
        return cropped(self.body(padded_by_axis(x, self.multiples)), list(x.shape[2:]))


DEFAULTS = {key: p.default for key, p in inspect.signature(SegmentationNetwork).parameters.items()}
SETTINGS = tuple(key if key in TOP else GROUP + key for key in DEFAULTS)
has_rules(Rule(SETTINGS, _unbuildable, EVERYWHERE))(SegmentationNetwork)
