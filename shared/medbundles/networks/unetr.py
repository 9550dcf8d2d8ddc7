"""MONAI's UNETR with any number of layers."""

from collections.abc import Sequence

import torch
from monai.networks.blocks import TransformerBlock
from monai.networks.nets import unetr
from torch import nn

from medbundles.networks.norms import NORMS

MONAIS = 12  # layers


class UNETR(unetr.UNETR):
    """MONAI's UNETR (Hatamizadeh et al. 2021, arXiv:2103.10504), whose transformer may have other than 12 layers.

    The skip connections leave the transformer after each quarter of its layers, as MONAI's do.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels C of the image.
        out_channels: channels K of the logits.
        image_size: sides of the image, multiples of 16; each patch of 16 has a position of its own.
        layers: of the transformer, at least 4.
        heads: of each attention; they divide `hidden`.
        hidden: features of a patch.
        dropout: in the transformer.
        norm: instance, batch or group, in the convolutional part.
    """

    multiple = 16  # the sides of an image are

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        image_size: Sequence[int],
        layers: int = MONAIS,
        heads: int = 12,
        hidden: int = 768,
        dropout: float = 0.0,
        norm: str = "instance",
    ):
        super().__init__(
            in_channels, out_channels, tuple(image_size),
            spatial_dims=spatial_dims,
            hidden_size=hidden,
            mlp_dim=4 * hidden,
            num_heads=heads,
            norm_name=NORMS[norm],
            dropout_rate=dropout,
        )  # fmt: skip
        if layers != MONAIS:
            self.vit.blocks = nn.ModuleList(TransformerBlock(hidden, 4 * hidden, heads, dropout) for _ in range(layers))

    def forward(self, x_in: torch.Tensor) -> torch.Tensor:
        """(B, C, ...) of `image_size` -> logits (B, K, ...)."""
        x, hidden = self.vit(x_in)
        quarter = len(hidden) // 4
        skips = [self.encoder1(x_in)]
        for i, encoder in enumerate((self.encoder2, self.encoder3, self.encoder4), start=1):
            skips.append(encoder(self.proj_feat(hidden[i * quarter])))
        x = self.proj_feat(x)
        for decoder in (self.decoder5, self.decoder4, self.decoder3, self.decoder2):
            x = decoder(x, skips.pop())
        return self.out(x)
