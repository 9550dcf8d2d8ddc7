"""Finds the slices of the "LGG MRI segmentation" set (kaggle_3m)."""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from medbundles.data.problems import Problems
from medbundles.data.reading.files import existing_folder, list_images, stem
from medbundles.data.reading.tables import read_table
from medbundles.errors import DataError

CHANNELS = ("t1", "flair", "t1ce")  # of the TIFF files: pre-contrast, FLAIR, post-contrast


class LggSlice(NamedTuple):
    """One slice: patient (folder name), number in the scan, image (H, W, 3) and mask file (0/255).

    The channels are pre-contrast, FLAIR and post-contrast; a missing sequence was replaced by FLAIR at the source.
    """

    patient: str
    number: int
    image: Path
    mask: Path

    @property
    def code(self) -> str:
        """The patient as data.csv names them, such as TCGA_CS_4941: the folder's name without the date."""
        return "_".join(self.patient.split("_")[:3])


def lgg_slices(folder: str | Path) -> tuple[list[LggSlice], Problems]:
    """Slices `<patient>/<patient>_<number>.tif` with their `..._mask.tif`.

    Args:
        folder: the kaggle_3m folder.

    Returns:
        Slices sorted by patient and number, and what does not pair.

    Raises:
        DataError: the folder is missing or holds no such file, or a patient is in two of its folders.
    """
    tiffs = [path for path in list_images(existing_folder(folder)) if path.suffix.lower() in (".tif", ".tiff")]
    files = {path.with_name(stem(path)): path for path in tiffs}
    slices, problems = [], Problems()
    for key, path in files.items():
        mask, number = files.get(key.with_name(f"{key.name}_mask")), key.name.rpartition("_")[2]
        if key.name.endswith("_mask"):
            if key.with_name(key.name.removesuffix("_mask")) not in files:
                problems.add(path, "mask without an image")
        elif not number.isdigit():
            problems.add(path, "name does not end with a slice number (<patient>_<number>.tif)")
        elif mask is None:
            problems.add(path, f"image without a mask (wanted: {key.name}_mask.tif)")
        else:
            slices.append(LggSlice(path.parent.name, int(number), path, mask))
    homes: dict[str, Path] = {}
    for item in slices:
        other = homes.setdefault(item.patient, item.image.parent)
        if other != item.image.parent:
            raise DataError(
                f"{folder}: patient {item.patient} is in two folders, {other} and {item.image.parent}; the archive of "
                "the set holds it twice. Give one of them, the kaggle_3m folder that has data.csv in it."
            )
    if not slices:
        raise DataError(f"{folder}: no pair <patient>/<patient>_<n>.tif and <patient>_<n>_mask.tif found")
    return sorted(slices), problems


def lgg_grades(folder: str | Path) -> dict[str, str]:
    """Histologic grade ("1", "2", "" if unknown) by patient code such as TCGA_CS_4941, from data.csv."""
    table = Path(folder) / "data.csv"
    rows = read_table(table) if table.is_file() else []
    grades = {row.get("Patient", ""): row.get("neoplasm_histologic_grade", "") for row in rows}
    return defaultdict(str, grades)
