"""The folder of one run: named when the trainer starts, known to all ranks, found again when a run is resumed."""

import logging
import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from medbundles.atomic_files import new_folders, remove_empty, remove_leftovers
from medbundles.errors import CheckpointError, ConfigError
from medbundles.lines import typed
from medbundles.ranks import done_by_rank_0
from medbundles.rules import EVERYWHERE, Rule, has_rules
from medbundles.runs.lock import FolderLock

RUN_NAME = re.compile(r"run_(\d{8}_\d{6})(?:_(\d+))?")
FOLDERS = ("config", "logs", "metrics", "checkpoints", "plots", "predictions")

logger = logging.getLogger("medbundles")


def run_folder(file: Path) -> Path | None:
    """The run folder that a file lies in, if it does."""
    return next((p for p in file.parents if RUN_NAME.fullmatch(p.name)), None)


def experiment_folder(folder: Path) -> Path:
    """The folder of the experiment that a run, an evaluation or a cross-validation's report belongs to."""
    between = ("fold_", "evaluation", "kfold")
    return next(parent for parent in folder.resolve().parents if not parent.name.startswith(between))


def run_order(folder: Path) -> tuple[str, int]:
    """Sorts run folders by time, `_2` after the first of the same second."""
    match = RUN_NAME.fullmatch(folder.name)
    return (match[1], int(match[2] or 1)) if match else ("", 0)


def _in_the_run(checkpoint_dir: str, log_dir: str) -> str | None:
    for name, folder in (("checkpoint_dir", checkpoint_dir), ("log_dir", log_dir)):
        if os.path.normpath(folder).split(os.sep)[0] == os.pardir:
            return (
                f"{name}: {folder} leads out of the run's folder, where other runs would share it; "
                "give a folder in it, or an absolute one."
            )
    return None


