"""Datalist of volumes with a grade: one folder of cases per grade, or a CSV file."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from medbundles.data.lists.brats import BratsCase, brats_cases, modality_of, patient_of
from medbundles.data.lists.classes import class_folders, labelled_rows
from medbundles.data.lists.copies import of_one_class
from medbundles.data.lists.mask_names import masks_among
from medbundles.data.lists.modalities import wanted_modalities
from medbundles.data.lists.patients import warn_of_patients
from medbundles.data.problems import Problems
from medbundles.data.reading.case_files import check_case_files
from medbundles.data.reading.files import VOLUME_ENDINGS, is_image, is_volume, stem, subfolders
from medbundles.errors import DataError, first_few

logger = logging.getLogger("medbundles")

_LAYOUT = (
    "Wanted: <dataset_dir>/<grade>/<case>/<case>_flair.nii.gz (BraTS 2018: HGG and LGG), or a .csv with the columns "
    "path,label[,patient]. Try it with 'python -m tools sample-data --kind grades --out DIR'."
)


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
    problems.settle(dataset_dir, skip_bad_files)
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
    find = _from_table if folder.suffix.lower() == ".csv" else _from_folders
    found = sorted(find(folder, modalities, class_names, problems), key=attrgetter("name"))
    count, doubles = Counter(case.name for case in found), Problems()
    for case in found:
        if count[case.name] > 1:
            doubles.add(case.place, f"one of {count[case.name]} cases named {case.name}; names must be unique")
    doubles.settle(folder, advice="")
    items = []
    for case in found:
        missing = [name for name in modalities if name not in case.files]
        if missing:
            problems.add(case.place, f"case without {', '.join(missing)}; it has {', '.join(case.files) or 'none'}")
        elif check_case_files(paths := [case.files[name] for name in modalities], problems):
            label = list(class_names).index(case.grade)
            items.append(volume_item(case.name, paths, case.patient, label=label, grade=case.grade))
    items = of_one_class(items, class_names, problems)
    _warn_of_several_grades(items)
    warn_of_patients(items, "Add a column 'patient' to the table.")
    return items, problems


def volume_item(name: str, paths: Sequence[Path], patient: str, **more: Any) -> dict:
    """One entry of a datalist of volumes; see `graded_cases`."""
    image = [str(path) for path in paths]
    return {
        "image": image if len(image) > 1 else image[0],
        "name": name,
        "patient": patient,
        "source": "volumes",
    } | more


def _warn_of_several_grades(items: list[dict]) -> None:
    """It may be so: some gliomas progress."""
    grades = dict.fromkeys((item["patient"], item["grade"]) for item in items)
    several = [patient for patient, count in Counter(patient for patient, _ in grades).items() if count > 1]
    if several:
        logger.warning("patients with cases of several grades, is that right? %s", first_few(several))


def _from_folders(
    folder: Path, modalities: tuple[str, ...], class_names: Sequence[str], problems: Problems
) -> list[BratsCase]:
    """Cases of a folder per class; `grade` is the class."""
    found = []
    for name, class_folder in zip(class_names, class_folders(folder, class_names, _LAYOUT), strict=True):
        before = len(problems)
        cases = _cases_below(class_folder, modalities, problems)
        if not cases and len(problems) == before:
            raise DataError(f"{class_folder}: no case of {' and '.join(modalities)} in it. {_LAYOUT}")
        found += [replace(case, grade=name) for case in cases]
    return found


def _cases_below(class_folder: Path, modalities: tuple[str, ...], problems: Problems) -> list[BratsCase]:
    found = []
    for path in subfolders(class_folder):
        with problems.noted(path):
            found += brats_cases(path)
    lone = [p for p in sorted(class_folder.iterdir()) if p.is_file() and is_image(p) and is_volume(p)]
    masks = masks_among(map(stem, lone))
    for path in lone if len(modalities) == 1 else ():
        # by its name it may be another sequence
        if stem(path) not in masks and modality_of(path) in (None, *modalities):
            found.append(_of_volume(path, stem(path), modalities[0]))
    return found


def _of_volume(path: Path, name: str, modality: str) -> BratsCase:
    return BratsCase(name, patient_of(name), "", {modality: path})


def _from_table(
    table: Path, modalities: tuple[str, ...], class_names: Sequence[str], problems: Problems
) -> list[BratsCase]:
    """Cases of a table's rows; `grade` is the class."""
    found, grades = [], set()
    for name, path, label, patient in labelled_rows(table, class_names):
        grades.add(class_names[label])
        with problems.noted(path):
            case = _of_row(name, path, modalities)
            found.append(replace(case, grade=class_names[label], patient=patient or case.patient))
    missing = [name for name in class_names if name not in grades]
    if missing:
        raise DataError(
            f"{table}: no row has the class(es) {', '.join(missing)}; class_names wants: {', '.join(class_names)}"
        )
    return found


def _of_row(name: str, path: Path, modalities: tuple[str, ...]) -> BratsCase:
    if not path.exists():
        raise DataError(f"{path}: file or folder not found")
    if path.is_dir():
        cases = brats_cases(path)
        if len(cases) > 1:
            raise DataError(f"{path}: holds {len(cases)} cases ({cases[0].name} ...); a row names one case")
        return cases[0]
    if len(modalities) > 1:
        raise DataError(f"{path}: is one file; {len(modalities)} modalities ({', '.join(modalities)}) need a folder")
    if not is_volume(path):
        raise DataError(f"{path}: is no volume ({', '.join(VOLUME_ENDINGS)})")
    name = stem(path) if Path(name).is_absolute() else Path(name).with_name(stem(path)).as_posix()
    return _of_volume(path, name, modalities[0])
