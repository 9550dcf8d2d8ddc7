"""What was found in the slices of a DICOM series, each of which was an input, as one volume in the series' geometry."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.atomic_files import replace_atomic
from medbundles.data.lists.input_files import CONVERTED
from medbundles.data.reading.files import paths_of

logger = logging.getLogger("medbundles")
MASK, RECONSTRUCTION = "mask", "reconstruction"  # entries of a row that name files of the slice's own geometry


def write_series(output: Path, rows: Sequence[Mapping[str, Any]], note: str) -> list[Path]:
    """Write masks/series_0001_mask.nii.gz of masks/series_0001/slice_0000_mask.nii.gz and so on; likewise for others.

    A blank slice was no input: it is background in the mask, and itself in the reconstruction. Where a slice has no
    result there is no volume, which is warned of.

    Args:
        output: folder of the results.
        rows: of the inputs, with their "file"; those that are no slices of a series are not looked at.
        note: kept in the files.

    Returns:
        The files.
    """
    series = dict[Path, dict[str, Mapping[str, Any]]]()
    for row in rows:
        if (folder := Path(row["file"]).parent).parent == output / CONVERTED:
            series.setdefault(folder, {})[Path(row["file"]).name] = row
    made = list[Path]()
    for folder, found in sorted(series.items()):
        slices = sorted(path.name for path in folder.glob("slice_*.nii.gz"))
        lacking = [name for name in slices if name not in found]
        for key in (MASK, RECONSTRUCTION):
            done = {name: paths_of(row[key]) for name, row in found.items() if row.get(key)}
            for number in range(len(next(iter(done.values()), []))):
                files = {name: output / paths[number] for name, paths in done.items()}
                path = _whole(*next(iter(files.items())))
                path.unlink(missing_ok=True)  # an earlier one, of other results
                if not lacking:
                    _write(path, Path(f"{folder}.nii.gz"), files, key == RECONSTRUCTION, note)
                    made.append(path)
        if lacking:
            what = "%s: %d of its %d slices have no results, so there is no volume of the others"
            logger.warning(what, folder.name, len(lacking), len(slices))
    return made


def _whole(slice_name: str, file: Path) -> Path:
    """The volume's file: series_0001/slice_0000_mask.nii.gz becomes series_0001_mask.nii.gz."""
    return file.parent.with_name(file.parent.name + file.name.removeprefix(slice_name.partition(".")[0]))


def _write(path: Path, source: Path, files: Mapping[str, Path], keep: bool, note: str) -> None:
    """Write slices as one volume with the geometry of `source`, whose values stay where there is no slice if `keep`."""
    import nibabel

    whole: Any = nibabel.load(source)
    opened: dict[str, Any] = {name: nibabel.load(file) for name, file in files.items()}
    planes = {name: np.asanyarray(plane.dataobj) for name, plane in opened.items()}
    kind = next(iter(planes.values())).dtype
    values = np.asanyarray(whole.dataobj).astype(kind) if keep else np.zeros(whole.shape, kind)
    for name, plane in planes.items():
        values[..., int(name[len("slice_") :].partition(".")[0])] = plane[..., 0]
    header = whole.header.copy()
    header.set_data_dtype(kind)
    header["descrip"] = note[:79]
    with replace_atomic(path) as temporary:
        nibabel.save(nibabel.Nifti1Image(values, whole.affine, header), temporary)
