"""LGG MRI segmentation (kaggle_3m) to one volume per patient, with the histologic grade as its class."""

import csv
import shutil
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import numpy as np

from medbundles.data import Problems, from_axial_slices, read_image, read_volume
from medbundles.errors import DataError
from medbundles.progress import progress

from .lgg_files import CHANNELS, LggSlice, lgg_grades, lgg_slices
from .prepared import prepared

GRADES = {"1": "G2", "2": "G3"}  # codes of neoplasm_histologic_grade -> WHO grade; TCGA-LGG holds no other
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
    folder = Path(input)
    slices, problems = lgg_slices(folder)
    stacks, split, ungraded = _graded(folder, slices, problems)
    rows, copies = [["path", "label", "patient"]], []
    with prepared(
        "lgg3d",
        out,
        split,
        ("patients", "cases", "slices"),
        problems=problems,
        overwrite=overwrite,
        skip_bad_files=skip_bad_files,
        about={"input": str(folder.resolve()), "ungraded": ungraded},
        entries=(*stacks, TABLE, NOTE),
    ) as dataset:
        for name, stack in progress(stacks.items(), "patients"):
            with problems.noted(name):
                twins = _write(dataset.folder / name, stack)
                patient = stack[0].code
                dataset.add(patient, cases=1, slices=len(stack))
                rows.append([name, dataset.home[patient], patient])
                copies += [f"  {name}: {', '.join(twins)}"] if twins else []
            if rows[-1][0] != name:  # a patient is written whole or not at all
                shutil.rmtree(dataset.folder / name, ignore_errors=True)
        with (dataset.folder / TABLE).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
        left_out = f"Left out, without a grade: {', '.join(ungraded) or 'none'}."
        about = _ABOUT.format(
            cases=len(rows) - 1, ungraded=left_out, height=HEIGHT, copies="\n".join(copies) or "  none"
        )
        (dataset.folder / NOTE).write_text(about)
        dataset.entries = sorted(path.name for path in dataset.folder.iterdir())
    print(left_out)
    print(f"In {len(copies)} case(s) a missing sequence is a copy of FLAIR ({NOTE}).")
    print("Slices are not contiguous: the spacing of these volumes means nothing, do not measure in them.")
    return dataset.counts


def _graded(
    folder: Path, slices: Sequence[LggSlice], problems: Problems
) -> tuple[dict[str, list[LggSlice]], dict[str, set[str]], list[str]]:
    """Slices by patient folder, patients by grade, and the folders without a grade; what is wrong is noted."""
    if not (folder / "data.csv").is_file():
        raise DataError(f"{folder}: no data.csv in it; the grade is read from its column neoplasm_histologic_grade")
    grades = lgg_grades(folder)
    stacks: dict[str, list[LggSlice]] = {}
    patients: dict[str, set[str]] = {grade: set() for grade in GRADES.values()}
    ungraded = []
    for name, members in groupby(slices, attrgetter("patient")):
        stack = list(members)
        code = grades[stack[0].code]
        if not code:
            ungraded.append(name)
        elif code not in GRADES:
            problems.add(name, f"neoplasm_histologic_grade {code!r} in data.csv; 1 (G2) or 2 (G3) is wanted")
        elif len(stack) < FEWEST:
            problems.add(name, f"{len(stack)} slice(s); at least {FEWEST} are wanted for a volume")
        else:
            stacks[name] = stack
            patients[GRADES[code]].add(stack[0].code)
    if not stacks:
        raise DataError(
            f"{folder}: no patient with a grade; data.csv has the columns Patient, neoplasm_histologic_grade"
        )
    return stacks, patients, ungraded


def _write(folder: Path, stack: Sequence[LggSlice]) -> list[str]:
    """Write a case, read it back as a training would, and say which files are copies of FLAIR."""
    import nibabel

    images = [read_image(item.image, 3).astype(np.uint8) for item in stack]
    for item, image in zip(stack, images, strict=True):
        if image.shape != images[0].shape:
            raise DataError(f"{item.image}: is {image.shape[1:]}, the patient's other slices {images[0].shape[1:]}")
    channels = dict(zip(CHANNELS, np.stack(images, axis=1), strict=True))
    folder.mkdir()
    for name, slices in channels.items():
        path = folder / f"{folder.name}_{name}.nii.gz"
        volume = np.ascontiguousarray(from_axial_slices(slices))
        nibabel.save(nibabel.Nifti1Image(volume, np.diag([1.0, 1.0, HEIGHT / len(slices), 1.0])), path)
        read_volume(path)
    return [name for name in ("t1", "t1ce") if np.array_equal(channels[name], channels["flair"])]
