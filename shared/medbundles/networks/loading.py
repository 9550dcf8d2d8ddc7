"""Weights from files: only tensors are read, and a load that does not fit is an error."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from medbundles.errors import CheckpointError

logger = logging.getLogger(__name__)

ENTRIES = ("network", "model", "state_dict", "model_state_dict")
WRAPPERS = ("module.", "_orig_mod.")  # what DistributedDataParallel and torch.compile put before every name


@dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did.

    Args:
        loaded: tensors of the network that now have the file's values.
        total: tensors that the network has.
        skipped: the others, and those that only the file has, each with the reason.
    """

    loaded: int
    total: int
    skipped: tuple[str, ...]


def read_tensors(path: str | Path) -> Any:
    """What `torch.save` wrote, on the CPU: tensors and plain values. Code in the file is never run.

    Raises:
        CheckpointError: when the file is missing, is cut off or broken, or holds pickled code.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"no weights file at {path}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file makes the reader raise almost anything, struct.error for one
        text = str(error).lower()
        reason = "is not a weights file, or is cut off or broken"
        if "torchscript" in text:
            reason = "is a TorchScript archive; give the weights file (.pt) instead"
        elif isinstance(error, pickle.UnpicklingError) and (
            "unsupported global" in text or "unsupported class" in text
        ):
            reason = (
                "holds pickled code or objects, not only tensors; it was not loaded, because loading it could run "
                "anything. Ask for a file with a plain state dict"
            )
        raise CheckpointError(f"{path} {reason}") from error


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """The tensors of a weights file or checkpoint, on the CPU.

    Args:
        path: a plain state dict, or a checkpoint that has it under one of "network", "model", "state_dict" or
            "model_state_dict".

    Raises:
        CheckpointError: as `read_tensors`; or the file holds no weights.
    """
    content = read_tensors(path)
    if isinstance(content, Mapping):
        content = next((content[key] for key in ENTRIES if isinstance(content.get(key), Mapping)), content)
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items())
    ):
        raise CheckpointError(
            f"{path} holds no weights: expected names with tensors, or a checkpoint with these under one of "
            f"{', '.join(ENTRIES)}"
        )
    return dict(content)


def plain_name(name: str) -> str:
    """A tensor's name without what DistributedDataParallel and torch.compile put before it."""
    while name.startswith(WRAPPERS):
        name = name.split(".", 1)[1]
    return name


def load_weights(
    network: nn.Module, source: str | Path | Mapping[str, torch.Tensor], min_share: float = 0.99
) -> LoadReport:
    """Give a network the weights that match by name and shape; nothing is changed when too few do.

    Args:
        network: may be wrapped in DistributedDataParallel or compiled; so may the one the weights come from.
        source: a file (see `read_weights`) or a state dict.
        min_share: least share of the network's tensors that must match, 0 to 1.

    Raises:
        CheckpointError: for an unreadable file, or fewer matches; names the tensors that are missing or differ.
    """
    where = source if isinstance(source, (str, Path)) else "the given state dict"
    weights = read_weights(source) if isinstance(source, (str, Path)) else source
    weights = {plain_name(name): value for name, value in weights.items()}
    own = network.state_dict()
    matched, skipped = {}, []
    for name, value in own.items():
        new = weights.pop(plain_name(name), None)
        if new is None:
            skipped.append(f"{name} (missing)")
        elif new.shape != value.shape:
            skipped.append(f"{name} (shape {tuple(new.shape)}, the network has {tuple(value.shape)})")
        else:
            matched[name] = new
    if len(matched) < min_share * len(own) or not matched:
        raise CheckpointError(
            f"{where} does not fit the network: {len(matched)} of {len(own)} tensors match, {min_share:.0%} must. "
            f"Not matching: {_shortened(skipped)}. Give the network the parameters these weights were trained with"
        )
    skipped += [f"{name} (not in the network)" for name in weights]
    network.load_state_dict(matched, strict=False)
    logger.info("Loaded %d of %d tensors from %s", len(matched), len(own), where)
    if skipped:
        logger.warning("Skipped from %s: %s", where, _shortened(skipped))
    return LoadReport(len(matched), len(own), tuple(skipped))


def _shortened(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
