"""What is in a folder of graded volumes, and what does not fit together in it, for check-data."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from medbundles.data.lists.brats import MODALITIES, BratsCase, brats_cases, check_cases
from medbundles.data.lists.graded_cases import find_graded_cases
from medbundles.data.problems import Problems
from medbundles.data.reading.files import identical_files, item_files, subfolders
from medbundles.data.reading.tables import read_table
from medbundles.errors import DataError

TABLE, DEFAULT_CLASSES = "cases.csv", ["LGG", "HGG"]


def graded_place(root: Path) -> Path | None:
    """What a training would get as dataset_dir: `root` or the table in it; None: another layout.

    Class folders are HGG and LGG (any case), or, whatever they are called, all folders of `root` if there are two or
    more and each holds folders of cases.
    """
    if (root / TABLE).is_file():
        return root / TABLE
    folders = subfolders(root)
    if {"hgg", "lgg"} <= {path.name.lower() for path in folders}:
        return root
    return root if len(folders) > 1 and all(_holds_cases(path) for path in folders) else None


class Graded(NamedTuple):
    """What is in a graded dataset: counts by name, the good cases, the settings of its training, and remarks."""

    counts: dict[str, int]
    items: list[dict]
    settings: dict[str, Any]
    notes: list[str]


def check_graded(place: Path, settings: Mapping[str, Any], problems: Problems) -> Graded:
    """Check a graded dataset as a training on all its modalities would.

    A modality that at least half of the cases have is expected of all.

    Args:
        place: a folder with a folder per class, or a table with the columns path,label[,patient].
        settings: of the training, as given: modality and class_names instead of those that are found.
        problems: gets what is wrong.
    """
    classes, cases = _from_table(place) if place.is_file() else _from_folders(place)
    held = Counter(modality for case in cases for modality in case.files)
    expected = [name for name in MODALITIES if held[name] and 2 * held[name] >= len(cases)]
    needed: dict[str, Any] = {"modality": expected if len(expected) > 1 else (expected or MODALITIES)[0]}
    needed |= {} if {"hgg", "lgg"} == {name.lower() for name in classes} else {"class_names": classes}
    needed |= {name: settings[name] for name in ("modality", "class_names") if name in settings}
    names = needed.get("class_names", DEFAULT_CLASSES)
    try:
        items, bad = find_graded_cases(place, needed["modality"], names)
    except DataError as error:
        problems.add(place, error)
        return Graded({"cases": len(cases)}, [], needed, [])
    problems.found += bad.found
    problems.doubts += bad.doubts
    counts = {f"{name} cases": sum(item["grade"] == name for item in items) for name in names}
    counts["patients"] = len({item["patient"] for item in items})
    counts |= {f"cases with {name}": held[name] for name in MODALITIES if held[name]}
    wrong = check_cases([case for case in cases if case.files], ()) if any(case.masks for case in cases) else Problems()
    told = f"of {len(wrong)} case(s) the labels are not right, which 'prepare brats2d' would need:\n{wrong.text()}"
    notes = [told] if wrong else []
    return Graded(counts | _copies(items), items, needed, notes)


def _holds_cases(folder: Path) -> bool:
    """Whether it is a folder of case folders (a case itself is not)."""
    return any(_cases(path) for path in subfolders(folder))


def _cases(folder: Path) -> list[BratsCase]:
    try:
        return brats_cases(folder)
    except DataError:
        return []  # find_graded_cases says what is wrong with it


def _from_folders(root: Path) -> tuple[list[str], list[BratsCase]]:
    """Class names and the cases that could be read."""
    folders = subfolders(root)
    graded = [path for path in folders if path.name.lower() in ("hgg", "lgg")]
    classes = graded if len(graded) > 1 else folders
    return [path.name for path in classes], [
        case for path in classes for below in subfolders(path) for case in _cases(below)
    ]


def _from_table(table: Path) -> tuple[list[str], list[BratsCase]]:
    """Class names and the cases that could be read; what is wrong with the table is said by `find_graded_cases`."""
    rows = read_table(table)
    classes = {row["label"].lower(): row["label"] for row in rows if row.get("label")}
    places = [table.parent / row.get("path", "") for row in rows]
    return sorted(classes.values()), [case for place in places if place.is_dir() for case in _cases(place)]


def _copies(items: Sequence[dict]) -> dict[str, int]:
    """Byte-identical files of two patients are counted: folds keep them together."""
    owner = {path: item for item in items for path in item_files(item, "image")}
    shared = sum(len({owner[path]["patient"] for path in group}) > 1 for group in identical_files(owner))
    return {"groups of copies under several patients (folds keep them together)": shared} if shared else {}
