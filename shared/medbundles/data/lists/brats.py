"""Finds the cases in a BraTS folder, whichever year's layout it has."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from pathlib import Path

from medbundles.data.problems import Problems
from medbundles.data.reading.files import existing_folder, is_volume, list_images, stem
from medbundles.data.reading.tables import read_table
from medbundles.errors import DataError, first_few

MODALITIES = ("flair", "t1", "t1ce", "t2")

# What a file holds -> endings of its name (lower case, no extension): in 2017 to 2021, in 2023, in DeepMedic's copy of
# 2015, in the skull-stripped TCGA of BrainLesion's tutorials; of labels last that of case 355 of 2020.
_ENDINGS = {
    "flair": ("_flair", "-t2f", "flair_subtrmeandivstd", "_fla_bet"),
    "t1": ("_t1", "-t1n", "t1_subtrmeandivstd", "_t1_bet"),
    "t1ce": ("_t1ce", "-t1c", "t1c_subtrmeandivstd", "_t1c_bet"),
    "t2": ("_t2", "-t2w", "t2_subtrmeandivstd", "_t2_bet"),
    "seg": ("_seg", "-seg", "otmulticlass", "_segm"),
}
# Names whose last number counts the visits of one patient.
_VISIT = re.compile(r"^(brats_(?:2013|tcia)_pat\d+|BraTS-[A-Z]+-\d+|Brats1[78]_.+)[_-]\d+$", re.IGNORECASE)


@dataclass(frozen=True)
class BratsCase:
    """One scan.

    Args:
        name: its folder's name.
        patient: the name without the number of the visit, so that all visits of a patient stay together.
        grade: "HGG", "LGG", by 2020's name_mapping.csv or the nearest folder above, or "" (layouts without grades).
        files: modality ("flair", "t1", "t1ce", "t2") -> volume.
        masks: files of expert labels; more than one is a mistake, because nothing says which counts.
    """

    name: str
    patient: str
    grade: str
    files: dict[str, Path] = field(default_factory=dict)
    masks: tuple[Path, ...] = ()

    @property
    def place(self) -> Path:
        """The folder that holds its files."""
        return next(iter((*self.files.values(), *self.masks))).parent

    @property
    def seg(self) -> Path | None:
        """The expert labels, None where there are none, or several."""
        return self.masks[0] if len(self.masks) == 1 else None


def patient_of(case: str) -> str:
    """Patient of a case name.

    Example:
        >>> patient_of("brats_tcia_pat105_2"), patient_of("BraTS20_Training_355")
        ('brats_tcia_pat105', 'BraTS20_Training_355')
    """
    visit = _VISIT.match(case)
    return visit.group(1) if visit else case


def modality_of(path: str | Path) -> str | None:
    """What a volume holds by its name: a modality or "seg"; None where the name does not say."""
    if not is_volume(path):
        return None
    name = stem(path).lower()
    return next((role for role, endings in _ENDINGS.items() if name.endswith(endings)), None)


def brats_cases(folder: str | Path) -> list[BratsCase]:
    """All cases below `folder`: 2018 (HGG/LGG/<case>/), 2020, 2021 and 2023 (flat), DeepMedic's 2015, TCGA.

    Args:
        folder: any folder above the cases, or a case itself.

    Returns:
        Cases sorted by name; completeness is not checked (see `check_cases`).

    Raises:
        DataError: the folder is missing, holds no case, or two of the same name, or a case has a modality twice.
    """
    folder = existing_folder(folder)
    found: dict[Path, dict[str, list[Path]]] = defaultdict(dict)
    for path in list_images(folder):
        if role := modality_of(path):
            found[path.parent].setdefault(role, []).append(path)
            if role in MODALITIES and len(found[path.parent][role]) > 1:
                first, second = (volume.name for volume in found[path.parent][role])
                raise DataError(f"{path.parent}: holds two volumes that are {role} by name: {first} and {second}")
    grades = _mapped_grades(folder)
    cases = [_case(place, files, grades) for place, files in found.items() if _is_case(place, files)]
    if not cases:
        raise DataError(
            f"{folder}: no BraTS case found; wanted: <case>/<case>_flair.nii.gz ... <case>_seg.nii.gz, "
            "with or without HGG/ and LGG/ above, or <case>/Flair_subtrMeanDivStd.nii.gz and OTMultiClass.nii.gz"
        )
    name, count = Counter(case.name for case in cases).most_common(1)[0]
    if count > 1:
        raise DataError(f"{folder}: two cases are named {name}")
    return sorted(cases, key=attrgetter("name"))


def check_cases(cases: list[BratsCase], modalities: tuple[str, ...]) -> Problems:
    """What the cases lack: labels or one of the modalities; and those that have two files of labels."""
    problems = Problems()
    for case in cases:
        missing = [name for name in modalities if name not in case.files] + ([] if case.masks else ["seg"])
        if missing:
            problems.add(case.place, f"case without {', '.join(missing)}")
        if len(case.masks) > 1:
            names = first_few(path.name for path in case.masks)
            problems.add(case.place, f"case with {len(case.masks)} masks, {names}; keep the one that counts")
    return problems


def _is_case(place: Path, files: dict[str, list[Path]]) -> bool:
    """Not just any folder with a ..._t2.nii.gz or ..._seg.nii.gz in it."""
    named = any(path.name.lower().startswith(place.resolve().name.lower()) for path in chain(*files.values()))
    return named or "flair" in files or "t1ce" in files


def _mapped_grades(folder: Path) -> dict[str, str]:
    """Name of a case in any year -> grade, from the name_mapping.csv of 2020, where there is one."""
    tables = [table for place in (folder, folder.parent) for table in sorted(place.glob("name_mapping*.csv"))]
    rows = read_table(tables[0]) if tables else []
    return {name: row["Grade"] for row in rows for key, name in row.items() if key != "Grade" and row.get("Grade")}


def _case(place: Path, files: dict[str, list[Path]], grades: Mapping[str, str]) -> BratsCase:
    name, above = place.resolve().name, [part.upper() for part in reversed(place.resolve().parts)]
    grade = grades.get(name) or next((part for part in above if part in ("HGG", "LGG")), "")
    images = {modality: files[modality][0] for modality in MODALITIES if modality in files}
    return BratsCase(name, patient_of(name), grade, images, tuple(files.get("seg", ())))
