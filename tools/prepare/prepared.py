"""What all prepare verbs share: reading their flags, writing slices, the split file and the summary."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medbundles.data import check_no_leak, class_folder_datalist, slice_datalist
from medbundles.data.lists.splits import PARTS
from medbundles.errors import DataError, MedbundlesError
from tools.staging import SPLIT_FILE

SLICES, PICTURES = ("train", "val", "test"), ("kaggle",)


def existing_folder(path: str) -> Path:
    """The folder, or a DataError."""
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"--input {path}: folder not found")
    return folder


def one_of(flag: str, value: str, allowed: Sequence[str]) -> str:
    """The value, or an error that lists the allowed ones."""
    if value not in allowed:
        raise MedbundlesError(f"--{flag} {value!r} is unknown; it is one of: {', '.join(allowed)}")
    return value


def progress(items: Iterable, what: str) -> Iterable:
    """The items with a progress bar on stderr."""
    from tqdm import tqdm

    return tqdm(items, desc=what, file=sys.stderr)


def write_slice(part: Path, patient: str, name: str, image: np.ndarray, mask: np.ndarray) -> None:
    """One slice in the prepared layout.

    Args:
        part: such as <out>/train.
        patient: its folder.
        name: file name without ending.
        image: uint8 (H, W) or (H, W, 3) becomes PNG; anything else must be (C, H, W) and becomes .npy.
        mask: uint8 (H, W).
    """
    for kind in ("images", "masks"):
        (part / kind / patient).mkdir(parents=True, exist_ok=True)
    if image.dtype == np.uint8:
        Image.fromarray(image).save(part / "images" / patient / f"{name}.png")
    else:
        np.save(part / "images" / patient / f"{name}.npy", image)
    Image.fromarray(mask).save(part / "masks" / patient / f"{name}.png")


def part_of(split: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Patient -> part."""
    return {patient: part for part, patients in split.items() for patient in patients}


def write_split(
    folder: Path,
    source: str,
    entries: Sequence[str],
    split: Mapping[str, Any],
    counts: Mapping[str, Mapping[str, int]],
    **about: Any,
) -> None:
    """Write split_<source>.json: who is where, how many, and how it was made.

    Args:
        folder: dataset folder.
        source: brats2d, lgg, yesno, synthetic.
        entries: what of the folder belongs to this source.
        split: part -> patients (or groups).
        counts: part -> numbers.
        **about: seed, ratios, source folder and the other flags.
    """
    name = SPLIT_FILE.format(source)
    content = {
        "source": source,
        **about,
        "command": " ".join(["python -m tools", *sys.argv[1:]]),
        "entries": [*entries, name],
        "counts": counts,
        "parts": split,
    }
    (folder / name).write_text(json.dumps(content, indent=2) + "\n")


def print_counts(counts: Mapping[str, Mapping[str, int]], where: str | Path) -> None:
    """The summary: one row per part and the sum."""
    columns = list(next(iter(counts.values())))
    print(f"{'part':<8}" + "".join(f"{column:>14}" for column in columns))
    for part, numbers in counts.items():
        print(f"{part:<8}" + "".join(f"{numbers[column]:>14}" for column in columns))
    print(f"{'sum':<8}" + "".join(f"{sum(n[column] for n in counts.values()):>14}" for column in columns))
    for part, numbers in counts.items():
        if not numbers[columns[0]]:
            print(f"note: {part} is empty, there are too few {columns[0]} for it")
    print(f"written to {where}")


def check_written(folder: Path, class_names: Sequence[str] = ()) -> None:
    """Read the lists back as a training would, and make sure that nothing is in two parts.

    Raises:
        DataError: copies of one picture under two patients, or anything that a training would refuse.
    """
    if class_names:
        there = [part for part in PARTS if (folder / part).is_dir()]
        check_no_leak({part: class_folder_datalist(folder / part, class_names) for part in there})
    else:
        check_no_leak({part: slice_datalist(folder / part) for part in PARTS if (folder / part).is_dir()})
