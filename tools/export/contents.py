"""All files of an exported bundle."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from medbundles.atomic_files import json_text
from medbundles.data.reading.files import short_id
from medbundles.data.reading.trained_file import TRAINED
from medbundles.errors import ConfigError

from .readme import without_leaving_links

LARGE = 25_000_000  # bytes from which the zoo keeps a file elsewhere
OF_THE_REPOSITORY = (
    "> This page is that of the bundle in its repository, to which `python -m tools` and config files that are not "
    "here belong. Of the model in this folder tells [README.md](../README.md).\n\n"
)


def weights_file(network: torch.nn.Module) -> bytes:
    """The state dict as a file, the same for the same weights: torch names a file's parts after the file otherwise."""
    stream = io.BytesIO()
    torch.save({name: value.contiguous().clone() for name, value in network.state_dict().items()}, stream)
    return stream.getvalue()


def documents(folder: Path) -> dict[str, bytes]:
    """LICENSE, docs/ and what is no JSON in configs/ of a bundle, by path.

    Raises:
        ConfigError: there is no LICENSE.
    """
    if not (folder / "LICENSE").is_file():
        raise ConfigError(f"{folder / 'LICENSE'}: is missing; a bundle is not shared without one")
    paths = [folder / "LICENSE", *(folder / "docs").rglob("*"), *(folder / "configs").glob("*.conf")]
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.is_file()}
    name = "docs/README.md"
    if name in found:
        text = without_leaving_links(found[name].decode("utf-8"))
        found[name] = (OF_THE_REPOSITORY + text).encode("utf-8")
    return found


def model_files(weights: bytes, trained: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, bytes]:
    """models/: the weights, their settings, and where they come from with the checksum of the weights."""
    checksum = hashlib.sha256(weights).hexdigest()
    about = {**about, "model_id": short_id(checksum), "model_sha256": checksum}
    files = {"models/model.pt": weights, f"models/{TRAINED}": as_json(trained)}
    return files | ({"models/model.json": as_json(about)} if {"run", "epoch"} <= about.keys() else {})


def with_large_files(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files, with large_files.yml where one is larger than the model zoo takes: its address is left empty.

    It is written as JSON, which is YAML too.
    """
    large = [
        {"path": name, "url": "", "hash_val": hashlib.sha256(content).hexdigest(), "hash_type": "sha256"}
        for name, content in sorted(contents.items())
        if len(content) > LARGE
    ]
    return {**contents, **({"large_files.yml": as_json({"large_files": large})} if large else {})}


def as_json(content: Any) -> bytes:
    """A JSON file."""
    return json_text(content).encode("utf-8")
