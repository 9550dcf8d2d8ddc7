"""The normalisations that segmentation networks can have."""

import math
from typing import Any

from monai.networks.layers.utils import get_norm_layer
from torch import nn

GROUPS = 8
NORMS: dict[str, tuple[str, dict]] = {
    "instance": ("instance", {"affine": True}),
    "batch": ("batch", {}),
    "group": ("group", {"num_groups": GROUPS}),
}
BATCH: dict[type, int] = {nn.BatchNorm2d: 2, nn.BatchNorm3d: 3}  # number of axes


def replace_batch_norm(network: nn.Module, norm: str) -> None:
    """Give a network that has batch normalisation built in another one, in place.

    Channels that the groups do not divide, as those of logits, have as many groups as divide both.

    Args:
        network: its layers of exactly the classes BatchNorm2d and BatchNorm3d are replaced.
        norm: instance, batch or group.
    """
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if norm != "batch" and type(child) in BATCH:
                channels: Any = child.num_features
                kind = ("group", {"num_groups": math.gcd(GROUPS, channels)}) if norm == "group" else NORMS[norm]
                setattr(parent, name, get_norm_layer(kind, BATCH[type(child)], channels))
