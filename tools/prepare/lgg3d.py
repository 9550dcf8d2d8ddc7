"""LGG MRI segmentation (kaggle_3m) to one volume per patient, with the histologic grade as its class."""

from __future__ import annotations

import csv
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medbundles.data import from_axial_slices, read_image, read_volume
from medbundles.data.problems import Problems
from medbundles.errors import DataError
from tools.prepare.lgg_files import LggSlice, lgg_grades, lgg_slices
from tools.prepare.prepared import existing_folder, print_counts, progress, write_split
from tools.staging import staged

GRADES = {"1": "G2", "2": "G3"}  # codes of neoplasm_histologic_grade -> WHO grade; TCGA-LGG holds no other
CHANNELS = ("t1", "flair", "t1ce")  # of the TIFF files: pre-contrast, FLAIR, post-contrast
TABLE, NOTE = "cases.csv", "NOTE.txt"
HEIGHT = 150.0  # mm that each stack is made high: about a head
FEWEST = 4  # slices of a stack

_ABOUT = """\
Volumes stacked from the slices of "LGG MRI segmentation" (kaggle_3m) by 'python -m tools prepare lgg3d'.

{cases} cases, listed in cases.csv (path,label,patient): G2 and G3 are the histologic grade of data.csv
(neoplasm_histologic_grade 1 and 2). {ungraded}

THE SPACING MEANS NOTHING. The slices of a patient need not be contiguous and the TIFF files hold no voxel size. In
plane 1 mm is written; along z {height:g} mm / number of slices, so that every stack is about as high as a head. Do not
measure lengths or volumes in these files, and do not read more into a network's result than the slices can tell.

A sequence that a patient does not have was replaced by FLAIR at the source. Cases in which a file is such a copy:
{copies}
"""


@dataclass(frozen=True)
class _Stack:
    """The slices of one patient folder, in the order of their numbers."""

    name: str
    patient: str
    grade: str
    slices: Sequence[LggSlice]


def prepare_lgg3d(
    input: str, out: str, overwrite: bool = False, skip_bad_files: bool = False
) -> dict[str, dict[str, int]]:
    """Stack each patient's slices of the "LGG MRI segmentation" set to volumes, with the grade (G2, G3) from data.csv.

    Slices are not contiguous and have no voxel size, so the spacing of these volumes means nothing (see NOTE.txt in
    the output). Patients without a grade are listed and left out. Nothing is resized.

    Args:
        input: the kaggle_3m folder with a folder per patient and data.csv.
        out: folder to write: <case>/<case>_{t1,flair,t1ce}.nii.gz, cases.csv (path,label,patient), NOTE.txt.
        overwrite: replace what this verb wrote there before.
        skip_bad_files: leave out patients with bad files and list them, instead of an error.

    Returns:
        grade -> counts.

    Example:
        python -m tools prepare lgg3d --input /data/kaggle_3m --out /data/lgg3d
    """
    folder = existing_folder(input)
    stacks, ungraded, problems = _find(folder)
    entries = (*(stack.name for stack in stacks), TABLE, NOTE)
    written: dict[str, list[_Stack]] = {grade: [] for grade in GRADES.values()}
    copies = []
    with staged(out, entries, overwrite) as target:
        for stack in progress(stacks, "patients"):
            try:
                twins = _write(target / stack.name, stack)
            except DataError as error:
                problems.add(stack.name, error)
                shutil.rmtree(target / stack.name, ignore_errors=True)
                continue
            written[stack.grade].append(stack)
            copies += [f"  {stack.name}: {', '.join(twins)}"] if twins else []
        problems.settle(folder, skip_bad_files, "Mend or remove them, or leave them out with --skip_bad_files True.")
        counts = {grade: _counts(members) for grade, members in written.items()}
        _write_table(target / TABLE, [stack for members in written.values() for stack in members])
        left_out = f"Left out, without a grade: {', '.join(ungraded) or 'none'}."
        cases = sum(len(members) for members in written.values())
        about = _ABOUT.format(
            cases=cases, ungraded=left_out, height=HEIGHT, copies="\n".join(sorted(copies)) or "  none"
        )
        (target / NOTE).write_text(about)
        kept = {grade: sorted(stack.patient for stack in members) for grade, members in written.items()}
        there = sorted(path.name for path in target.iterdir())
        write_split(target, "lgg3d", there, kept, counts, input=str(folder.resolve()), ungraded=ungraded)
    print_counts(counts, out)
    print(left_out)
    print(f"In {len(copies)} case(s) a missing sequence is a copy of FLAIR ({NOTE}).")
    print("Slices are not contiguous: the spacing of these volumes means nothing, do not measure in them.")
    return counts


def _find(folder: Path) -> tuple[list[_Stack], list[str], Problems]:
    """Patients with a grade, the names of those without, and what is wrong."""
    slices, problems = lgg_slices(folder)
    if not (folder / "data.csv").is_file():
        raise DataError(f"{folder}: no data.csv in it; the grade is read from its column neoplasm_histologic_grade")
    grades = lgg_grades(folder)
    members: dict[str, list[LggSlice]] = defaultdict(list)
    for item in slices:
        members[item.patient].append(item)
    stacks, ungraded = [], []
    for name in sorted(members):
        patient = "_".join(name.split("_")[:3])
        code = grades[patient].strip()
        if not code:
            ungraded.append(name)
        elif code not in GRADES:
            problems.add(name, f"neoplasm_histologic_grade {code!r} in data.csv; 1 (G2) or 2 (G3) is wanted")
        elif len(members[name]) < FEWEST:
            problems.add(name, f"{len(members[name])} slice(s); at least {FEWEST} are wanted for a volume")
        else:
            stacks.append(_Stack(name, patient, GRADES[code], members[name]))
    if not stacks:
        raise DataError(
            f"{folder}: no patient with a grade; data.csv has the columns Patient, neoplasm_histologic_grade"
        )
    return stacks, ungraded, problems


def _write(folder: Path, stack: _Stack) -> list[str]:
    """Write a case, read it back as a training would, and tell which files are copies of FLAIR."""
    import nibabel

    images = [read_image(item.image, 3).astype(np.uint8) for item in stack.slices]
    for item, image in zip(stack.slices, images, strict=True):
        if image.shape != images[0].shape:
            raise DataError(f"{item.image}: is {image.shape[1:]}, the patient's other slices {images[0].shape[1:]}")
    affine = np.diag([1.0, 1.0, HEIGHT / len(images), 1.0])
    folder.mkdir()
    channels = {name: np.stack([image[number] for image in images]) for number, name in enumerate(CHANNELS)}
    for name, slices in channels.items():
        volume = np.ascontiguousarray(from_axial_slices(slices))
        path = folder / f"{stack.name}_{name}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(volume, affine), path)
        read_volume(path)
    return [name for name in ("t1", "t1ce") if np.array_equal(channels[name], channels["flair"])]


def _write_table(path: Path, stacks: Sequence[_Stack]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "patient"])
        writer.writerows(sorted([stack.name, stack.grade, stack.patient] for stack in stacks))


def _counts(stacks: Sequence[_Stack]) -> dict[str, int]:
    return {
        "patients": len({stack.patient for stack in stacks}),
        "cases": len(stacks),
        "slices": sum(len(stack.slices) for stack in stacks),
    }
