"""Finds the slices of the "LGG MRI segmentation" set (kaggle_3m)."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from medbundles.data.problems import Problems
from medbundles.data.reading.files import list_images, stem
from medbundles.errors import DataError

CHANNELS = ("pre-contrast", "flair", "post-contrast")  # a missing sequence was replaced by FLAIR


@dataclass(frozen=True)
class LggSlice:
    """One slice: patient (folder name), number in the scan, image (H, W, 3) and mask file (0/255)."""

    patient: str
    number: int
    image: Path
    mask: Path


def lgg_slices(folder: str | Path) -> tuple[list[LggSlice], Problems]:
    """Slices `<patient>/<patient>_<number>.tif` with their `..._mask.tif`.

    Args:
        folder: the kaggle_3m folder.

    Returns:
        Slices sorted by patient and number, and what does not pair.

    Raises:
        DataError: the folder is missing or holds no such file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: folder not found")
    tiffs = [path for path in list_images(folder) if path.suffix.lower() in (".tif", ".tiff")]
    files = {path.with_name(stem(path)): path for path in tiffs}
    slices, problems = [], Problems()
    for key, path in files.items():
        if key.name.endswith("_mask"):
            if key.with_name(key.name.removesuffix("_mask")) not in files:
                problems.add(path, "mask without an image")
            continue
        mask, number = files.get(key.with_name(f"{key.name}_mask")), key.name.rpartition("_")[2]
        if not number.isdigit():
            problems.add(path, "name does not end with a slice number (<patient>_<number>.tif)")
        elif mask is None:
            problems.add(path, f"image without a mask (wanted: {key.name}_mask.tif)")
        else:
            slices.append(LggSlice(path.parent.name, int(number), path, mask))
    if not slices:
        raise DataError(f"{folder}: no pair <patient>/<patient>_<n>.tif and <patient>_<n>_mask.tif found")
    return sorted(slices, key=_order), problems


def lgg_grades(folder: str | Path) -> dict[str, str]:
    """Histologic grade ("1", "2", "" if unknown) by patient code such as TCGA_CS_4941, from data.csv."""
    table = Path(folder) / "data.csv"
    grades: dict[str, str] = defaultdict(str)
    if table.is_file():
        with table.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                grades[row.get("Patient") or ""] = row.get("neoplasm_histologic_grade") or ""
    return grades


def _order(item: LggSlice) -> tuple[str, int]:
    return item.patient, item.number
