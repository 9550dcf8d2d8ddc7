"""Loads MedicalNet's published weights into the backbone of a `GradingResNet`."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import torch

from medbundles.errors import CheckpointError
from medbundles.networks.grading_resnet import BLOCKS, GradingResNet
from medbundles.networks.loading import LoadReport, plain_name, read_weights

logger = logging.getLogger("medbundles")
NAMES = re.compile(r"conv1\.|bn1\.|layer[1-4]\.")  # what belongs to a ResNet's backbone
UNCOUNTED = "num_batches_tracked"  # a counter that older files lack, and that nothing depends on


def load_medicalnet(network: GradingResNet, path: str | Path, min_share: float = 0.99) -> LoadReport:
    """Give the backbone a pretrained file's weights; nothing is changed when too few of them fit.

    The file is MedicalNet's as published ({"state_dict": {"module.conv1.weight": ...}}) or a plain state dict. Where
    the number of input channels differs, the first convolution is adapted: its mean over the file's channels, for each
    channel divided by their number, so that equal channels give what the file's own input gives.

    Args:
        network: its head keeps its values.
        path: the file; only tensors are read, code in it is never run.
        min_share: least share of the backbone's tensors that must fit, 0 to 1.

    Returns:
        What was loaded; the totals count the backbone.

    Raises:
        CheckpointError: the file is missing, unsafe or broken; it is of another depth (says which); or fewer fit.
    """
    weights = {plain_name(name).removeprefix("backbone."): value for name, value in read_weights(path).items()}
    _check_depth(weights, network.depth, path)
    own = {name: value for name, value in network.backbone.state_dict().items() if not name.endswith(UNCOUNTED)}
    if "conv1.weight" in weights:
        weights["conv1.weight"] = _adapted(weights["conv1.weight"], own["conv1.weight"].shape[1], path)
    fitting = {name: weights[name] for name, value in own.items() if _fits(weights.get(name), value)}
    skipped = [f"{name} ({_reason(weights.get(name), own[name])})" for name in own if name not in fitting]
    if len(fitting) < min_share * len(own):
        shown = ", ".join(skipped[:8]) + (f" and {len(skipped) - 8} more" if len(skipped) > 8 else "")
        raise CheckpointError(
            f"pretrained_path: {path} does not fit the network: {len(fitting)} of {len(own)} tensors of the backbone "
            f"match, {min_share:.0%} must. Not matching: {shown}. Wanted is MedicalNet's file of a "
            f"ResNet-{network.depth}."
        )
    skipped += [f"{name} (not in the backbone)" for name in weights if name not in own and UNCOUNTED not in name]
    network.backbone.load_state_dict(fitting, strict=False)
    report = LoadReport(len(fitting), len(own), tuple(skipped))
    logger.info(
        "pretrained: loaded %d of %d tensors of the backbone from %s, skipped %d%s",
        report.loaded, report.total, path, len(skipped), f": {', '.join(skipped[:8])}" if skipped else "",
    )  # fmt: skip
    return report


def _check_depth(weights: Mapping[str, torch.Tensor], depth: int, path: str | Path) -> None:
    """The number of blocks in each layer, and their kind, tell the depth of the file's network."""
    if not any(NAMES.match(name) for name in weights):
        raise CheckpointError(
            f"pretrained_path: {path} holds no ResNet (conv1, layer1 to layer4), but {', '.join(list(weights)[:5])}."
        )
    blocks = [len({name.split(".")[1] for name in weights if name.startswith(f"layer{i}.")}) for i in (1, 2, 3, 4)]
    kind = "bottleneck" if any(name.endswith("conv3.weight") for name in weights) else "basic"
    found = next((d for d, known in BLOCKS.items() if known == (kind, blocks)), None)
    if found is not None and found != depth:
        raise CheckpointError(
            f"pretrained_path: {path} is a ResNet-{found}, the network is a ResNet-{depth}. "
            f"Give the file of a ResNet-{depth}, or --depth {found}."
        )
    if found is None and 0 not in blocks:
        raise CheckpointError(
            f"pretrained_path: {path} is a ResNet with {blocks} {kind} blocks; there are the depths "
            f"{', '.join(map(str, BLOCKS))} here."
        )


def _adapted(weight: torch.Tensor, channels: int, path: str | Path) -> torch.Tensor:
    """First convolution (64, C, 7, 7, 7) for another number of channels."""
    if weight.dim() != 5 or weight.shape[1] == channels:
        return weight
    logger.info("pretrained: the first convolution of %s is adapted to %d channels", path, channels)
    return weight.sum(dim=1, keepdim=True).repeat(1, channels, 1, 1, 1) / channels


def _fits(new: torch.Tensor | None, own: torch.Tensor) -> bool:
    return new is not None and new.shape == own.shape


def _reason(new: torch.Tensor | None, own: torch.Tensor) -> str:
    return "missing" if new is None else f"shape {tuple(new.shape)}, the network has {tuple(own.shape)}"
