"""Reads everything in a dataset and says what is wrong with it."""

from pathlib import Path
from typing import Any

import numpy as np

from medbundles.data import SeededDataset, read_image, read_volume
from medbundles.data.problems import Problems
from medbundles.data.reading.dicom import dicom_files
from medbundles.data.reading.files import (
    check_file,
    existing_folder,
    identical_files,
    is_image,
    is_volume,
    item_files,
    list_images,
    paths_of,
)
from medbundles.data.reading.images import LUMINANCE, Colour, read_labels
from medbundles.data.reading.label_maps import MOST
from medbundles.data.reading.nifti import read_header
from medbundles.errors import ConfigError, DataError, MedbundlesError, one_of
from medbundles.lines import typed
from medbundles.progress import progress
from medbundles.rules import AUTO

from .bundle import build, bundle_folder, check_settings, plain_errors
from .check_dicom import check_dicom
from .layouts import KAGGLE, Layout, labels_among, layout_of
from .prepare.pairs_masks import GRAY_MASKS

# Settings that raw data are checked by.
RAW_SETTINGS = {"in_channels", "colour_channel", "patient_pattern", "different_pictures"}
PACKAGE = "pip install"  # stands in each message about a package that is missing here
COLOURS = (AUTO, LUMINANCE, "1", "2", "3")


def check_data(folder: str, bundle: str = "", limit: int = 100, **settings: Any) -> dict[str, Any]:
    """Read every file of a dataset, pixels too, and list what is wrong: bad files, wrong pairs, leaks between sets.

    What a bundle trains on (a prepared dataset, volumes with a grade, folders of images) is checked by the bundle's own
    training, up to its first step, and the settings that this training needs are said. Raw data (BraTS, kaggle_3m, no/
    and yes/, images with masks) are checked as far as their prepare verb can be sure of. Anything else is refused, with
    what would be right. Of DICOM, on which no bundle trains, each series is read as an inference would.

    Args:
        folder: a dataset, DICOM, a folder of raw data, or a .csv with the columns path,label[,patient] of volumes.
        bundle: name of the bundle that is to train on it; empty: the one whose data are laid out so.
        limit: lines shown per list.
        **settings: any setting of the bundle, as its training gets it: --in_channels 3, --kaggle_dir False ...

    Returns:
        what was found, by name.

    Example:
        python -m tools check-data /data/brain2d --in_channels 3
    """
    root, problems = Path(folder), Problems(limit)
    dicom = dicom_files(root)[0] if root.exists() else []
    if len(dicom) > (others := len(list_images(root)) if root.is_dir() else 0):
        if others:
            problems.add(
                root, f"{others} other image(s) lie among {len(dicom)} DICOM files; an inference takes one kind"
            )
        return check_dicom(root, dicom, bundle, settings, problems)
    is_table = root.is_file() and root.suffix.lower() == ".csv"
    found = layout_of(root if is_table else existing_folder(folder), bundle, settings, problems)
    if found.bundle:
        check_settings(bundle_folder(found.bundle), settings)
        found.settings |= settings
        files = _as_trained(found, problems)
    else:
        foreign = settings.keys() - RAW_SETTINGS
        if foreign:
            raise ConfigError(f"--{min(foreign)}: nothing would use it, no bundle trains on {folder} as it is")
        colour = settings.get("colour_channel", LUMINANCE if found.name == KAGGLE else AUTO)
        one_of("--colour_channel", str(colour), COLOURS)
        files, gray = _as_they_are(root, settings.get("in_channels", 1), colour, problems)
        found.notes += [f"{gray} mask(s) are gray. {GRAY_MASKS}"] * bool(gray)
    if dicom:
        found.notes.append(f"{len(dicom)} DICOM files in it are left out: no bundle trains on them")
    if not files and not problems:
        raise DataError(f"{folder}: no image files in it")
    labels = labels_among(files, root)
    copies = identical_files(path for path in files if path not in labels)
    print(f"{folder}: layout {found.name}, {len(files)} files read")
    for name, count in found.counts.items():
        print(f"  {name}: {count}")
    if copies:
        print(f"  groups of byte-identical images: {len(copies)} (fine inside one set)")
    if problems.doubts:
        print(f"  doubtful headers: {len(problems.doubts)}\n{problems.text(problems.doubts)}")
    for note in found.notes:
        print(f"note: {note}")
    if problems:
        raise DataError(f"{len(problems)} problem(s):\n{problems.text()}")
    print("nothing else is wrong." if problems.doubts else "nothing is wrong.", _what_next(found))
    training = {"bundle": found.bundle, "config": found.files, "settings": found.settings}
    return {"layout": found.name, **training, "files": len(files), "copies": len(copies), **found.counts}


