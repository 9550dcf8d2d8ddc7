"""Reads every DICOM series of a folder and says what is wrong with it, and which inference takes it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.data.lists.dicom_inputs import numbered
from medbundles.data.problems import Problems
from medbundles.data.reading.dicom import dicom_files, read_series_files
from medbundles.data.reading.dicom_stack import BadSeriesError, DicomImage
from medbundles.data.reading.nifti import by
from medbundles.errors import DataError, first_few
from medbundles.progress import progress

from .bundle import bundle_folder, check_settings
from .layouts import AUTOENCODER, BRAIN, GRADING, SEGMENTATION

VOLUMES, SLICES, PICTURES = "volumes", "single slices", "pictures"
TAKE = {  # what there is -> the inferences that take it, with the settings that they need
    VOLUMES: {GRADING: "", BRAIN: "", SEGMENTATION: "--spatial_dims 3", AUTOENCODER: "--spatial_dims 3"},
    SLICES: {BRAIN: "", SEGMENTATION: "", AUTOENCODER: ""},
    PICTURES: {BRAIN: "", SEGMENTATION: "", AUTOENCODER: ""},
}


def check_dicom(
    root: Path, files: Sequence[Path], bundle: str, settings: Mapping[str, Any], problems: Problems
) -> dict[str, Any]:
    """Read all series, pixels too; their numbers are those that an inference gives them.

    This shows names of folders and files, and descriptions of series, which may identify patients; it writes nothing.

    Args:
        root: the folder, or a file.
        files: the DICOM files at or below it.
        bundle: name of the bundle whose inference is to take them; "": any.
        settings: of this bundle.
        problems: gets what is wrong.

    Returns:
        what was found, by name.

    Raises:
        DataError: a series cannot be used, or is not what the bundle takes; all are listed.
    """
    named = bundle_folder(bundle).name if bundle else ""
    if named:
        check_settings(bundle_folder(bundle), settings)
    every, counts = numbered(files), dict.fromkeys(TAKE, 0)
    print(f"{root}: {len(files)} DICOM files, {len(every)} series")
    for name, series in progress(list(every.items()), "series"):
        place = series.files[0] if len(series.files) == 1 else series.folder
        shown = " ".join(filter(None, (series.about.get("Modality"), series.about.get("SeriesDescription"))))
        try:
            image = read_series_files(series)
        except BadSeriesError as error:
            what = f"{error}. Files: {first_few((path.name for path in error.files), 5)}" if error.files else str(error)
            problems.add(place, f"{name} ({len(series.files)} files{f', {shown}' if shown else ''}): {what}")
            continue
        kind = PICTURES if image.affine is None else VOLUMES if image.values.shape[2] > 1 else SLICES
        counts[kind] += 1
        print(f"  {name}: {place} ({len(series.files)} files{f', {shown}' if shown else ''}): {_size(image)}")
        if named and named not in TAKE[kind]:
            problems.add(place, f"{name} is no volume ({kind}); {named} wants volumes")
    beside = len(dicom_files(root.parent)[0]) - 1 if root.is_file() else 0
    if beside:
        print(f"{beside} more DICOM files lie beside it; of a series give the folder")
    if any(counts.values()):
        print("No bundle trains on DICOM; these inferences take what can be used:")
    for kind, takers in TAKE.items():
        for taker, needs in takers.items() if counts[kind] else ():
            if named in ("", taker):
                print(f"  {taker} ({kind}): --input {root} {needs}".rstrip())
    if problems:
        raise DataError(f"{len(problems)} problem(s) in {len(every)} series:\n{problems.text()}")
    print("nothing is wrong.")
    return {"layout": "dicom", "files": len(files), "series": len(every), **counts}


def _size(image: DicomImage) -> str:
    if image.affine is None:
        height, width = image.values.shape[1:3]
        kind = "picture in colours" if image.values.ndim == 4 else "picture"
        return f"{len(image.values)} {kind} of {height}x{width}"
    return f"{by(image.values.shape)} voxels of {by(np.linalg.norm(image.affine[:3, :3], axis=0))} mm"
