"""Datalist of volumes with a grade: one folder of cases per grade, or a CSV file."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medbundles.data.lists.brats import BratsCase, brats_cases, modality_of, patient_of
from medbundles.data.lists.class_folders import labelled_rows
from medbundles.data.lists.modalities import wanted_modalities
from medbundles.data.problems import Problems
from medbundles.data.reading.case_files import check_case_files
from medbundles.data.reading.files import VOLUME_ENDINGS, identical_files, is_image, item_files, stem
from medbundles.errors import DataError

logger = logging.getLogger("medbundles")

_LAYOUT = (
    "Wanted: <dataset_dir>/<grade>/<case>/<case>_flair.nii.gz (BraTS 2018: HGG and LGG), or a .csv with the columns "
    "path,label[,patient]. Try it with 'python -m tools sample-data --kind grades --out DIR'."
)
_ADVICE = "Mend or remove them, or leave them out with --skip_bad_files True."
_MASK_WORDS = ("_seg", "-seg", "mask", "label", "multiclass")


@dataclass(frozen=True)
class _Found:
    """A case before its files are checked."""

    name: str
    patient: str
    label: int
    place: Path
    files: dict[str, Path] = field(default_factory=dict)


def graded_cases(
    dataset_dir: str | Path,
    modality: str | Sequence[str],
    class_names: Sequence[str],
    *,
    skip_bad_files: bool = False,
) -> list[dict]:
    """Cases of a folder with one folder per class, or of a CSV file; the headers of all files are checked at once.

    Args:
        dataset_dir: folder with a folder per class name (any case), each with folders of cases (`brats_cases`) or, for
            one modality, with volumes <case>.nii[.gz]. Or a .csv with the columns path (relative to it; a case's
            folder or, for one modality, a volume), label (class name in any case, or index) and, if known, patient.
        modality: see `wanted_modalities`; several become channels in this order.
        class_names: the label is the index in this list.
        skip_bad_files: leave out what is bad and log it, instead of an error.

    Returns:
        One dict per case, sorted by name: image (path, or list of paths for several modalities), label, patient,
        source "volumes", name (unique), grade (class name). Without a known patient, the case's name is the patient.

    Raises:
        ConfigError: `modality`.
        DataError: the folder or a class in it is missing or empty, two cases of one name, or bad files, all listed;
            bad is also what is byte-identical to a case of another class.
    """
    items, problems = find_graded_cases(dataset_dir, modality, class_names)
    problems.settle(dataset_dir, skip_bad_files, _ADVICE)
    for label, name in enumerate(class_names):
        if not any(item["label"] == label for item in items):
            raise DataError(f"{dataset_dir}: no usable case of the class {name} is left")
    return items


def find_graded_cases(
    dataset_dir: str | Path, modality: str | Sequence[str], class_names: Sequence[str]
) -> tuple[list[dict], Problems]:
    """The good items of `graded_cases`, and what is wrong with the others.

    Raises:
        ConfigError: `modality`.
        DataError: the folder or a class in it is missing or empty, or two cases have one name.
    """
    modalities, folder, problems = wanted_modalities(modality), Path(dataset_dir), Problems()
    if folder.suffix.lower() == ".csv":
        found = _from_csv(folder, modalities, class_names, problems)
    else:
        found = _from_folders(folder, modalities, class_names, problems)
    _check_names(folder, found)
    items = []
    for case in sorted(found, key=_name):
        missing = [name for name in modalities if name not in case.files]
        if missing:
            problems.add(case.place, f"case without {', '.join(missing)}; it has {', '.join(case.files) or 'none'}")
        elif check_case_files([case.files[name] for name in modalities], problems):
            items.append(_item(case, modalities, class_names))
    return _of_one_grade(items, problems), problems


def _name(case: _Found) -> str:
    return case.name


def _item(case: _Found, modalities: tuple[str, ...], class_names: Sequence[str]) -> dict:
    paths = [str(case.files[name]) for name in modalities]
    return {
        "image": paths if len(paths) > 1 else paths[0],
        "label": case.label,
        "patient": case.patient,
        "source": "volumes",
        "name": case.name,
        "grade": class_names[case.label],
    }


def _of_one_grade(items: list[dict], problems: Problems) -> list[dict]:
    """The items without those whose image has another grade elsewhere: one of the two is wrong."""
    owner = {path: item for item in items for path in item_files(item, "image")}
    doubtful = set()
    for group in identical_files(owner):
        grades = {owner[path]["grade"] for path in group}
        for path in group if len(grades) > 1 else []:
            grade = owner[path]["grade"]
            others = [f"{other} ({owner[other]['grade']})" for other in group if owner[other]["grade"] != grade]
            problems.add(path, f"is {grade}, but byte-identical to {', '.join(others)}; one of the grades is wrong")
            doubtful.add(owner[path]["name"])
    good = [item for item in items if item["name"] not in doubtful]
    grades_of: dict[str, set[str]] = {}
    for item in good:
        grades_of.setdefault(item["patient"], set()).add(item["grade"])
    several = [patient for patient, grades in grades_of.items() if len(grades) > 1]
    if several:  # may be so: some gliomas progress
        logger.warning("patients with cases of several grades, is that right? %s", ", ".join(several[:8]))
    return good


def _check_names(folder: Path, found: Sequence[_Found]) -> None:
    problems, count = Problems(), Counter(case.name for case in found)
    for case in sorted(found, key=_name):
        if count[case.name] > 1:
            problems.add(case.place, f"one of {count[case.name]} cases named {case.name}; names must be unique")
    problems.settle(folder, skip=False)


# --- a folder per class


def _from_folders(
    folder: Path, modalities: tuple[str, ...], class_names: Sequence[str], problems: Problems
) -> list[_Found]:
    if not folder.is_dir():
        raise DataError(f"{folder}: folder not found. {_LAYOUT}")
    there = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    homes = {name: [path for path in there if path.name.lower() == name.lower()] for name in class_names}
    missing = [name for name, paths in homes.items() if not paths]
    if missing:
        shown = ", ".join(path.name for path in there[:8]) + (" ..." if len(there) > 8 else "")
        raise DataError(
            f"{folder}: no folder for the class(es) {', '.join(missing)}; class_names wants: "
            f"{', '.join(class_names)}, found: {shown or 'no folders'}. {_LAYOUT}"
        )
    found = []
    for label, name in enumerate(class_names):
        if len(homes[name]) > 1:
            raise DataError(f"{folder}: has two folders for the class {name}: {', '.join(p.name for p in homes[name])}")
        class_folder = homes[name][0]
        before = len(problems)
        cases = _cases_below(class_folder, modalities, label, problems)
        if not cases and len(problems) == before:
            raise DataError(f"{class_folder}: no case of {' and '.join(modalities)} in it. {_LAYOUT}")
        found += cases
    others = [path.name for path in there if path not in [paths[0] for paths in homes.values()]]
    if others:
        logger.warning("%s: the folder(s) %s belong to no class and are not used", folder, ", ".join(others[:8]))
    return found


def _cases_below(class_folder: Path, modalities: tuple[str, ...], label: int, problems: Problems) -> list[_Found]:
    found = []
    for path in sorted(class_folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            try:
                found += [_of_brats(case, label, path) for case in brats_cases(path)]
            except DataError as error:
                problems.add(path, error)
        elif len(modalities) == 1 and _is_volume(path, modalities[0]):
            found.append(_of_volume(path, stem(path), "", label, modalities[0]))
    return found


def _of_brats(case: BratsCase, label: int, place: Path) -> _Found:
    files = [*case.files.values(), *([case.seg] if case.seg else [])]
    return _Found(case.name, case.patient, label, files[0].parent if files else place, case.files)


def _of_volume(path: Path, name: str, patient: str, label: int, modality: str) -> _Found:
    return _Found(name, patient or patient_of(name), label, path, {modality: path})


def _is_volume(path: Path, modality: str) -> bool:
    """Whether a lone file can be a case: a volume that is no mask and not, by its name, another modality."""
    name = path.name.lower()
    if not (is_image(path) and name.endswith(VOLUME_ENDINGS)) or any(word in name for word in _MASK_WORDS):
        return False
    return modality_of(path) in (None, modality)


# --- a CSV file


def _from_csv(table: Path, modalities: tuple[str, ...], class_names: Sequence[str], problems: Problems) -> list[_Found]:
    found, labels = [], set()
    for name, path, label, patient in labelled_rows(table, class_names):
        labels.add(label)
        try:
            found.append(_of_row(name, path, label, patient, modalities))
        except DataError as error:
            problems.add(path, error)
    missing = [name for label, name in enumerate(class_names) if label not in labels]
    if missing:
        raise DataError(
            f"{table}: no row has the class(es) {', '.join(missing)}; class_names wants: {', '.join(class_names)}"
        )
    return found


def _of_row(name: str, path: Path, label: int, patient: str, modalities: tuple[str, ...]) -> _Found:
    if not path.exists():
        raise DataError(f"{path}: file or folder not found")
    if path.is_dir():
        cases = brats_cases(path)
        if len(cases) > 1:
            raise DataError(f"{path}: holds {len(cases)} cases ({cases[0].name} ...); a row names one case")
        found = _of_brats(cases[0], label, path)
        return _Found(found.name, patient or found.patient, label, found.place, found.files)
    if len(modalities) > 1:
        raise DataError(f"{path}: is one file; {len(modalities)} modalities ({', '.join(modalities)}) need a folder")
    if not path.name.lower().endswith(VOLUME_ENDINGS):
        raise DataError(f"{path}: is no volume ({', '.join(VOLUME_ENDINGS)})")
    bare = stem(path) if Path(name).is_absolute() else Path(name).with_name(stem(path)).as_posix()
    return _of_volume(path, bare, patient, label, modalities[0])
