"""Datalist of images whose only label is a class: one folder per class, or a CSV file."""

from collections.abc import Sequence
from pathlib import Path

from medbundles.data.lists.classes import class_folders, labelled_rows
from medbundles.data.lists.slices import slice_item
from medbundles.data.problems import Problems
from medbundles.data.reading.files import IMAGE_ENDINGS, list_images
from medbundles.data.reading.images import check_header
from medbundles.errors import DataError

_HOW = "Make one with 'python -m tools prepare yesno --input DIR --out DIR' or 'python -m tools sample-data --out DIR'"


def class_folder_datalist(
    folder: str | Path | None, class_names: Sequence[str], *, skip_bad_files: bool = False
) -> list[dict]:
    """Images in `folder`/<class name>/, or of a CSV file with the columns path, label and, if known, patient.

    Args:
        folder: folder with a folder per class (any case), or a .csv file (paths relative to it; label: class name or
            index); None or False: no such images.
        class_names: the label is the index in this list.
        skip_bad_files: leave out what is bad and log it, instead of an error.

    Returns:
        One dict per image, sorted by name: image (path), mask "", label, has_mask False, patient, source "images",
        name "<class>/<file>". Where no patient is known, each image is one of its own; `checked_parts` joins copies.

    Raises:
        DataError: the folder or a class in it is missing or empty, or bad files, all listed.
    """
    if folder is None or folder is False:
        return []
    items, problems = find_class_images(folder, class_names)
    return problems.good(items, folder, skip_bad_files)


def find_class_images(folder: str | Path, class_names: Sequence[str]) -> tuple[list[dict], Problems]:
    """The good items of `class_folder_datalist`, and what is wrong with the others.

    Raises:
        DataError: the folder or a class in it is missing or empty.
    """
    folder = Path(folder)
    find = labelled_rows if folder.suffix.lower() == ".csv" else _from_folders
    found = find(folder, class_names)
    problems, good = Problems(), []
    for row in sorted(found):
        with problems.noted(row[1]):
            check_header(row[1])
            good.append(row)
    items = [
        slice_item(name, path, label=label, patient=patient or name, source="images")
        for name, path, label, patient in good
    ]
    return items, problems


def _from_folders(folder: Path, class_names: Sequence[str]) -> list[tuple[str, Path, int, str]]:
    found = []
    for label, class_folder in enumerate(class_folders(folder, class_names, _HOW)):
        images = list_images(class_folder)
        if not images:
            raise DataError(f"{class_folder}: no images in it ({', '.join(IMAGE_ENDINGS)})")
        found += [
            (f"{class_names[label]}/{path.relative_to(class_folder).as_posix()}", path, label, "") for path in images
        ]
    return found
