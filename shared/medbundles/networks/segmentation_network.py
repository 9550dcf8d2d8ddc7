"""The networks that segment, by name."""

import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from medbundles.errors import ConfigError, in_range, one_of, refuse
from medbundles.networks.deeplabv3plus import DeepLabV3Plus
from medbundles.networks.norms import GROUPS, NORMS
from medbundles.networks.padding import cropped, padded_by_axis
from medbundles.networks.segresnet import SegResNet
from medbundles.networks.swin_unetr import SwinUNETR
from medbundles.networks.transunet import TransUNet
from medbundles.networks.unet import UNet
from medbundles.networks.unetr import UNETR
from medbundles.networks.unused import freeze_unused
from medbundles.networks.vnet import VNet
from medbundles.rules import EVERYWHERE, GIVEN, Rule, has_rules

NETWORKS: dict[str, Any] = {
    "unet": UNet,
    "vnet": VNet,
    "segresnet": SegResNet,
    "deeplabv3plus": DeepLabV3Plus,
    "transunet": TransUNet,
    "unetr": UNETR,
    "swin_unetr": SwinUNETR,
}
OF_DATA = ("spatial_dims", "in_channels", "out_channels", "image_size")  # these stand at the top of a config
CHOSEN = ("name", "base_channels", "depth", "embed_dim", "dropout", "norm", "encoder", "output_stride", "layers",
          "heads", "hidden")  # fmt: skip
WHOLE = ("base_channels", "embed_dim", "layers", "heads", "hidden")
SETTINGS = ("patch_size", *OF_DATA, *(f"network_def#{key}" for key in CHOSEN))


def takes(name: str) -> dict[str, Any]:
    """The arguments of a network with its own values of them."""
    return {key: argument.default for key, argument in inspect.signature(NETWORKS[name]).parameters.items()}


def by_axis(value: int | Sequence[int], dims: int) -> list[int]:
    """A number for each axis, of which one may stand for all."""
    return [value] * dims if isinstance(value, int) else list(value)


def multiples_of(name: str, used: Mapping[str, Any], dims: int) -> list[int]:
    """What a network shrinks each side of an image by."""
    if "depth" in used:
        return [2**depth for depth in by_axis(used["depth"], dims)]
    return [used.get("output_stride") or NETWORKS[name].multiple] * dims


def problems(given: Mapping[str, Any], by_user: Collection[str] = ()) -> Iterator[str]:
    """A line for each argument that the network has not, and for each value that it cannot have.

    Args:
        given: all arguments of `SegmentationNetwork`.
        by_user: ids that the user gave, which count with their defaults, too.
    """
    name, dims = given["name"], given["spatial_dims"]
    own = takes(name)
    default = inspect.signature(SegmentationNetwork).parameters
    for key in CHOSEN[1:]:
        unused = (None,) if f"network_def#{key}" in by_user else (None, default[key].default)
        if key not in own and given[key] not in unused:
            others = ", ".join(other for other in NETWORKS if key in takes(other))
            yield f"network_def#{key}: {name} has none; it is a setting of {others}. Leave it out."
    if dims != 2 and "spatial_dims" not in own:
        others = ", ".join(other for other in NETWORKS if "spatial_dims" in takes(other))
        yield f"network_def#name: {name} is for 2D; with spatial_dims {dims} use one of {others}."
    used = {key: own[key] if given[key] is None else given[key] for key in own}
    yield from _indivisible(name, used)
    if not isinstance(used.get("depth", 0), int) and (name != "unet" or len(used["depth"]) != dims):
        yield f"network_def#depth: {used['depth']!r} is not allowed; use a number, for unet also a list of {dims}."
    elif used.get("depth") and not (min(by_axis(used["depth"], dims)) >= 0 and max(by_axis(used["depth"], dims)) >= 2):
        yield f"network_def#depth: {used['depth']!r} is not allowed; one axis must be halved twice or more."
    elif len(by_axis(given["image_size"], dims)) != dims:
        yield f"image_size: {given['image_size']} must be one number, or {dims}, as spatial_dims is."
    elif wrong := _too_small(name, by_axis(given["image_size"], dims), multiples_of(name, used, dims)):
        yield f"image_size: {wrong}"


def _indivisible(name: str, used: Mapping[str, Any]) -> Iterator[str]:
    for width in ("base_channels", "embed_dim"):
        if used["norm"] == "group" and used.get(width, 0) % GROUPS:
            yield f"network_def#{width}: {used[width]} is no multiple of the {GROUPS} groups of network_def#norm group."
    if name == "swin_unetr" and used["embed_dim"] % 12:
        yield f"network_def#embed_dim: {used['embed_dim']} must be a multiple of 12 for {name}."
    width = "embed_dim" if name == "swin_unetr" else "hidden"
    if "heads" in used and used[width] % used["heads"]:
        yield f"network_def#heads: {used['heads']} does not divide network_def#{width}, {used[width]}."
    if name == "unetr" and used["layers"] < 4:
        yield f"network_def#layers: {used['layers']} is too few for {name}, which looks into each quarter; at least 4."


def _too_small(name: str, size: Sequence[int], multiples: Sequence[int]) -> str | None:
    if all(side <= multiple for side, multiple in zip(size, multiples, strict=True)):
        return (
            f"{list(size)} is too small for {name}, which shrinks it to one position, where normalisation leaves "
            f"nothing; one side must be larger than {multiples[0]}."
        )
    return None


def _unbuildable(by_user: Collection[str], patch_size: Sequence[int] | int | None, *values: Any) -> str | None:
    given = dict(zip((*OF_DATA, *CHOSEN), values, strict=True))
    if not patch_size:
        return "\n".join(problems(given, by_user)) or None
    lines = problems(given | {"image_size": patch_size}, by_user)  # what the network is given are patches then
    return "\n".join(line.replace("image_size:", "patch_size:") for line in lines) or None


