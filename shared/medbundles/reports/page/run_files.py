"""What the files of a run, or of a cross-validation, say; nothing of a bundle is built or loaded."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.errors import DataError
from medbundles.lines import typed
from medbundles.reports.page.own_files import own, predictions_in, read_object
from medbundles.runs.directory import experiment_folder
from medbundles.runs.state import has_ended

ENVIRONMENT, CONFIG, KFOLD = "config/environment.json", "config/config.json", "kfold.json"
ADVICE = "Give a folder such as runs/EXPERIMENT/run_20260101_120000, or that of a cross-validation."
PARTS = {"test": ("Test part", ""), "val": ("Validation part", "at the best epoch")}
OUT_OF_FOLD = "Out of fold"
SEEN = {  # by what chose the epoch
    "inner": "each case by the model that has not seen it",
    "held_out": "each case by the model that it has chosen the epoch and the threshold of: these figures flatter",
}


@dataclass(frozen=True)
class Scored:
    """What was scored.

    Attributes:
        part: which images, in words.
        how: by which weights, in words; or empty.
        metrics: score -> value, low, high, n_images, n_patients, reason.
        about: the file that they stand in, with meaning, class_names, confusion_matrix, thresholds, errors.
        columns: of predictions.csv; empty where it is not there or of other images.
        left: why there are no columns although there is such a file, in words; or empty.
    """

    part: str
    how: str
    metrics: Mapping[str, Mapping[str, Any]]
    about: Mapping[str, Any]
    columns: Mapping[str, np.ndarray]
    left: str = ""

    @property
    def class_names(self) -> list[str]:
        """Empty where there are no classes."""
        return list(self.about.get("class_names", ()))

    @property
    def images(self) -> int | None:
        """How many were scored; None where the file does not say."""
        return self.about.get("n_images", self.about.get("n_cases"))


@dataclass
class RunFiles:
    """The files of a run.

    Attributes:
        folder: the run's.
        environment: versions, command, machine; empty of a cross-validation.
        history: metrics.json; empty where nothing was trained.
        scored: what was measured, the most telling part first.
        folds: of a cross-validation: number -> score -> value.
        asked: of a training that has not ended the epochs that it was to have ("?" where it has not kept them); else
            None.
    """

    folder: Path
    environment: Mapping[str, Any] = field(default_factory=dict)
    history: Mapping[str, Any] = field(default_factory=dict)
    scored: list[Scored] = field(default_factory=list)
    folds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    asked: int | str | None = None

    @property
    def name(self) -> str:
        """Experiment, fold and run, as the folders name them."""
        return self.folder.resolve().relative_to(experiment_folder(self.folder).parent).as_posix()

    @property
    def kind(self) -> str:
        """Cross-validation, training or evaluation."""
        if self.folds:
            return "cross-validation"
        return "evaluation" if not self.history and "evaluation" in self.folder.resolve().parts[-4:] else "training"

    @property
    def bundle(self) -> str:
        """Its folder's name; empty where the run has not kept it."""
        if self.folds:
            return str(self.scored[0].about.get("bundle", ""))
        return str(self.environment.get("bundle") or Path(self.environment.get("folder", "")).name)

    @property
    def epochs(self) -> list[Mapping[str, Any]]:
        """A record each, oldest first."""
        return list(self.history.get("epochs", ()))

    @property
    def summary(self) -> Mapping[str, Any]:
        """Of the training; empty where nothing was trained."""
        return self.history.get("summary", {})

    @cached_property
    def command(self) -> str:
        """As it was typed."""
        if self.folds:
            line = str(self.scored[0].about.get("command", ""))
            try:
                return " ".join(map(typed, shlex.split(line)))
            except ValueError:  # a quote that is never closed: as it stands there
                return line
        program, *words = self.environment.get("command") or [""]
        module = "monai.bundle" if Path(program).parts[-3:-1] == ("monai", "bundle") else ""
        return " ".join(map(typed, ["python", *(["-m", module] if module else [program]), *words])) if program else ""

    @property
    def changed(self) -> dict[str, dict[str, Any]] | None:
        """Setting -> its value and its default, of those that differ; None where the run has not kept it."""
        if self.folds:
            settings = self.scored[0].about.get("settings", {})
            return {name: {"value": value, "default": None} for name, value in settings.items()}
        return self.environment.get("changed")

    @property
    def trained_with(self) -> Mapping[str, Mapping[str, Any]]:
        """Of an evaluation: as `changed`, of the training that its weights come from, as far as that is known."""
        return self.scored[0].about.get("trained_with", {}) if self.scored and self.kind == "evaluation" else {}

    @cached_property
    def parts(self) -> dict[str, tuple[int, int, list[str]]]:
        """Part of the data -> images, patients and sources; empty where no split was written."""
        file = self.folder / "config/split.json"
        if not own(file, self.folder):
            return {}
        return {
            name: (len(items), len({item["patient"] for item in items}), sorted({item["source"] for item in items}))
            for name, items in read_object(file, self.folder, "split")["parts"].items()
        }

    @property
    def synthetic(self) -> bool:
        """Whether the data were phantoms, as far as the run says so."""
        return any(scored.about.get("synthetic") for scored in self.scored)


