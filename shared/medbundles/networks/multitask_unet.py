"""2D/3D U-Net with a classification head: one encoder, two tasks."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

import torch
from monai.networks.layers.factories import Conv
from monai.networks.nets.basic_unet import Down, TwoConv, UpCat
from torch import nn

from medbundles.errors import one_of
from medbundles.networks.padding import cropped, padded
from medbundles.networks.pooled_norm import PooledNorm
from medbundles.rules import EVERYWHERE, Rule, has_rules

ACT = ("LeakyReLU", {"negative_slope": 0.1, "inplace": True})
NORM = ("instance", {"affine": True})


class Encoder(nn.Module):
    """Contracting path: two convolutions at full size, then `depth` times halving and doubling the channels.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        features: channels per level, from full size to the bottleneck.
        act: activation, as MONAI takes it.
        norm: normalisation, as MONAI takes it.
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, features: Sequence[int], act: str | tuple, norm: str | tuple
    ):
        super().__init__()
        self.stem = TwoConv(spatial_dims, in_channels, features[0], act, norm, bias=True)
        self.downs = nn.ModuleList(
            Down(spatial_dims, above, below, act, norm, bias=True) for above, below in pairwise(features)
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, C, H, W) -> the features of all levels; the last one is the bottleneck."""
        levels = [self.stem(x)]
        for down in self.downs:
            levels.append(down(levels[-1]))
        return levels


class Decoder(nn.Module):
    """Expanding path with skip connections, then a 1x1 convolution to the segmentation logits.

    Args:
        spatial_dims: 2 or 3.
        out_channels: channels of the logits.
        features: channels per level, as the encoder has them.
        act: activation, as MONAI takes it.
        norm: normalisation, as MONAI takes it.
    """

    def __init__(
        self, spatial_dims: int, out_channels: int, features: Sequence[int], act: str | tuple, norm: str | tuple
    ):
        super().__init__()
        # As in BasicUNet the last stage keeps the channels while it upsamples (halves=False). is_pad=False: the sides
        # are multiples of 2^depth here, and its data-dependent padding would be frozen into a trace.
        self.ups = nn.ModuleList(
            UpCat(spatial_dims, below, same, same, act, norm, bias=True, halves=i > 0, is_pad=False)
            for i, (same, below) in reversed(list(enumerate(pairwise(features))))
        )
        self.final_conv = Conv["conv", spatial_dims](features[0], out_channels, kernel_size=1)

    def forward(self, levels: list[torch.Tensor]) -> torch.Tensor:
        """The encoder's features -> logits (B, K, H, W)."""
        x = levels[-1]
        ups: Any = self.ups
        for i, up in enumerate(ups):  # not up(x, skip): that asks torch.jit, at which torch.compile breaks off
            x = up.convs(torch.cat([levels[-2 - i], up.upsample(x)], dim=1))
        return self.final_conv(x)


