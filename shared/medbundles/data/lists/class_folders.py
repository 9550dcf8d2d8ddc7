"""Datalist of images whose only label is a class: one folder per class, or a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from medbundles.data.problems import Problems
from medbundles.data.reading.files import IMAGE_ENDINGS, check_file, content_id, identical_files, list_images
from medbundles.data.reading.images import check_header
from medbundles.errors import DataError

_HOW = "Make one with 'python -m tools prepare yesno --input DIR --out DIR' or 'python -m tools sample-data --out DIR'"
_ADVICE = "Mend or remove them, or leave them out with --skip_bad_files True."


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
        name "<class>/<file>". Byte-identical files share their patient; where no patient is known, each other image
        is one of its own.

    Raises:
        DataError: the folder or a class in it is missing or empty, or bad files, all listed.
    """
    if folder is None or folder is False:
        return []
    items, problems = find_class_images(folder, class_names)
    problems.settle(folder, skip_bad_files, _ADVICE)
    if not items:
        raise DataError(f"{folder}: no usable image is left")
    return items


def find_class_images(folder: str | Path, class_names: Sequence[str]) -> tuple[list[dict], Problems]:
    """The good items of `class_folder_datalist`, and what is wrong with the others.

    Raises:
        DataError: the folder or a class in it is missing or empty.
    """
    folder = Path(folder)
    find = labelled_rows if folder.suffix.lower() == ".csv" else _from_folders
    found = find(folder, class_names)
    problems, good = Problems(), []
    for name, path, label, patient in sorted(found):
        try:
            check_header(path)
            good.append((name, path, label, patient))
        except DataError as error:
            problems.add(path, error)
    return _items(good), problems


def _items(found: list[tuple[str, Path, int, str]]) -> list[dict]:
    # A content hash, not a name, so that copies have one patient in whatever folder they lie.
    twins: dict[str, str] = {}
    for group in identical_files(path for _, path, _, patient in found if not patient):
        twins.update(dict.fromkeys(group, content_id(group[0])))
    return [
        {
            "image": str(path),
            "mask": "",
            "label": label,
            "has_mask": False,
            "patient": patient or twins.get(str(path), name),
            "source": "images",
            "name": name,
        }
        for name, path, label, patient in found
    ]


def _from_folders(folder: Path, class_names: Sequence[str]) -> list[tuple[str, Path, int, str]]:
    if not folder.is_dir():
        raise DataError(f"{folder}: folder not found. {_HOW}")
    there = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    missing = [name for name in class_names if name.lower() not in there]
    if missing:
        raise DataError(
            f"{folder}: no folder for the class(es) {', '.join(missing)}; "
            f"wanted: {', '.join(class_names)}, found: {', '.join(p.name for p in there.values()) or 'none'}. {_HOW}"
        )
    found = []
    for label, name in enumerate(class_names):
        class_folder = there[name.lower()]
        images = list_images(class_folder)
        if not images:
            raise DataError(f"{class_folder}: no images in it ({', '.join(IMAGE_ENDINGS)})")
        found += [(f"{name}/{path.relative_to(class_folder).as_posix()}", path, label, "") for path in images]
    return found


def labelled_rows(table: Path, class_names: Sequence[str]) -> list[tuple[str, Path, int, str]]:
    """Rows of a CSV with the columns path,label[,patient] as (path as written, path, label, patient or "").

    Raises:
        DataError: no text, missing columns, no rows, or rows without a path, with unknown labels or a path that was
            there before, all listed.
    """
    check_file(table)
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            columns, rows = reader.fieldnames or [], list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: cannot be read as a CSV ({error}); save it as CSV in UTF-8") from error
    if not {"path", "label"} <= set(columns):
        raise DataError(f"{table}: needs the columns path,label[,patient], it has {', '.join(columns)}")
    if not rows:
        raise DataError(f"{table}: has no rows")
    labels = {name.lower(): label for label, name in enumerate(class_names)}
    labels.update({str(label): label for label in range(len(class_names)) if str(label) not in labels})
    problems, found, seen = Problems(), [], set()
    for row in rows:
        name, text = (row["path"] or "").strip(), (row["label"] or "").strip().lower()
        if not name:
            problems.add("a row", f"has no path (label {row['label']!r})")
        elif text not in labels:
            problems.add(name, f"label {row['label']!r} is none of {', '.join(class_names)}")
        elif name in seen:
            problems.add(name, "is listed twice")
        else:
            found.append((name, table.parent / name, labels[text], (row.get("patient") or "").strip()))
        seen.add(name)
    problems.settle(table, skip=False)
    return found
