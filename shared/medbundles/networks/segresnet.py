"""MONAI's SegResNet by width and depth."""

from monai.networks.nets import segresnet

from medbundles.networks.norms import NORMS


class SegResNet(segresnet.SegResNet):
    """MONAI's SegResNet (Myronenko 2018, arXiv:1810.11654, without the variational part) of any depth.

    At depth 3 its residual blocks are MONAI's: 1, 2, 2, 4 down and one a level up.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels C of the image.
        out_channels: channels K of the logits.
        base_channels: features f of the first level; 32 in the paper.
        depth: how often the image is halved.
        dropout: of the first convolution's output.
        norm: instance, batch or group.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        base_channels: int = 32,
        depth: int = 3,
        dropout: float = 0.0,
        norm: str = "group",
    ):
        super().__init__(
            spatial_dims, base_channels, in_channels, out_channels,
            dropout_prob=dropout or None,
            norm=NORMS[norm],
            blocks_down=(1, *[2] * (depth - 1), 4),
            blocks_up=(1,) * depth,
        )  # fmt: skip
