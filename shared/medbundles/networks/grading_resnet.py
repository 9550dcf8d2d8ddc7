"""A 3D ResNet that classifies whole volumes, in MedicalNet's layout or strided throughout."""

from collections.abc import Sequence

import torch
from monai.networks.nets.resnet import ResNet
from torch import nn
from torch.nn.functional import normalize, pad

from medbundles.errors import one_of
from medbundles.networks.dilation import dilate
from medbundles.rules import Rule, has_rules

BLOCKS = {10: ("basic", [1, 1, 1, 1]), 18: ("basic", [2, 2, 2, 2]), 34: ("basic", [3, 4, 6, 3])}
BLOCKS |= {50: ("bottleneck", [3, 4, 6, 3])}
LAYOUTS = ("medicalnet", "strided")
PADDED = (18, 34)  # depths that MedicalNet published with shortcuts of type A


class PaddedShortcut(nn.Module):
    """Shortcut A: every `stride`-th voxel, and zeros for the channels that are new.

    MONAI's own takes `x.data` and a partial function: no gradient passes it, and it cannot be scripted.

    Args:
        channels: channels to come out.
        stride: step along each axis.
    """

    def __init__(self, channels: int, stride: int):
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, X, Y, Z) -> (B, channels, X / stride, Y / stride, Z / stride)."""
        x = x[:, :, :: self.stride, :: self.stride, :: self.stride]
        return pad(x, [0, 0, 0, 0, 0, 0, 0, self.channels - x.shape[1]])


class LinearHead(nn.Linear):
    """A linear layer that computes in float32 under autocast, too: bfloat16 logits would be too coarse."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features (B, F) -> logits (B, N)."""
        return (x.float()[:, None] * self.weight).sum(dim=2) + self.bias


class CosineHead(nn.Module):
    """Cosine of the angle between the features and each class's direction (NormedLinear of Cao et al. 2019).

    Args:
        in_features: F.
        num_classes: N.
    """

    def __init__(self, in_features: int, num_classes: int):
        super().__init__()
        self.weight = nn.Parameter(normalize(torch.empty(num_classes, in_features).uniform_(-1, 1), dim=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features (B, F) -> cosines (B, N), -1 to 1, in float32 under autocast, too."""
        # eps: where all features are off, the gradient must not grow without limit
        return (normalize(x.float(), dim=1, eps=1e-3)[:, None] * normalize(self.weight, dim=1)).sum(dim=2)


HEADS = {"cosine": CosineHead, "linear": LinearHead}


def _layout_of_weights(pretrained_path: str | bool | None, layout: str) -> str | None:
    if pretrained_path and layout != "medicalnet":
        return (
            f"pretrained_path: MedicalNet's weights mean something else in the layout {layout!r}; "
            "use --layout medicalnet with them."
        )
    return None


def _enough_voxels(layout: str, size: Sequence[int], batch_size: int, drop_last: bool) -> str | None:
    """Layout strided reduces each side 32 times; batch normalisation cannot work on one value per channel."""
    if layout == "strided" and max(size) <= 32 and (batch_size == 1 or not drop_last):
        return (
            f"layout: strided leaves one voxel of the spatial_size {size}; with one case in a batch, as with "
            f"batch_size {batch_size} and drop_last {drop_last}, batch normalisation would fail. Use batch_size 2 or "
            "more and drop_last True, a larger spatial_size, or the layout medicalnet."
        )
    return None


@has_rules(
    Rule(("pretrained_path", "layout"), _layout_of_weights),
    Rule(("layout", "spatial_size", "batch_size", "drop_last"), _enough_voxels),
)
class GradingResNet(nn.Module):
    """MONAI's 3D ResNet with dropout and a classification head, for volumes (B, C, X, Y, Z).

    Both layouts have a 7x7x7 stem with stride 2 along all axes and a downsampling convolution without bias.

    - medicalnet: layer3 with stride 1 and dilation 2, layer4 with stride 1 and dilation 4 (Chen et al. 2019,
      arXiv:1904.00625): features at an eighth of the resolution. Only so do the published weights mean what they did
      when they were trained. Shortcuts are B; for depths 18 and 34 they are A, as published.
    - strided: layer3 and layer4 halve the resolution once more each, as MONAI's own resnet does; shortcuts B.

    The logits are already multiplied by `scale`, so that their softmax is the probability, for every host. Depth 50
    with one channel and two classes has 46.16 million parameters.

    Args:
        depth: 10, 18, 34 or 50.
        in_channels: channels C.
        num_classes: classes N.
        layout: medicalnet or strided.
        dropout: of the features, before the head.
        head: cosine (LDAM's own) or linear (raw logits).
        scale: what the head's output is multiplied by; s of LDAM.

    Raises:
        ConfigError: unknown depth, layout or head.

    Example:
        >>> GradingResNet(depth=10)(torch.zeros(2, 1, 32, 32, 32)).shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        depth: int = 50,
        in_channels: int = 1,
        num_classes: int = 2,
        layout: str = "medicalnet",
        dropout: float = 0.5,
        head: str = "cosine",
        scale: float = 30.0,
    ):
        super().__init__()
        for name, value, known in (("depth", depth, BLOCKS), ("layout", layout, LAYOUTS), ("head", head, HEADS)):
            one_of(name, value, known)
        self.depth, self.scale = depth, scale
        block, layers = BLOCKS[depth]
        medicalnet = layout == "medicalnet"
        self.backbone = ResNet(
            block, layers, [64, 128, 256, 512], n_input_channels=in_channels, conv1_t_stride=2, feed_forward=False,
            bias_downsample=False, shortcut_type="A" if medicalnet and depth in PADDED else "B",
        )  # fmt: skip
        if medicalnet:
            dilate(self.backbone.layer3, 2, strided=2)
            dilate(self.backbone.layer4, 4, strided=4)
            if depth in PADDED:
                for layer, channels, stride in ((2, 128, 2), (3, 256, 1), (4, 512, 1)):
                    self.backbone.get_submodule(f"layer{layer}.0").downsample = PaddedShortcut(channels, stride)
        self.dropout = nn.Dropout(dropout)
        self.head = HEADS[head](2048 if block == "bottleneck" else 512, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Volume (B, C, X, Y, Z) -> logits (B, N)."""
        return self.scale * self.head(self.dropout(self.backbone(x)))