class ClassificationHead(nn.Module):
    """Global average pooling -> batch normalisation -> Linear -> ReLU -> Dropout -> Linear, in float32.

    Behind instance normalisation the pooled features are nearly the same for all images (they vary by about 0.015
    around 0.29), so that linear layers on them alone hardly learn anything. Logits in bfloat16 would have few values.

    Args:
        in_features: channels of the bottleneck.
        hidden_dim: hidden units.
        num_classes: classes N.
        dropout: probability of dropping a hidden unit.
    """

    def __init__(self, in_features: int, hidden_dim: int, num_classes: int, dropout: float):
        super().__init__()
        self.norm = PooledNorm(in_features)
        self.layers = nn.Sequential(
            nn.Linear(in_features, hidden_dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden_dim, num_classes)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Bottleneck (B, C, h, w) -> logits (B, N)."""
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            return self.layers(self.norm(x.float().flatten(2).mean(dim=2)))


def _something_to_train(frozen: Sequence[str]) -> str | None:
    return f"frozen: {frozen} leaves nothing to train." if set(MultitaskUNet.PARTS) <= set(frozen) else None


def _large_enough(image_size: int, depth: int) -> str | None:
    if image_size < 2 ** (depth + 1):
        return (
            f"image_size: {image_size} is too small for depth {depth}: the bottleneck would have one pixel, which "
            f"instance normalisation makes 0; give at least {2 ** (depth + 1)}."
        )
    return None


@has_rules(Rule(("frozen",), _something_to_train), Rule(("image_size", "depth"), _large_enough, EVERYWHERE))
class MultitaskUNet(nn.Module):
    """U-Net that segments and classifies: the head looks at the bottleneck of MONAI's BasicUNet.

    Encoder and decoder are the blocks of `monai.networks.nets.BasicUNet` with the features [f, 2f, ..., f*2^depth],
    so its weights fit (same tensors in the same order). Parameters without the head at depth 4: 7,782,849 (f=32),
    31,112,065 (f=64), 124,409,601 (f=128).

    Sides that cannot be halved `depth` times are padded at the bottom and right up to the next multiple of 2^depth
    by repeating the border (it makes no edge that is not in the image, whatever value the background has, and it has
    no limit on tiny images, as reflection has), and the logits are cropped back: the output is as large as the input.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        seg_out_channels: channels K of the segmentation logits.
        cls_num_classes: classes N of the classification logits.
        base_filters: channels f of the first level.
        depth: how often the image is halved, 3 to 5.
        cls_hidden_dim: hidden units of the head.
        cls_dropout: dropout of the head, 0 <= p < 1.
        norm: normalisation, as MONAI takes it.
        act: activation, as MONAI takes it.
        frozen: names among encoder, decoder, head: their parameters need no gradient, and they stay in evaluation mode
            during training, so that normalisation statistics do not drift and dropout is off.

    Raises:
        ConfigError: for a depth outside 3..5 or an unknown name in `frozen`.

    Example:
        >>> network = MultitaskUNet(base_filters=32, depth=3)
        >>> out = network(torch.zeros(2, 1, 100, 120))
        >>> out["seg"].shape, out["cls"].shape
        (torch.Size([2, 1, 100, 120]), torch.Size([2, 2]))
    """

    PARTS = ("encoder", "decoder", "head")

    def __init__(
        self,
        spatial_dims: int = 2,
        in_channels: int = 1,
        seg_out_channels: int = 1,
        cls_num_classes: int = 2,
        base_filters: int = 64,
        depth: int = 4,
        cls_hidden_dim: int = 256,
        cls_dropout: float = 0.5,
        norm: str | tuple = NORM,
        act: str | tuple = ACT,
        frozen: Sequence[str] = (),
    ):
        super().__init__()
        one_of("depth", depth, (3, 4, 5))
        frozen = (frozen,) if isinstance(frozen, str) else tuple(frozen)
        for name in frozen:
            one_of("frozen", name, self.PARTS)
        features = [base_filters * 2**level for level in range(depth + 1)]
        self.multiple: int = 2**depth  # sides are padded up to multiples of this
        self.frozen = frozen
        self.encoder = Encoder(spatial_dims, in_channels, features, act, norm)
        self.decoder = Decoder(spatial_dims, seg_out_channels, features, act, norm)
        self.head = ClassificationHead(features[-1], cls_hidden_dim, cls_num_classes, cls_dropout)
        for name in frozen:
            self.get_submodule(name).requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """As `nn.Module.train`, but what is frozen stays in evaluation mode."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    def renamed(self, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Weights whose head has no normalisation (version 0.1.0) get one that changes nothing in evaluation."""
        if "head.layers.0.weight" not in weights or any(name.startswith("head.norm.") for name in weights):
            return weights
        norm = PooledNorm(weights["head.layers.0.weight"].shape[1]).state_dict()
        norm["running_var"] -= self.head.norm.eps
        return weights | {f"head.norm.{name}": value for name, value in norm.items()}

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Image (B, C, H, W) -> {"seg": logits (B, K, H, W), "cls": logits (B, N)}."""
        levels = self.encoder(padded(x, self.multiple))
        return {"seg": cropped(self.decoder(levels), list(x.shape[2:])), "cls": self.head(levels[-1])}
