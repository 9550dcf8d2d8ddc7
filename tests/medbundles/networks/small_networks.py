"""Each of the networks that segment, so narrow that a test takes a moment."""

from __future__ import annotations

import torch

from medbundles.networks import SegmentationNetwork

NARROW = {
    "unet": {"base_channels": 8, "depth": 2},
    "vnet": {"base_channels": 8},
    "segresnet": {"base_channels": 8, "depth": 2},
    "deeplabv3plus": {"encoder": "resnet10"},
    "transunet": {"hidden": 48, "layers": 1},
    "unetr": {"hidden": 48, "layers": 4},
    "swin_unetr": {"embed_dim": 24, "layers": 1},
}
VOLUMETRIC = ["unet", "vnet", "segresnet", "unetr", "swin_unetr"]


def small(name, **arguments):
    torch.manual_seed(0)
    return SegmentationNetwork(name, **{"image_size": 40, **NARROW[name], **arguments})
