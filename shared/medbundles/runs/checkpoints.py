"""Checkpoint files: written whole or not at all, read without running anything that is in them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from medbundles.atomic_files import replace_atomic
from medbundles.errors import CheckpointError
from medbundles.lines import typed
from medbundles.networks.loading import read_file
from medbundles.rules import AUTO

FORMAT = 1


def save_checkpoint(path: str | os.PathLike, content: dict[str, Any]) -> None:
    """Write a checkpoint of tensors and plain values; a kill or a full disk leaves the file that was there.

    Raises:
        MedbundlesError: the disk is full or the folder cannot be written.
    """
    with replace_atomic(path) as temporary:
        torch.save({"format": FORMAT, **content}, temporary)


def load_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, with `weights_only=True`.

    Raises:
        CheckpointError: as `read_file`, or the file is not a checkpoint for resuming.
    """
    content = read_file(Path(path))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: holds weights but not the state of a run. To start a new run from them use "
            f"--init_from {typed(path)}."
        )
    return with_settings(content)


def with_settings(content: dict[str, Any]) -> dict[str, Any]:
    """What a run wrote, with the settings under their name: files of version 0.1 call them otherwise."""
    if "knobs" in content:
        content["settings"] = content.pop("knobs")
    return content


def by_id(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in groups as settings by id: {"a": {"b": 1}} -> {"a#b": 1}. MONAI takes no '#' in a key of a config."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        inner = by_id(value) if isinstance(value, Mapping) else {"": value}
        found |= {f"{name}#{leaf}".removesuffix("#"): entry for leaf, entry in inner.items()}
    return found


def with_measured(trained: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in groups as settings by id; those that are "auto" as they were measured, where they were."""
    settings = by_id(trained)
    return settings | {name: value for name, value in measured.items() if settings.get(name) == AUTO}


def plain(value: Any) -> Any:
    """The value as tensors, numbers, strings, lists, tuples and dicts, so that it can be read with weights_only."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(v) for v in value)
    if hasattr(value, "item") and not isinstance(value, torch.Tensor):
        return value.item()  # a numpy scalar
    return value
