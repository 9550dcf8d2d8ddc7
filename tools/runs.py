"""Runs of a bundle that a tool starts: how it was asked for, which run to go on with, and what a run left."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medbundles.errors import MedbundlesError
from tools.staging import SYNTHETIC

LAST, BEST = "checkpoints/last.pt", "checkpoints/best.pt"


def asked_for(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a report says of its origin: bundle, settings, whether the data are phantoms, and the command as typed.

    Args:
        folder: the bundle.
        settings: id -> value, with `dataset_dir`.
    """
    return {
        "bundle": folder.name,
        "settings": settings,
        "synthetic": (Path(settings["dataset_dir"]) / SYNTHETIC).is_file(),
        "command": shlex.join(["python", "-m", "tools", *sys.argv[1:]]),
    }


def going_on(runs: Sequence[Path]) -> dict[str, Any]:
    """The settings that go on with the newest of the runs that can be resumed; none where there is no such run."""
    begun = [run for run in runs if (run / LAST).is_file()]
    return {"init_from": False, "resume_from": str(begun[-1] / LAST)} if begun else {}


def newest_with(runs: Sequence[Path], name: str, what: str) -> Path:
    """The newest run that has a file.

    Args:
        runs: oldest first.
        name: the file's path in the run.
        what: what was run, for the message.

    Raises:
        MedbundlesError: none has.
    """
    found = [run for run in runs if (run / name).is_file()]
    if not found:
        raise MedbundlesError(f"{what} left no {name}{f' in {runs[-1]}' if runs else ''}")
    return found[-1]
