"""Reads everything in a dataset and says what is wrong with it."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.data import checked_parts, read_image, read_mask, read_volume
from medbundles.data.lists.brats import brats_cases, check_cases
from medbundles.data.lists.class_folders import find_class_images
from medbundles.data.lists.slices import find_slices
from medbundles.data.lists.splits import PARTS
from medbundles.data.problems import Problems
from medbundles.data.reading.files import (
    check_file,
    existing_folder,
    identical_files,
    is_image,
    is_volume,
    list_images,
    subfolders,
)
from medbundles.data.reading.images import LUMINANCE
from medbundles.errors import DataError, one_of
from medbundles.progress import progress
from tools.graded_layout import check_graded, graded_place
from tools.prepare.lgg_files import lgg_slices

_LABEL_WORDS = ("mask", "seg", "label", "multiclass")


def check_data(
    folder: str,
    channels: int = 1,
    classes: int = 1,
    colour_channel: str = "auto",
    different_pictures: str = "",
    limit: int = 100,
) -> dict[str, Any]:
    """Read every file of a dataset, pixels too, and list what is wrong: bad files, wrong pairs, leaks between sets.

    A prepared dataset (train, val, test, kaggle) is checked as a training would see it; so are volumes with a grade
    (class folders of cases, or a table), BraTS, kaggle_3m and class folders. In any other folder each image is read on
    its own.

    Args:
        folder: a prepared dataset, a folder of raw data, or a .csv with the columns path,label[,patient] of volumes.
        channels: channels that the images must give (in_channels); only for prepared datasets.
        classes: segmentation channels that the masks must fit (seg_out_channels).
        colour_channel: what one channel is of a picture with three (luminance, 1, 2 or 3), as training has it; auto:
            pictures whose channels differ are listed, save those of kaggle_3m.
        different_pictures: CSV file with the columns first and second: names of pictures that look alike and are
            different ones; only for prepared datasets.
        limit: lines shown per list.

    Returns:
        what was found, by name.

    Example:
        python -m tools check-data /data/brain2d --channels 1
    """
    one_of("--colour_channel", str(colour_channel), ("auto", "luminance", "1", "2", "3"))
    root, problems = Path(folder), Problems(limit)
    if root.is_file() and root.suffix.lower() == ".csv":
        layout = "graded cases"
        counts, files = check_graded(root, problems)
        root = root.parent
    else:
        layout, counts = _structure(existing_folder(folder), problems, channels, different_pictures)
        files = _every_file(root)
    if not files and not problems:
        raise DataError(f"{folder}: no image files in it")
    known = {path for path, _ in problems.found}
    for path in progress(files, "files"):
        noted = Problems() if str(path) in known else problems  # each file stands once in the list
        with noted.noted(path):
            if _is_label(path, root):
                _read_label(path, layout, classes, problems)
            elif is_volume(path) and layout != "prepared":
                problems.doubt(read_volume(path)[1])
            else:
                colour = LUMINANCE if layout == "kaggle_3m" else colour_channel
                read_image(path, channels if layout == "prepared" else 1, colour=colour)
    copies = identical_files(path for path in files if not _is_label(path, root))
    print(f"{folder}: layout {layout}, {len(files)} files read")
    for name, count in counts.items():
        print(f"  {name}: {count}")
    if copies:
        print(f"  groups of byte-identical images: {len(copies)} (fine inside one set)")
    if problems.doubts:
        print(f"  doubtful headers: {len(problems.doubts)}\n{problems.text(problems.doubts)}")
    if problems:
        raise DataError(f"{len(problems)} problem(s):\n{problems.text()}")
    print("nothing else is wrong" if problems.doubts else "nothing is wrong")
    return {"layout": layout, "files": len(files), "copies": len(copies), **counts}


def _structure(root: Path, problems: Problems, channels: int, different: str) -> tuple[str, dict[str, int]]:
    """Name of the layout and counts; what does not fit together goes to `problems`."""
    if any((root / part / "images").is_dir() for part in PARTS) or (root / "kaggle").is_dir():
        return "prepared", _prepared(root, problems, channels, different)
    place = graded_place(root)
    if place is not None:
        return "graded cases", check_graded(place, problems)[0]
    with suppress(DataError):  # another layout
        cases = brats_cases(root)
        problems.found += check_cases(cases, ()).found
        return "brats", {"cases": len(cases), "patients": len({case.patient for case in cases})}
    with suppress(DataError):  # another layout
        slices, unpaired = lgg_slices(root)
        problems.found += unpaired.found
        return "kaggle_3m", {"patients": len({item.patient for item in slices}), "slices": len(slices)}
    folders = subfolders(root)
    if {"yes", "no"} == {path.name.lower() for path in folders}:
        pictures = _listed(find_class_images, problems, root, [path.name for path in folders])
        with problems.noted(root):
            checked_parts(channels=channels, different_pictures=different or None, all=pictures)
        return "class folders", {path.name: len(list_images(path)) for path in folders}
    return "unknown", {}


def _prepared(root: Path, problems: Problems, channels: int, different: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    slices: dict[str, list[dict]] = {}
    pictures: dict[str, list[dict]] = {}
    for part in PARTS:
        if (root / part).is_dir():
            slices[part] = _listed(find_slices, problems, root / part)
            counts[f"{part} patients"] = len({item["patient"] for item in slices[part]})
            counts[f"{part} slices"] = len(slices[part])
        if (root / "kaggle" / part).is_dir():
            names = [path.name for path in subfolders(root / "kaggle" / part)]
            pictures[part] = _listed(find_class_images, problems, root / "kaggle" / part, names)
            counts[f"{part} pictures"] = len(pictures[part])
    both: dict[str, Any] = {part: [*slices.get(part, []), *pictures.get(part, [])] for part in {**slices, **pictures}}
    with problems.noted(root):
        found = checked_parts(channels=channels, different_pictures=different or None, **both)
        counts["pairs of near-identical pictures inside a set"] = len(found.pairs)
    return counts


def _listed(find: Callable[..., tuple[list[dict], Problems]], problems: Problems, folder: Path, *more: Any) -> list:
    """The good items; what is wrong with the others goes to `problems`."""
    with problems.noted(folder):
        items, bad = find(folder, *more)
        problems.found += bad.found
        return items
    return []


def _every_file(root: Path) -> list[Path]:
    """Images, and git-lfs pointers whatever they are called."""
    others = [path for path in root.rglob("*") if path.is_file() and not is_image(path) and _is_pointer(path)]
    return sorted([*list_images(root), *others])


def _is_pointer(path: Path) -> bool:
    try:
        check_file(path)
    except DataError as error:
        return "git-lfs" in str(error)
    return False


def _is_label(path: Path, root: Path) -> bool:
    """Whether it looks like a mask, by its name: masks may be constant, and empty ones are all the same."""
    place = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
    if "images" in place.parts:
        return False
    return any(word in str(place).lower() for word in _LABEL_WORDS)


def _read_label(path: Path, layout: str, classes: int, problems: Problems) -> None:
    if not is_volume(path) or layout == "prepared":
        read_mask(path, classes)
        return
    volume, info = read_volume(path, allow_constant=True)
    problems.doubt(info)
    if not np.array_equal(volume, np.rint(volume)):
        raise DataError(f"{path}: labels must be whole numbers")