def _what_next(found: Layout) -> str:
    if not found.bundle:
        return f"No bundle trains on these as they are; first: python -m tools {found.verb} --input DIR --out DIR"
    configs = [f"configs/{name}.json" for name in found.files]
    file = configs[0] if len(configs) == 1 else typed(f"[{','.join(map(repr, configs))}]")
    settings = found.settings | {"dataset_dir": Path(found.settings["dataset_dir"]).absolute()}
    shown = " ".join(f"--{name} {_word(value)}" for name, value in settings.items())
    return (
        f"{found.bundle} trains on them, in that bundle's folder:\n"
        f"  python -m monai.bundle run --config_file {file} {shown}"
    )


def _word(value: Any) -> str:
    return f'"{value}"' if isinstance(value, (list, tuple)) else typed(value)


def _as_trained(found: Layout, problems: Problems) -> list[Path]:
    """Make the training's lists and read what it would read; returns the files.

    What does not fit together was noted before; where all does, the training has the last word. What its preflight
    refuses besides counts as well, save that a package is missing here, which becomes a note.
    """
    folder, refused = bundle_folder(found.bundle), ""
    try:
        build(folder, found.files, "train", found.settings)
    except MedbundlesError as error:
        refused = str(error)
    try:
        with plain_errors():
            parser = build(folder, found.files, None, found.settings)
            if not problems:
                data = parser.get_parsed_content("data")
                all_parts = data if isinstance(data, dict) else {part: data[part] for part in ("train", "val")}
                found.parts = {**all_parts, **found.parts}
            transform = parser.get_parsed_content("validate#preprocessing")
    except MedbundlesError as error:
        other = "\n".join(line for line in refused.splitlines() if PACKAGE not in line)
        problems.add(found.settings["dataset_dir"], other or error)
        return []
    for line in refused.splitlines() if not problems.found else ():
        if PACKAGE in line:
            found.notes.append(f"the training does not start yet: {line}")
        else:
            problems.add(folder.name, line)
    items = {tuple(item_files(item, "image", "mask")): item for some in found.parts.values() for item in some}
    dataset = SeededDataset(list(items.values()), transform, cache="none")
    dataset.advice = ""
    validating = {paths_of(item["image"])[0] for item in found.parts.get("val", ())}
    classes = set[int]()
    for item in progress(dataset.data, "images"):
        first = paths_of(item["image"])[0]
        with problems.noted(first):
            content = dataset.read(item)
            classes |= {int(content["label"])} if first in validating and "label" in content else set()
    if len(classes) == 1 and (more := {k: v for k, v in found.one_class.items() if k not in found.settings}):
        found.settings |= more
        found.notes.append("all of val is of one class, by which no epoch is better than another: follow the masks")
    files = sorted({Path(path) for paths in items for path in paths})
    for path in filter(is_volume, files):
        with problems.noted(path):
            problems.doubt(read_header(path, None)[1])
    return files


def _as_they_are(root: Path, channels: int, colour: Colour, problems: Problems) -> tuple[list[Path], int]:
    """Read all images, and git-lfs pointers whatever they are called; returns them, and how many masks are gray."""
    others = [path for path in root.rglob("*") if path.is_file() and not is_image(path) and _is_pointer(path)]
    files, known = sorted([*list_images(root), *others]), {path for path, _ in problems.found}
    labels, gray = labels_among(files, root), 0
    for path in progress(files, "files"):
        noted = Problems() if str(path) in known else problems  # each file stands once in the list
        with noted.noted(path):
            if is_volume(path):
                _read_volume(path, path in labels, noted)
            elif path in labels:
                gray += len(np.unique(read_labels(path))) > MOST
            else:
                read_image(path, channels, colour=colour)
    return files, gray


def _is_pointer(path: Path) -> bool:
    try:
        check_file(path)
    except DataError as error:
        return "git-lfs" in str(error)
    return False


def _read_volume(path: Path, label: bool, problems: Problems) -> None:
    volume, info = read_volume(path, allow_constant=label)
    problems.doubt(info)
    if label and not np.array_equal(volume, np.rint(volume)):
        raise DataError(f"{path}: labels must be whole numbers")
