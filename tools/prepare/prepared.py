"""What all prepare verbs share: a dataset is written part by part, counted, read back, and its split is noted."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medbundles.data import Problems, check_no_leak, slice_datalist
from medbundles.errors import ConfigError

from ..staging import SPLIT_FILE, staged

SLICES, PICTURES = ("train", "val", "test"), ("kaggle",)


class Dataset:
    """A dataset while it is written.

    Args:
        folder: its parts are folders in it.
        split: part -> patients (or groups of copies).
        columns: what is counted; the first column is the patients, of whom only those count that have something.

    Attributes:
        entries: names that the split file claims as written by the verb.
        counts: part -> column -> number.
        members: part -> patient -> the names of what belongs to the patient, where `add` was given any.
    """

    def __init__(
        self, folder: Path, entries: Sequence[str], split: Mapping[str, Iterable[str]], columns: Sequence[str]
    ):
        self.folder, self.entries, self.columns = folder, entries, columns
        self.home = {patient: part for part, patients in split.items() for patient in patients}
        self.counts = {part: dict.fromkeys(columns, 0) for part in split}
        self.members: dict[str, dict[str, list[str]]] = {part: {} for part in split}

    def add(self, patient: str, *names: str, **numbers: int) -> None:
        """Count what was written for a patient.

        Args:
            patient: one of the split.
            names: for the split file, instead of the patient.
            numbers: column -> how many more.
        """
        part = self.home[patient]
        self.members[part].setdefault(patient, []).extend(names)
        self.counts[part][self.columns[0]] = len(self.members[part])
        for column, number in numbers.items():
            self.counts[part][column] += number

    def add_slice(self, patient: str, name: str, image: np.ndarray, mask: np.ndarray) -> None:
        """Write one slice in the prepared layout and count it.

        Args:
            patient: one of the split; its folder.
            name: file name without ending.
            image: uint8 (H, W) or (H, W, 3) becomes PNG; anything else must be (C, H, W) and becomes .npy.
            mask: uint8 (H, W).
        """
        images, masks = (self.folder / self.home[patient] / kind / patient for kind in ("images", "masks"))
        for folder in (images, masks):
            folder.mkdir(parents=True, exist_ok=True)
        if image.dtype == np.uint8:
            Image.fromarray(image).save(images / f"{name}.png")
        else:
            np.save(images / f"{name}.npy", image)
        Image.fromarray(mask).save(masks / f"{name}.png")
        self.add(patient, slices=1, with_tumour=int(mask.any()))


@contextmanager
def prepared(
    verb: str,
    out: str,
    split: Mapping[str, Iterable[str]],
    columns: Sequence[str] = ("patients", "slices", "with_tumour"),
    *,
    problems: Problems,
    overwrite: bool,
    skip_bad_files: bool,
    about: Mapping[str, Any],
    entries: Sequence[str] = SLICES,
    below: str = "",
    read: Callable[[Path], list[dict]] = slice_datalist,
) -> Iterator[Dataset]:
    """A dataset to be filled in the block; after it, what is wrong is settled, the lists are read back as a training
    would, the split file is written, all moves into its place, and the counts are printed.

    Args:
        verb: brats2d, lgg, lgg3d, yesno, pairs: the name of the split file.
        out: dataset folder.
        split: part -> patients (or groups of copies).
        columns: see `Dataset`.
        problems: what was wrong before the block and in it.
        overwrite: see `staged`.
        skip_bad_files: leave out what is wrong, and log it.
        about: what the split file says besides; "input" is the folder of the raw data.
        entries: names in `out` that belong to this verb.
        below: folder in `out` that holds the parts.
        read: datalist of a part's folder, for data whose parts are folders.

    Raises:
        ConfigError: `out` is the folder of the raw data.
        DataError: there are problems, entries are there already, a training would refuse what was written, or a
            patient or copies of an image are in two parts.
    """
    if Path(out).resolve() == Path(about["input"]).resolve():
        raise ConfigError(f"--out: {out} is the folder of the raw data itself; give another one")
    with staged(out, entries, overwrite) as target:
        dataset = Dataset(target / below, entries, split, columns)
        yield dataset
        problems.settle(about["input"], skip_bad_files)
        places = {part: dataset.folder / part for part in split}
        check_no_leak({part: read(place) for part, place in places.items() if place.is_dir()})
        name = SPLIT_FILE.format(verb)
        content = {
            "source": verb,
            **about,
            "command": " ".join(["python -m tools", *sys.argv[1:]]),
            "entries": [*dataset.entries, name],
            "counts": dataset.counts,
            "parts": {
                part: [names or patient for patient, names in sorted(members.items())]
                for part, members in dataset.members.items()
            },
        }
        (target / name).write_text(json.dumps(content, indent=2) + "\n")
    unwanted = [part for part, share in zip(split, about.get("ratios", ()), strict=False) if not share]
    print_counts(dataset.counts, Path(out, below), unwanted)


def say_sequences(names: Sequence[str], more: str = "") -> None:
    """With which settings slices of these sequences are trained on, as typed.

    Args:
        names: in the order of the channels.
        more: further settings, with a space before them.
    """
    listed = ",".join(f"'{name}'" for name in names)
    print(f'train with --in_channels {len(names)} --modality "[{listed}]"{more}: inference then takes these of a case')


def print_counts(counts: Mapping[str, Mapping[str, int]], where: str | Path, unwanted: Sequence[str] = ()) -> None:
    """The summary: one row per part and the sum; `unwanted`: parts that are to be empty."""
    columns = list(next(iter(counts.values())))
    total = {column: sum(numbers[column] for numbers in counts.values()) for column in columns}
    for part, row in {"part": {column: column for column in columns}, **counts, "sum": total}.items():
        print(f"{part:<8}" + "".join(f"{row[column]:>14}" for column in columns))
    for part, numbers in counts.items():
        if not numbers[columns[0]]:
            why = "its share is 0" if part in unwanted else f"there are too few {columns[0]} for it"
            print(f"note: {part} is empty, {why}")
    print(f"written to {where}")
