"""Datalists of plain images in folders, such as edente/ and dente/, shared among training, validation and test."""

import re
from collections.abc import Sequence
from pathlib import Path

from medbundles.data.lists.copies import copies
from medbundles.data.lists.splits import check_no_leak, split_by_patient
from medbundles.data.problems import Problems
from medbundles.data.reading.case_files import check_case_files
from medbundles.data.reading.files import existing_folder, is_volume, list_images, name_below
from medbundles.data.reading.images import check_header
from medbundles.errors import ConfigError, DataError, in_range, refuse
from medbundles.rules import EVERYWHERE, Rule, has_rules

BOTH = ("edente", "dente")


def _usable_pattern(pattern: str | None) -> str | None:
    if pattern:
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            return f"patient_pattern: {pattern!r} is no regular expression ({error})."
        if groups != 1:
            return f"patient_pattern: {pattern!r} has {groups} groups; one in brackets is wanted, the patient."
    return None


@has_rules(Rule(("patient_pattern",), _usable_pattern, EVERYWHERE))
def image_parts(
    dataset_dir: str | Path,
    data_source: str | Sequence[str] = "edente",
    spatial_dims: int = 2,
    channels: int = 1,
    train_split: float = 0.9,
    test_split: float = 0.0,
    val_dir: str | Path | None = None,
    test_dir: str | Path | None = None,
    patient_pattern: str | None = None,
    seed: int = 42,
    skip_bad_files: bool = False,
) -> dict[str, list[dict]]:
    """Training, validation and test set of the images in `dataset_dir`; no patient is in two of them.

    The test set is taken first, so another train_split leaves it as it is. Byte-identical images are one patient's.

    Args:
        dataset_dir: holds a folder for each source.
        data_source: "edente", "dente", "both", or any folder's name or list of such.
        spatial_dims: 2 (pictures) or 3 (NIfTI volumes).
        channels: C that pictures must give.
        train_split: share of the images that are left by the test set; the others validate.
        test_split: share of all images that no training sees; 0: none.
        val_dir: folder that validates instead; train_split then does nothing.
        test_dir: folder that is the test set instead of test_split.
        patient_pattern: regular expression with one group, the patient, found in a file's name; None: each file is a
            patient of its own.
        seed: seed of the split.
        skip_bad_files: leave out what is bad and log it, instead of an error.

    Returns:
        "train", "val", "test" -> one dict per image, sorted by name: image (path), patient, source (the folder's
        name), name "<folder>/<file>".

    Raises:
        ConfigError: a share outside 0 to 1, an empty data_source or an unusable pattern.
        DataError: a folder is missing or empty, bad files (all listed), or a patient in two sets.
    """
    in_range("train_split", train_split, above=0, maximum=1)
    in_range("test_split", test_split, minimum=0, below=1)
    refuse([_usable_pattern(patient_pattern)])
    folders = BOTH if data_source == "both" else (data_source,) if isinstance(data_source, str) else tuple(data_source)
    if not folders or not all(folders):
        raise ConfigError("data_source: names no folder; use edente, dente, both, or a list of folders' names.")
    more = (spatial_dims, channels, patient_pattern, skip_bad_files)
    items = [item for folder in folders for item in _images(Path(dataset_dir) / folder, *more)]
    val, test = (_images(Path(folder), *more) if folder else [] for folder in (val_dir, test_dir))
    of_test, of_val = 0.0 if test_dir else test_split, 0.0 if val_dir else 1 - train_split
    parts = _shared_out(items, of_test, of_val, seed)
    parts = {"train": parts["train"], "val": val or parts["val"], "test": test or parts["test"]}
    for part in ("train", "val"):
        if not parts[part]:
            raise DataError(f"{dataset_dir}: of {len(items)} image(s) none is left for {part}; change train_split.")
    check_no_leak(parts)
    return parts


def _shared_out(items: list[dict], of_test: float, of_val: float, seed: int) -> dict[str, list[dict]]:
    """The sets of the items; the shares are of all, and of what the test set leaves."""
    first = {item["patient"]: item["patient"] for item in items}  # patient -> the first one that has the same image
    for group in copies(items):
        heads = {first[item["patient"]] for item in group.values()}
        first |= {patient: min(heads) for patient, head in first.items() if head in heads}
    everyone = {first[item["patient"]]: item["source"] for item in items}
    tested = set(split_by_patient(everyone, {"rest": 1 - of_test, "test": of_test}, seed)["test"])
    rest = {patient: source for patient, source in everyone.items() if patient not in tested}
    validating = set(split_by_patient(rest, {"train": 1 - of_val, "val": of_val}, seed)["val"])
    parts: dict[str, list[dict]] = {"train": [], "val": [], "test": []}
    for item in items:
        home = first[item["patient"]]
        parts["test" if home in tested else "val" if home in validating else "train"].append(item)
    return parts


def _images(folder: Path, dims: int, channels: int, pattern: str | None, skip_bad_files: bool) -> list[dict]:
    """The items of one folder, sorted by name."""
    existing_folder(folder, "Give another --dataset_dir, or the names of its folders as --data_source.")
    paths = [path for path in list_images(folder) if dims == 2 or is_volume(path)]
    if not paths:
        raise DataError(f"{folder}: no {'images' if dims == 2 else 'volumes (NIfTI)'} in it")
    problems, items = Problems(), []
    for path in paths:
        name = f"{folder.name}/{name_below(path, folder)}"
        with problems.noted(path):
            if dims == 2:
                check_header(path, channels)
            elif not check_case_files([path], problems):
                continue
            patient = _patient(path, pattern) if pattern else name
            items.append({"image": str(path), "name": name, "patient": patient, "source": folder.name})
    return problems.good(items, folder, skip_bad_files)


def _patient(path: Path, pattern: str) -> str:
    found = re.search(pattern, path.name)
    if not found:
        raise DataError(f"{path}: patient_pattern {pattern!r} finds no patient in its name")
    return found[1]
