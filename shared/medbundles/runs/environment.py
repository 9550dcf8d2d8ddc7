"""What a run was made with: versions, commit, machine, command line."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("monai", "torch", "pytorch-ignite", "numpy", "nibabel", "scipy", "scikit-learn", "pillow", "medbundles")


def git_commit() -> str | None:
    """Commit of the checkout that this package stands in, `-dirty` with changes; None outside one or without git."""
    here = Path(__file__).resolve().parent
    try:
        command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def environment(device: object, seed: int) -> dict[str, Any]:
    """Everything that one needs to run the same again, as plain values."""
    device = torch.device(str(device))
    return {
        "command": sys.argv,
        "folder": os.getcwd(),
        "seed": seed,
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor(),
        "threads": torch.get_num_threads(),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "python": platform.python_version(),
        "system": platform.platform(),
        "git_commit": git_commit(),
        "versions": {package: _version(package) for package in PACKAGES},
    }
