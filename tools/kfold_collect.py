"""Puts the folds of a cross-validation together that were trained as jobs of their own."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from medbundles.atomic_files import write_json_atomic
from medbundles.data.lists.fold_parts import folds_of_parts
from medbundles.data.lists.split_file import FILE
from medbundles.data.reading.checkpoint_files import FOLDS as RECORD
from medbundles.data.reading.checkpoint_files import REPORT
from medbundles.errors import DataError, first_few
from medbundles.json_files import read_json
from medbundles.reports.predictions_table import read_predictions
from medbundles.runs.lock import alone_in

from .bundle import PATHS
from .kfold import MAY_CHANGE, write_ensemble_settings
from .kfold_report import write_report

ADVICE = "Copy the folder of this fold again, or train it again (python -m tools kfold ... --fold)."


@dataclass(frozen=True)
class Fold:
    """A fold and what it has left, found again wherever the experiment was copied to."""

    number: int
    experiment: Path
    content: dict[str, Any]

    @classmethod
    def read(cls, number: int, experiment: Path) -> "Fold":
        """Read the fold's record.

        Raises:
            DataError: it is not there, broken, or the fold is not tested yet.
        """
        path = experiment / f"fold_{number}" / RECORD
        content = read_json(path, DataError, ("bundle", "settings", "files", "folds", "command", "done"), ADVICE)
        fold = cls(number, experiment, content)
        for what, key, file in (
            ("trained", "run", f"config/{FILE}"),
            ("tested", "evaluation", "predictions/predictions.csv"),
        ):
            if key not in content["done"].get(str(number), {}):
                raise DataError(
                    f"fold {number}: is not {what} yet ({path}); go on with it: --fold {number} --resume True."
                )
            if not (fold.of(key) / file).is_file():
                raise DataError(f"fold {number}: {fold.of(key) / file} is not there. {ADVICE}")
        return fold

    def of(self, what: str) -> Path:
        """Its run or its evaluation."""
        name = Path(self.content["done"][str(self.number)][what]).name
        return self.experiment / ("evaluation" if what == "evaluation" else "") / f"fold_{self.number}" / name

    @cached_property
    def split(self) -> dict[str, dict[str, Any]]:
        """Part -> name of a case -> by what its image is known."""
        parts = read_json(self.of("run") / "config" / FILE, DataError, ("parts",), ADVICE)["parts"]
        return {
            part: {row["name"]: row.get("thumbnail", row.get("content")) for row in rows}
            for part, rows in parts.items()
        }

    @cached_property
    def tested(self) -> list[str]:
        """Names of the cases that it was tested on."""
        return read_predictions(self.of("evaluation") / "predictions/predictions.csv")["name"].tolist()


def collect(experiment: str) -> dict[str, Any]:
    """Write the report of a cross-validation whose folds were trained as jobs of their own (kfold ... --fold K).

    The folds may come from several machines: copy their folders fold_K and evaluation/fold_K into one. Before anything
    is written it is checked that all are there, that they were asked for the same, had the same images and the same
    split, and that each case was tested once. The report is that of a kfold on one machine.

    Args:
        experiment: the folder of the experiment, <output_dir>/<experiment name>.

    Returns:
        What kfold.json holds.

    Raises:
        DataError: a fold is missing, not done, or differs from the others.

    Example:
        python -m tools collect /shared/runs/glioma_grading
    """
    folder = Path(experiment).absolute()
    there = sorted(int(path.parent.name.removeprefix("fold_")) for path in folder.glob(f"fold_[0-9]*/{RECORD}"))
    if not there:
        raise DataError(f"{folder}: has no folds of their own (fold_K/{RECORD}); kfold ... --fold K makes them.")
    first = Fold.read(there[0], folder)
    count = first.content["folds"]
    if missing := sorted(set(range(count)) - set(there)):
        raise DataError(f"{folder}: of {count} folds missing: {', '.join(map(str, missing))}. Train them with --fold.")
    folds = [Fold.read(number, folder) for number in there]
    check(folds)
    for note in other_versions(folds):
        print(f"note: {note}")
    about = {key: value for key, value in first.content.items() if key != "done"}
    about["command"] = without_fold(about["command"])
    with alone_in(folder, "a cross-validation"):
        report = write_report({fold.number: fold.of("evaluation") for fold in folds}, folder / REPORT, about)
        done = {str(fold.number): {key: str(fold.of(key)) for key in ("run", "evaluation")} for fold in folds}
        write_json_atomic(folder / RECORD, {**about, "done": done})
        write_ensemble_settings(folder)
    return report


def without_fold(command: str) -> str:
    """The command of all folds, made of that of one."""
    words, found = command.split(" "), []
    while words:
        word = words.pop(0)
        if word == "--fold":
            del words[:1]
        elif not word.startswith("--fold="):
            found.append(word)
    return " ".join(found)


def check(folds: Sequence[Fold]) -> None:
    """Make sure that folds belong together.

    Raises:
        DataError: they differ in what was asked for, in their images or their split; the fold is named.
    """
    first, count = folds[0], folds[0].content["folds"]
    every = _cases(first)
    for fold in folds[1:]:
        if other := _different(_asked(first), _asked(fold)):
            raise DataError(f"fold {fold.number}: was asked for something else than fold {first.number}: {other}.")
        cases = _cases(fold)
        names = [name for name in {**every, **cases} if name not in every or name not in cases]
        # of a case whose image is known in both: what was tested alone stands in no split of some bundles
        names += [name for name in every if cases.get(name) and every[name] and cases[name] != every[name]]
        if names:
            raise DataError(f"fold {fold.number}: has other images than fold {first.number}: {first_few(names)}.")
    tested = Counter(name for fold in folds for name in fold.tested)
    for fold in folds:
        twice = [name for name in fold.tested if tested[name] > 1]
        if twice:
            raise DataError(f"fold {fold.number}: tested what another fold tested, too: {first_few(twice)}.")
        trained = [name for name in fold.tested if name in fold.split["train"]]
        if trained:
            raise DataError(f"fold {fold.number}: was tested on what it was trained on: {first_few(trained)}.")
    if never := sorted(every.keys() - tested.keys()):
        raise DataError(f"{first.experiment}: tested in no fold: {first_few(never)}.")
    for fold in folds:
        parts = folds_of_parts(count, fold.number, first.content["settings"]["selection"])
        for part in ("train", "val"):
            wanted = {name for number in parts[part] for name in folds[number].tested}
            if differ := sorted(wanted ^ fold.split[part].keys()):
                raise DataError(f"fold {fold.number}: its {part} part is of another split: {first_few(differ)}.")


def other_versions(folds: Sequence[Fold]) -> list[str]:
    """A sentence for each fold that was trained with other versions of packages than the first one."""
    versions = {
        fold.number: read_json(fold.of("run") / "config/environment.json", DataError, ("versions",), ADVICE)["versions"]
        for fold in folds
    }
    first, notes = folds[0].number, []
    for number, own in versions.items():
        if other := _different(versions[first], own):
            notes.append(f"fold {number}: was trained with other versions than fold {first}: {other}.")
    return notes


def _cases(fold: Fold) -> dict[str, Any]:
    split = fold.split
    return {**dict.fromkeys(fold.tested), **split.get("test", {}), **split["train"], **split["val"]}


def _asked(fold: Fold) -> dict[str, Any]:
    """What decides the result; places of files differ between machines."""
    about = {**fold.content["settings"], **{key: fold.content[key] for key in ("bundle", "files", "folds")}}
    return {key: value for key, value in about.items() if key not in MAY_CHANGE | PATHS}


def _different(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return "; ".join(f"{n} {one.get(n, 'not given')!r} -> {other.get(n, 'not given')!r}" for n in names)
