"""DeepLabV3+ with a ResNet of MONAI's blocks."""

from collections.abc import Mapping

import torch
from monai.networks.nets.resnet import ResNet
from torch import nn
from torch.nn.functional import interpolate

from medbundles.errors import one_of
from medbundles.networks.dilation import dilate
from medbundles.networks.grading_resnet import BLOCKS
from medbundles.networks.norms import GROUPS, replace_batch_norm
from medbundles.networks.pooled_norm import PooledNorm

ENCODERS = {f"resnet{depth}": blocks for depth, blocks in BLOCKS.items()}
STRIDES = {16: ((4, 2),), 8: ((3, 2), (4, 4))}  # output stride: layers with their dilation
DILATIONS = (6, 12, 18)  # of the atrous pooling at output stride 16
WIDTH = 256


def unit(in_channels: int, out_channels: int, kernel: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution (a kernel above 1: each channel alone, then 1x1), batch normalisation, ReLU: the size stays."""
    pad = dilation * (kernel // 2)
    depthwise = nn.Conv2d(in_channels, in_channels, kernel, 1, pad, dilation, groups=in_channels, bias=False)
    return nn.Sequential(
        *([depthwise] if kernel > 1 else []),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class ImagePooling(nn.Module):
    """The mean over the image through a 1x1 convolution, at each pixel; in float32.

    Batch normalisation is the one for pooled features (`PooledNorm`); instance normalisation would make the one value
    of a channel 0, and is left out.

    Args:
        in_channels: C.
        out_channels: O.
        norm: instance, batch or group.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: str):
        super().__init__()
        normalise = {
            "batch": PooledNorm(out_channels), "group": nn.GroupNorm(GROUPS, out_channels), "instance": nn.Identity()
        }[norm]  # fmt: skip
        self.layers = nn.Sequential(nn.Linear(in_channels, out_channels, bias=norm == "instance"), normalise, nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, O, H, W)."""
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            pooled = self.layers(x.float().mean(dim=(2, 3)))
        return pooled.to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])


class AtrousPooling(nn.Module):
    """Atrous spatial pyramid pooling: 1x1, three dilated separable convolutions and the pooled image, side by side.

    Args:
        in_channels: C.
        dilations: of the three.
        norm: of the pooled image.
        dropout: of the result.
    """

    def __init__(self, in_channels: int, dilations: tuple[int, ...], norm: str, dropout: float):
        super().__init__()
        self.branches = nn.ModuleList(
            [
                unit(in_channels, WIDTH),
                *(unit(in_channels, WIDTH, 3, dilation) for dilation in dilations),
                ImagePooling(in_channels, WIDTH, norm),
            ]
        )
        self.project = nn.Sequential(unit(len(self.branches) * WIDTH, WIDTH), nn.Dropout(dropout))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, 256, H, W)."""
        return self.project(torch.cat([branch(x) for branch in self.branches], dim=1))


class DeepLabV3Plus(nn.Module):
    """DeepLabV3+ (Chen et al. 2018, arXiv:1802.02611) for images (B, C, H, W).

    The encoder's last layers are dilated instead of strided: layer4 at output stride 16, layer3 too at 8, where the
    dilations of the atrous pooling are doubled. With 1 channel, 2 classes and batch normalisation there are 26.67
    million parameters with a ResNet-50 and 12.32 with a ResNet-18. Weights of torchvision's ResNets fit the encoder.

    Args:
        in_channels: channels C of the image.
        out_channels: channels K of the logits.
        encoder: resnet10, resnet18, resnet34 or resnet50.
        output_stride: 16 or 8, how many times smaller than the image the encoder's features are.
        dropout: of the atrous pooling's result.
        norm: instance, batch or group.

    Raises:
        ConfigError: unknown encoder or output stride.
    """

    pretrained = "resnet."  # where pretrained weights go

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        encoder: str = "resnet50",
        output_stride: int = 16,
        dropout: float = 0.0,
        norm: str = "batch",
    ):
        super().__init__()
        one_of("network_def#encoder", encoder, ENCODERS)
        one_of("network_def#output_stride", output_stride, STRIDES)
        block, layers = ENCODERS[encoder]
        self.resnet = ResNet(
            block, layers, [64, 128, 256, 512], spatial_dims=2, n_input_channels=in_channels, conv1_t_stride=2,
            feed_forward=False, bias_downsample=False,
        )  # fmt: skip
        for layer, dilation in STRIDES[output_stride]:
            dilate(self.resnet.get_submodule(f"layer{layer}"), dilation, strided=dilation // 2)
        times = 16 // output_stride
        low, high = (256, 2048) if block == "bottleneck" else (64, 512)
        self.pooling = nn.Sequential(
            AtrousPooling(high, tuple(times * dilation for dilation in DILATIONS), norm, dropout),
            unit(WIDTH, WIDTH, 3),
        )
        self.low = unit(low, 48)
        self.decoder = unit(WIDTH + 48, WIDTH, 3)
        self.head = nn.Conv2d(WIDTH, out_channels, 1)
        replace_batch_norm(self, norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Image (B, C, H, W), sides multiples of the output stride -> logits (B, K, H, W)."""
        resnet, size = self.resnet, x.shape[2:]
        low = resnet.layer1(resnet.maxpool(resnet.act(resnet.bn1(resnet.conv1(x)))))
        high = self.pooling(resnet.layer4(resnet.layer3(resnet.layer2(low))))
        low = self.low(low)
        x = self.decoder(torch.cat([interpolate(high, low.shape[2:], mode="bilinear"), low], dim=1))
        return interpolate(self.head(x), size, mode="bilinear")

    def renamed(self, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The weights of a ResNet alone under this network's names; others as they are."""
        alone = "layer1.0.conv1.weight" in weights
        return {self.pretrained + name if alone else name: value for name, value in weights.items()}
