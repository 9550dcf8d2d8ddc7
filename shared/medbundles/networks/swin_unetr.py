"""MONAI's SwinUNETR, and its published pretraining."""

from collections.abc import Mapping, Sequence

import torch
from monai.networks.nets import swin_unetr

from medbundles.networks.norms import NORMS


class SwinUNETR(swin_unetr.SwinUNETR):
    """MONAI's SwinUNETR (Hatamizadeh et al. 2022, arXiv:2201.01266).

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels C of the image.
        out_channels: channels K of the logits.
        embed_dim: features of a patch, a multiple of 12.
        layers: transformer blocks of each of the four stages.
        heads: of each attention in the first stage, doubled in each that follows; they divide `embed_dim`.
        dropout: in the transformer.
        norm: instance, batch or group, in the convolutional part.
    """

    multiple = 32  # the sides of an image are
    one_size = True  # of a program or trace of it: the number of windows is written into these
    pretrained = "swinViT."  # where pretrained weights go

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        embed_dim: int = 48,
        layers: int = 2,
        heads: int = 3,
        dropout: float = 0.0,
        norm: str = "instance",
    ):
        super().__init__(
            in_channels, out_channels,
            spatial_dims=spatial_dims,
            feature_size=embed_dim,
            depths=(layers,) * 4,
            num_heads=[heads * 2**stage for stage in range(4)],
            drop_rate=dropout,
            norm_name=NORMS[norm],
        )  # fmt: skip

    def _check_input_size(self, spatial_shape: Sequence[int]) -> None:
        """MONAI's calls NumPy, at which torch.compile breaks off; its callers here pad to what it wants."""

    def renamed(self, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The encoder's weights of MONAI's published pretrainings under this network's names; others as they are.

        model_swinvit.pt has patch_embed and layers1 to layers4 at the top, those of a pretraining of one's own below
        swin_vit, and ssl_pretrained_weights.pth (Valanarasu et al. 2023) below encoder.
        """
        if "encoder.patch_embed.proj.weight" in weights:
            found = (swin_unetr.filter_swinunetr(name, value) for name, value in weights.items())
            return dict(pair for pair in found if pair)
        made = {}
        for name, value in weights.items():
            inner = name.removeprefix("swin_vit.")
            if inner != name or name.startswith(("patch_embed.", "layers")):
                name = self.pretrained + inner
            made[name.replace(".mlp.fc", ".mlp.linear")] = value
        return made
