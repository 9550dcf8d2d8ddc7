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
from medbundles.json_files import read_json
from medbundles.lines import typed
from medbundles.reports.predictions_table import read_predictions

ENVIRONMENT, KFOLD = "config/environment.json", "kfold.json"
ADVICE = "Give a folder such as runs/EXPERIMENT/run_20260101_120000, or that of a cross-validation."
PARTS = {"test": ("Test part", ""), "val": ("Validation part", "at the best epoch")}
OUT_OF_FOLD = ("Out of fold", "each case by the model that has not seen it")


@dataclass(frozen=True)
class Scored:
    """What was scored.

    Attributes:
        part: which images, in words.
        how: by which weights, in words; or empty.
        metrics: score -> value, low, high, n_images, n_patients, reason.
        about: the file that they stand in, with meaning, class_names, confusion_matrix, thresholds, errors.
        columns: of predictions.csv; empty where it is not there.
    """

    part: str
    how: str
    metrics: Mapping[str, Mapping[str, Any]]
    about: Mapping[str, Any]
    columns: Mapping[str, np.ndarray]

    @property
    def class_names(self) -> list[str]:
        """Empty where there are no classes."""
        return list(self.about.get("class_names", ()))


@dataclass
class RunFiles:
    """The files of a run.

    Attributes:
        folder: the run's.
        environment: versions, command, machine; empty of a cross-validation.
        history: metrics.json; empty where nothing was trained.
        scored: what was measured, the most telling part first.
        folds: of a cross-validation: number -> score -> value.
    """

    folder: Path
    environment: Mapping[str, Any] = field(default_factory=dict)
    history: Mapping[str, Any] = field(default_factory=dict)
    scored: list[Scored] = field(default_factory=list)
    folds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Experiment, fold and run, as the folders name them."""
        between = ("fold_", "evaluation", "kfold")
        experiment = next(folder for folder in self.folder.resolve().parents if not folder.name.startswith(between))
        return self.folder.resolve().relative_to(experiment.parent).as_posix()

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
            return " ".join(map(typed, shlex.split(self.scored[0].about.get("command", ""))))
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

    @cached_property
    def parts(self) -> dict[str, tuple[int, int, list[str]]]:
        """Part of the data -> images, patients and sources; empty where no split was written."""
        file = self.folder / "config/split.json"
        if not file.is_file():
            return {}
        parts = read_json(file, DataError, ("parts",), ADVICE)["parts"]
        return {
            name: (len(items), len({item["patient"] for item in items}), sorted({item["source"] for item in items}))
            for name, items in parts.items()
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
        if (place / KFOLD).is_file():
            return _of_kfold(place)
    if not (folder / ENVIRONMENT).is_file():
        inside = sorted(path.parents[1] for path in folder.rglob(ENVIRONMENT)) if folder.is_dir() else []
        hint = f" There is {inside[-1]}." if inside else ""
        raise DataError(f"{folder}: is no run's folder ({ENVIRONMENT} is not in it).{hint} {ADVICE}")
    history = folder / "metrics/metrics.json"
    predictions = folder / "predictions/predictions.csv"
    columns = read_predictions(predictions) if predictions.is_file() else {}
    files = {part: folder / f"metrics/{part}_metrics.json" for part in PARTS}
    scored = {part: read_json(file, DataError, ("metrics",), ADVICE) for part, file in files.items() if file.is_file()}
    return RunFiles(
        folder=folder,
        environment=read_json(folder / ENVIRONMENT, DataError, (), ADVICE),
        history=read_json(history, DataError, ("epochs", "summary"), ADVICE) if history.is_file() else {},
        scored=[Scored(*_part(part, about), about["metrics"], about, columns) for part, about in scored.items()],
    )


def _part(part: str, about: Mapping[str, Any]) -> tuple[str, str]:
    """Which images were scored: an evaluation may be of other parts than the test part."""
    other = about.get("part", part)
    title, how = PARTS[part]
    return ("All images" if other == "all" else title if other == part else f"Part {other}", how)


def _of_kfold(folder: Path) -> RunFiles:
    about = read_json(folder / KFOLD, DataError, ("out_of_fold", "folds"), ADVICE)
    table = folder / "oof_predictions.csv"
    columns = read_predictions(table, about.get("class_names", ())) if table.is_file() else {}
    scored = Scored(*OUT_OF_FOLD, about["out_of_fold"], about, columns)
    return RunFiles(folder=folder, scored=[scored], folds=about["folds"])


def as_text(value: Any) -> str:
    """A setting's value as one types it."""
    return value if isinstance(value, str) else json.dumps(value)