@has_rules(Rule(("checkpoint_dir", "log_dir"), _in_the_run, EVERYWHERE))
@dataclass(eq=False)
class RunDirectory:
    """`<output_dir>/<name>[/fold_K]/run_YYYYMMDD_HHMMSS/` and its subfolders.

    Nothing is made before `start`, which rank 0 does for all.

    Args:
        output_dir: root of all runs.
        name: name of the experiment.
        fold: number of the cross-validation fold, or None.
        checkpoint_dir: where checkpoints go, relative to the run's folder, or absolute.
        log_dir: where the log and the TensorBoard events go, likewise.
        resume: go on in the newest run's folder.
        resume_from: go on from this checkpoint, in the folder of its run.
    """

    output_dir: str
    name: str
    fold: int | None = None
    checkpoint_dir: str = "checkpoints"
    log_dir: str = "logs"
    resume: bool = False
    resume_from: str | None = None

    def __post_init__(self) -> None:
        self.parent = Path(self.output_dir) / self.name / (f"fold_{self.fold}" if self.fold is not None else "")
        self.config: dict[str, Any] = {}
        self.settings: dict[str, Any] = {}
        self.free_settings: set[str] = set()
        self.earlier_settings: dict[str, Any] = {}
        self.about: dict[str, Any] = {}
        self._path: Path | None = None
        self._lock: FolderLock | None = None
        self._new_folders: list[Path] = []

    def record(
        self,
        config: dict[str, Any],
        settings: dict[str, Any],
        free_settings: set[str],
        earlier_settings: Mapping[str, Any] | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep what the run's files say of it.

        Args:
            config: the merged config with the overrides.
            settings: resolved value of every setting.
            free_settings: those that may differ when the run is resumed.
            earlier_settings: what versions did that did not have these settings yet.
            about: further entries of environment.json: the bundle, and the settings that differ from its defaults.
        """
        self.config, self.settings, self.free_settings = config, settings, free_settings
        self.earlier_settings, self.about = dict(earlier_settings or {}), dict(about or {})

    @property
    def path(self) -> Path:
        """The run's folder.

        Raises:
            RuntimeError: before `start`.
        """
        if self._path is None:
            raise RuntimeError("the run directory is named when the trainer starts")
        return self._path

    @property
    def started(self) -> bool:
        """Whether the folder is there."""
        return self._path is not None

    def folder(self, name: str) -> Path:
        """A subfolder by its name in the layout; checkpoints and logs may stand elsewhere."""
        moved = {"checkpoints": self.checkpoint_dir, "logs": self.log_dir}
        return self.path / moved.get(name, name)

    def runs(self) -> list[Path]:
        """Folders of this experiment and fold, oldest first."""
        found = [p for p in self.parent.glob("run_*") if RUN_NAME.fullmatch(p.name) and p.is_dir()]
        return sorted(found, key=run_order)

    def resume_file(self) -> Path | None:
        """The checkpoint to go on from, or None for a new run.

        Raises:
            CheckpointError: resuming was asked for and there is nothing to resume.
        """
        if self.resume_from:
            path = Path(self.resume_from)
            if path.is_dir():
                last = next(iter(sorted(path.rglob("last.pt"))), path / "checkpoints" / "last.pt")
                raise CheckpointError(f"resume_from: {path} is a folder; name a checkpoint in it, such as {last}.")
            if not path.is_file():
                raise CheckpointError(f"resume_from: {path} does not exist.")
            return path
        if not self.resume:
            return None
        is_shared = Path(self.checkpoint_dir).is_absolute()  # then it lies in no run, and pathlib takes it as it is
        folders = [self.parent] if is_shared else self.runs()[-1:]
        if not folders:
            raise CheckpointError(f"resume: there is no run below {self.parent}. Start without --resume.")
        path = folders[0] / self.checkpoint_dir / "last.pt"
        if not path.is_file():
            earlier = [run / self.checkpoint_dir / "last.pt" for run in reversed(self.runs()[:-1])]
            before = next(
                (
                    f" An earlier run has one: --resume_from {typed(last)} goes on with it."
                    for last in earlier
                    if last.is_file()
                ),
                "",
            )
            raise CheckpointError(
                f"resume: the newest run has no {path}: it ended within its first epoch, or checkpointing#save_last "
                f"was off.{before} Start without --resume, or name a checkpoint with --resume_from FILE."
            )
        return path

    @cached_property
    def stamp(self) -> str:
        """Name of a new run: the time when it is first asked for."""
        return time.strftime("run_%Y%m%d_%H%M%S")

    @property
    def tracked_name(self) -> str:
        """Name of the run for experiment tracking, which asks for it before the folder is there."""
        path = self.resume_file()
        run = run_folder(path) if path else None
        return run.name if run else self.stamp

    def start(self, run_name: str | None = None) -> Path:
        """Make the folder, or, with `run_name` (the name of a resumed run), go on in that one.

        Raises:
            ConfigError: the folder cannot be made, or another process still writes to it.
            CheckpointError: `run_name` is none, or not that of the folder in which the checkpoint lies.
        """
        if run_name:
            self._check_name(run_name)
        if self._path is None:
            self._path = done_by_rank_0(lambda: self._made(run_name))
        return self.path

    def _check_name(self, run_name: str) -> None:
        """A checkpoint says to which run it belongs; it may not lead anywhere else."""
        if not RUN_NAME.fullmatch(run_name):
            raise CheckpointError(
                f"the checkpoint belongs to {run_name!r}, which is no run's name; it was not written here."
            )
        file = self.resume_file()
        inside = Path(file).resolve().parents if file else ()
        around = next((p for p in inside if (p / "config" / "config.json").is_file()), None)
        if around and around.name != run_name:
            raise CheckpointError(
                f"resume: {file} lies in the run folder {around.name!r} and belongs to {run_name}: the folder was "
                "renamed, or the file copied from another run. Give the folder its name again."
            )

    def _made(self, run_name: str | None) -> Path:
        try:
            named = run_folder(Path(self.resume_from).resolve()) if self.resume_from else None
            self._path = (named or self.parent / run_name) if run_name else self._new()
            for name in FOLDERS:
                self._new_folders += new_folders(self.folder(name))
                self.folder(name).mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(self._path)
            if other := self._lock.take():
                raise ConfigError(
                    f"{self._path}: another process still writes to this run ({other}). Let it end, or end it."
                )
            for folder in {self.path, *map(self.folder, FOLDERS)} if run_name else ():
                remove_leftovers(folder)
        except OSError as error:
            why = error.strerror or error
            raise ConfigError(f"output_dir: cannot make a run folder below {self.parent}: {why}.") from error
        return self.path

    def release(self) -> None:
        """Let other processes go on with the run: it has ended."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def discard(self) -> None:
        """Remove the folder of a run that was refused before it began, if this process has made it."""
        if self._path in self._new_folders:
            shutil.rmtree(self._path, ignore_errors=True)
            remove_empty(self._new_folders)
            self._path = None

    def _new(self) -> Path:
        """Created exclusively: a second run in the same second gets `_2`."""
        shared = Path(self.checkpoint_dir)
        if shared.is_absolute() and list(shared.glob("*.pt")):
            raise ConfigError(
                f"checkpoint_dir: {shared} holds the checkpoints of another run, which this one would overwrite. "
                "Give an empty folder, or go on with that run: --resume True."
            )
        number = 1
        while True:
            path = self.parent / (self.stamp if number == 1 else f"{self.stamp}_{number}")
            self._new_folders = new_folders(path)
            try:
                path.mkdir(parents=True)
                return path
            except FileExistsError:
                number += 1