def _one_value_per_channel(name: str, norm: str, batch_size: int) -> str | None:
    if name == "deeplabv3plus" and norm == "batch" and batch_size == 1:
        return (
            "batch_size: with a single image the image pooling of deeplabv3plus has one value per channel, which batch "
            "normalisation cannot work on; use at least 2, or --network_def#norm group."
        )
    return None


@has_rules(
    Rule((GIVEN, *SETTINGS), _unbuildable, EVERYWHERE),
    Rule(("network_def#name", "network_def#norm", "batch_size"), _one_value_per_channel),
)
class SegmentationNetwork(nn.Module):
    """A network that segments, chosen by name; images (B, C, ...) to logits (B, K, ...) of the same size.

    Sides that a network cannot halve as often as it does are padded by repeating the border, and the logits are cropped
    back. An argument that is None has the network's own value. One that the network has not is refused unless it is
    None or as it is here, so that none is silently ignored. Parameters that no output depends on are frozen, because
    DistributedDataParallel would wait for their gradients.

    | name          | dimensions | arguments, with its own values                | sides      |
    | ------------- | ---------- | --------------------------------------------- | ---------- |
    | unet          | 2, 3       | base_channels 64, depth 4                     | any        |
    | vnet          | 2, 3       | base_channels 16                              | any        |
    | segresnet     | 2, 3       | base_channels 32, depth 3                     | any        |
    | deeplabv3plus | 2          | encoder resnet50, output_stride 16            | any        |
    | transunet     | 2          | layers 12, heads 12, hidden 768               | image_size |
    | unetr         | 2, 3       | layers 12, heads 12, hidden 768               | image_size |
    | swin_unetr    | 2, 3       | embed_dim 48, layers 2, heads 3 (first stage) | any        |

    Args:
        name: see above.
        spatial_dims: 2 or 3.
        in_channels: channels C of the image.
        out_channels: channels K of the logits.
        image_size: sides of the images, one number or one for each axis; transunet and unetr are built for these alone,
            because each of their patches has a position.
        base_channels: features of the first level, doubled in each that follows.
        depth: how often the image is halved; for unet a list may have a number for each axis.
        embed_dim: features of a patch in the first stage.
        dropout: share of the features that are dropped in training, 0 <= p < 1.
        norm: instance, batch or group (of 8 groups) wherever the network leaves a choice.
        encoder: resnet10, resnet18, resnet34 or resnet50.
        output_stride: 16 or 8, how many times smaller than the image the encoder's features are.
        layers: of the transformer; of each stage of swin_unetr.
        heads: of each attention.
        hidden: features of a patch.

    Raises:
        ConfigError: unknown names, values that the network cannot have, or arguments that it has not. When it is called
            with an image of a size that it cannot take.

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
        encoder: str | None = None,
        output_stride: int | None = None,
        layers: int | None = None,
        heads: int | None = None,
        hidden: int | None = None,
    ):
        given = {key: value for key, value in locals().items() if key in (*OF_DATA, *CHOSEN)}
        super().__init__()
        one_of("network_def#name", name, NETWORKS)
        one_of("network_def#norm", norm, NORMS)
        one_of("spatial_dims", spatial_dims, (2, 3))
        in_range("network_def#dropout", dropout, minimum=0, below=1)
        for key in ("in_channels", "out_channels", *WHOLE):
            if given[key] is not None:
                in_range(key if key in OF_DATA else f"network_def#{key}", given[key], minimum=1)
        refuse(problems(given))
        self.given = given
        used = {key: own if given[key] is None else given[key] for key, own in takes(name).items()}
        self.multiples = multiples_of(name, used, spatial_dims)
        sides = zip(by_axis(image_size, spatial_dims), self.multiples, strict=True)
        self.size = [side + -side % multiple for side, multiple in sides] if "image_size" in used else None
        self.body = NETWORKS[name](**used | ({"image_size": self.size} if self.size else {}))
        freeze_unused(self.body, [2, in_channels, *(self.size or [2 * multiple for multiple in self.multiples])])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Image (B, C, H, W) or (B, C, X, Y, Z) -> logits (B, K, ...) of the same size."""
        size, name = list(x.shape[2:]), self.given["name"]
        image = padded_by_axis(x, self.multiples)
        if not torch.jit.is_tracing():
            refuse([_too_small(name, size, self.multiples)])
            if self.size and list(image.shape[2:]) != self.size:
                raise ConfigError(
                    f"{name} was built for image_size {self.given['image_size']}, but an image has {size}; resize it, "
                    "use windows of that size, or a network that takes any."
                )
        return cropped(self.body(image), size)

    def renamed(self, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The weights of MONAI's own network, or of a pretrained encoder, under this network's names."""
        if any(name.startswith("body.") for name in weights):
            return weights
        named = self.body.renamed(weights) if hasattr(self.body, "renamed") else weights
        return {f"body.{name}": value for name, value in named.items()}

    def fresh(self, weights: Mapping[str, torch.Tensor]) -> set[str]:
        """The tensors that may start fresh with these weights, which have this network's names.

        Those whose shape depends on the number of channels or classes; and where the weights are those of an encoder
        alone, all others.
        """
        more = {key: self.given[key] + 1 for key in ("in_channels", "out_channels")}
        other = SegmentationNetwork(**self.given | more).state_dict()
        own = self.state_dict()
        encoder = f"body.{getattr(self.body, 'pretrained', '')}"
        alone = all(name.startswith(encoder) for name in own.keys() & weights.keys())
        return {
            name
            for name, value in own.items()
            if value.shape != other[name].shape or (alone and not name.startswith(encoder))
        }
