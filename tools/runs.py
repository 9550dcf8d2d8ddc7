"""Runs of a bundle that a tool starts: how it was asked for, what is trained and evaluated, and what a run left."""

import json
import shlex
import sys
from collections.abc import Collection, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from medbundles.data.reading.checkpoint_files import BEST
from medbundles.data.reading.files import SYNTHETIC
from medbundles.errors import MedbundlesError
from medbundles.rules import AUTO
from medbundles.runs.checkpoints import by_id
from medbundles.runs.directory import RunDirectory

from .child import Command, bundle_command, run_children

LAST, OVERLAY = "checkpoints/last.pt", "checkpoints/trained.json"
TESTED = "metrics/test_metrics.json"


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


def run_jobs(verb: str, jobs: Mapping[str, Generator[Command, int, None]], at_once: int = 1) -> None:
    """Run the jobs of a verb that can be resumed, see `run_children`.

    Raises:
        MedbundlesError: something failed.
    """
    try:
        failed = run_children(jobs, at_once)
    except (KeyboardInterrupt, SystemExit):
        print(f"{verb}: stopped. What is done is kept: go on with the same command and --resume True.", file=sys.stderr)
        raise
    if failed:
        raise MedbundlesError(
            f"{verb}: {'; '.join(failed)}. What is done is kept: mend it and give the same command with --resume True."
        )


def only(command: Command) -> Generator[Command, int, None]:
    """A job of one command."""
    yield command


def left_by(command: Command, runs: RunDirectory, file: str, earlier: Collection[str]) -> Generator[Command, int, Path]:
    """Run a command of a job.

    Args:
        command: the command.
        runs: where its run is.
        file: what the run must have, its path in the run.
        earlier: names of runs that are not the command's.

    Returns:
        The newest run that has the file.

    Raises:
        MedbundlesError: none has.
    """
    yield command
    left = ours(runs, earlier)
    found = [run for run in left if (run / file).is_file()]
    if not found:
        raise MedbundlesError(f"{command.what} left no {file}{f' in {left[-1]}' if left else ''}")
    return found[-1]


def with_weights(files: Sequence[str], settings: Mapping[str, Any], trained: Path) -> list[str]:
    """The command line that runs a bundle with the best weights of a run, and with the settings they depend on; of one
    that was given as "auto" they know what the training measured."""
    overlay = trained / OVERLAY
    known = by_id(json.loads(overlay.read_text(encoding="utf-8"))) if overlay.is_file() else {}
    own = {name: value for name, value in settings.items() if value != AUTO or name not in known}
    return bundle_command([*files, overlay], {**own, "checkpoint": str(trained / BEST)})


def ours(runs: RunDirectory, earlier: Collection[str]) -> list[Path]:
    """Runs that are not among the earlier ones, oldest first."""
    return [run for run in runs.runs() if run.name not in earlier]


def going_on(runs: Sequence[Path]) -> dict[str, Any]:
    """The settings that go on with the newest of the runs that can be resumed; none where there is no such run."""
    begun = [run for run in runs if (run / LAST).is_file()]
    return {"init_from": False, "resume_from": str(begun[-1] / LAST)} if begun else {}