def read_run(folder: Path) -> RunFiles:
    """The files of a run's folder, or of the folder of a cross-validation.

    Raises:
        DataError: it is neither, or a file in it is broken.
    """
    for place in (folder, folder / "kfold"):
        if own(place / KFOLD, folder):
            return _of_kfold(place)
    if not own(folder / ENVIRONMENT, folder):
        inside = sorted(path.parents[1] for path in folder.rglob(ENVIRONMENT)) if folder.is_dir() else []
        hint = f" There is {inside[-1]}." if inside else ""
        raise DataError(f"{folder}: is no run's folder ({ENVIRONMENT} is not in it).{hint} {ADVICE}")
    history = folder / "metrics/metrics.json"
    files = {part: folder / f"metrics/{part}_metrics.json" for part in PARTS}
    scored = {part: read_object(file, folder, "scores") for part, file in files.items() if own(file, folder)}
    config = read_object(folder / CONFIG, folder, "config") if own(folder / CONFIG, folder) else {}
    trained = read_object(history, folder, "history") if own(history, folder) else {}
    done = len(trained.get("epochs", ()))
    return RunFiles(
        folder=folder,
        asked=config.get("epochs", "?") if done and not has_ended(folder, done, config) else None,
        environment=read_object(folder / ENVIRONMENT, folder, "environment"),
        history=trained,
        scored=[
            Scored(*_part(part, about), about["metrics"], about, *_columns(folder, part, about, len(scored) > 1))
            for part, about in scored.items()
        ],
    )


def _columns(folder: Path, part: str, about: Mapping[str, Any], several: bool) -> tuple[dict[str, np.ndarray], str]:
    """The columns of predictions.csv where it holds the images that were scored, else why they are not shown. Parts
    share that file: it is of the one whose names it holds."""
    columns = predictions_in(folder / "predictions/predictions.csv", folder, about)
    rows, images = len(columns.get("name", ())), about.get("n_images")
    if not columns:
        return {}, ""
    if images is not None and rows != images:
        return {}, f"predictions.csv has {rows} rows and the scores are of {images} images: its cases are not shown."
    names = folder / f"predictions/{part}_names.json"
    listed = read_object(names, folder, "names") if own(names, folder) else [] if several else list(columns["name"])
    if sorted(map(str, listed)) != sorted(columns["name"]):
        return {}, "predictions.csv is of another part: no cases of this one are shown."
    return columns, ""


def _part(part: str, about: Mapping[str, Any]) -> tuple[str, str]:
    """Which images were scored: an evaluation may be of other parts than the test part."""
    other = about.get("part", part)
    title, how = PARTS[part]
    return ("All images" if other == "all" else title if other == part else f"Part {other}", how)


def _of_kfold(folder: Path) -> RunFiles:
    about = read_object(folder / KFOLD, folder.parent, "kfold")
    columns = predictions_in(folder / "oof_predictions.csv", folder, about)
    rows, cases = len(columns.get("name", ())), about.get("n_cases", len(columns.get("name", ())))
    left = f"oof_predictions.csv has {rows} rows and the scores are of {cases} cases: its cases are not shown."
    differ = bool(columns) and rows != cases
    how = SEEN.get(about.get("settings", {}).get("selection", "inner"), SEEN["inner"])
    scored = Scored(OUT_OF_FOLD, how, about["out_of_fold"], about, {} if differ else columns, left if differ else "")
    trained = [file for file in sorted(folder.parent.glob(f"fold_*/run_*/{ENVIRONMENT}")) if own(file, folder.parent)]
    machine = read_object(trained[0], folder.parent, "environment") if trained else {}
    return RunFiles(folder=folder, environment=machine, scored=[scored], folds=about["folds"])


def as_text(value: Any) -> str:
    """A setting's value as one types it."""
    return value if isinstance(value, str) else "None" if value is None else json.dumps(value)
