"""Loads MedicalNet's published weights into the backbone of a `GradingResNet`."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import torch

from medbundles.errors import CheckpointError, first_few
from medbundles.networks.grading_resnet import BLOCKS, GradingResNet
from medbundles.networks.loading import load_weights, plain_name, read_weights

logger = logging.getLogger("medbundles")
NAMES = re.compile(r"conv1\.|bn1\.|layer[1-4]\.")  # what belongs to a ResNet's backbone
COUNTER = "num_batches_tracked"  # a counter that older files lack, and that nothing depends on


def load_medicalnet(network: GradingResNet, path: str | Path) -> list[str]:
    """Give the backbone a pretrained file's weights; nothing is changed when too few of them fit.

    The file is MedicalNet's as published ({"state_dict": {"module.conv1.weight": ...}}) or a plain state dict. Its
    kernels are turned from MedicalNet's axes (D, H, W), which are (Z, Y, X), to (X, Y, Z), so that volumes with
    canonical axes give what its own loader's volumes give; those of a `GradingResNet` (backbone.conv1.weight) are
    right. Where the number of input channels differs, the first convolution is adapted: its mean over the file's
    channels, for each channel divided by their number, so that equal channels give what the file's own input gives.

    Args:
        network: its head keeps its values.
        path: the file; only tensors are read, code in it is never run.

    Returns:
        The tensors of the backbone that keep their values, then those that only the file has, each with the reason.

    Raises:
        CheckpointError: the file is missing, unsafe or broken; it is of another depth (says which); it has layers that
            the network has not, such as shortcuts of another kind; or fewer fit.
    """
    named = {plain_name(name): value for name, value in read_weights(path).items()}
    weights = {name.removeprefix("backbone."): value for name, value in named.items()}
    if not any(name.startswith("backbone.") for name in named):
        weights = {name: v.permute(0, 1, 4, 3, 2) if v.dim() == 5 else v for name, v in weights.items()}
    where, wanted = f"pretrained_path: {path}", f"MedicalNet's file of a ResNet-{network.depth} is wanted."
    _check_depth(weights, network.depth, where)
    others = sorted(name for name in weights.keys() - network.backbone.state_dict().keys() if NAMES.match(name))
    if others:
        raise CheckpointError(
            f"{where} has layers that this network has not, without which its features are others: "
            f"{first_few(others)}. {wanted} Those of the depths 18 and 34 have shortcuts of kind A."
        )
    first, channels = weights.get("conv1.weight"), network.backbone.conv1.weight.shape[1]
    if first is not None and first.dim() == 5 and first.shape[1] != channels:
        logger.info("%s: the first convolution is adapted to %d channels", where, channels)
        weights["conv1.weight"] = first.sum(dim=1, keepdim=True).repeat(1, channels, 1, 1, 1) / channels
    return load_weights(network.backbone, weights, where=where, called="backbone", advice=wanted, uncounted=COUNTER)


def _check_depth(weights: Mapping[str, torch.Tensor], depth: int, where: str) -> None:
    """The number of blocks in each layer, and their kind, say the depth of the file's network."""
    if not any(NAMES.match(name) for name in weights):
        raise CheckpointError(f"{where} holds no ResNet (conv1, layer1 to layer4), but {first_few(weights, 5)}.")
    blocks = [len({name.split(".")[1] for name in weights if name.startswith(f"layer{i}.")}) for i in (1, 2, 3, 4)]
    kind = "bottleneck" if any(name.endswith("conv3.weight") for name in weights) else "basic"
    found = next((d for d, known in BLOCKS.items() if known == (kind, blocks)), None)
    if found is not None and found != depth:
        raise CheckpointError(
            f"{where} is a ResNet-{found}, the network is a ResNet-{depth}. "
            f"Give the file of a ResNet-{depth}, or --depth {found}."
        )
    if found is None and 0 not in blocks:
        raise CheckpointError(
            f"{where} is a ResNet with {blocks} {kind} blocks; there are the depths {first_few(BLOCKS)} here."
        )
