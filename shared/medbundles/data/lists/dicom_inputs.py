"""DICOM as input: each series becomes a file of its own that says nothing of the patient, and that file is the input.

So whatever reads, names and writes the inputs of an inference needs to know no DICOM, and no output can hold what a
DICOM file says of a patient, nor the names of its files and folders.
"""

import csv
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import medbundles
from medbundles.atomic_files import replace_atomic, write_text_atomic
from medbundles.data.lists.input_files import CONVERTED, input_files, input_root, results_of_runs
from medbundles.data.problems import Problems
from medbundles.data.reading.dicom import Series, dicom_files, find_series, pydicom_module
from medbundles.data.reading.dicom import read_series_files as read_dicom
from medbundles.data.reading.dicom_stack import BadSeriesError, DicomImage
from medbundles.data.reading.files import IMAGE_ENDINGS, VOLUME_ENDINGS, list_images
from medbundles.data.reading.images import read_image
from medbundles.data.reading.volumes import read_series
from medbundles.errors import ConfigError, DataError, first_few
from medbundles.progress import progress
from medbundles.ranks import done_by_rank_0

logger = logging.getLogger("medbundles")
MAPPING = ("name", "folder", "files", "PatientID", "SeriesInstanceUID", "Modality", "SeriesDescription", "problem")


def found_inputs(
    inputs: str | Path,
    output: str | Path | None,
    problems: Problems,
    endings: tuple[str, ...] = IMAGE_ENDINGS,
    *,
    planes: bool = False,
    existing: str = "overwrite",
    mapping: str | Path | bool | None = None,
) -> tuple[Path, list[Path]]:
    """The input, and the files that are to be read: see `input_files`; of DICOM what is made of it.

    A series becomes <output>/converted/series_0001.nii.gz, an image without a place in the patient (an X-ray)
    series_0002.png, or .npy where PNG cannot hold its values. They are numbered in the order of their folders.

    Args:
        inputs: a file or a folder.
        output: the folder that results go to.
        problems: hears which series cannot be used, by their numbers.
        endings: of the files that can be read; without those of pictures an image must have a place in the patient.
        planes: each slice of a series is a file of its own, in a folder series_0001.
        existing: "overwrite": converted files may be replaced by others; otherwise they must hold the same.
        mapping: a file (.csv) that says which series each number is; it holds what identifies patients.

    Raises:
        ConfigError: a mapping is wanted, but there is no DICOM, or it is a folder.
        DataError: as `input_files`; DICOM lies beside other images; no series can be used; a file of that name holds
            another series.
        MedbundlesError: pydicom is missing.
    """
    root = input_root(inputs)
    files, others = dicom_files(root)
    if not files:
        if mapping:
            raise ConfigError("dicom_mapping: the input holds no DICOM files, so there is nothing to write to it.")
        return root, input_files(inputs, output, endings)
    if mapping and Path(str(mapping)).is_dir():
        raise ConfigError(f"dicom_mapping: {mapping} is a folder; the name of a .csv file is wanted")
    pydicom_module()
    images = [path for path in list_images(root) if path.name.lower().endswith(endings)] if root.is_dir() else []
    own = {Path(output).resolve()} if output else set[Path]()
    mixed = len(images) - len(results_of_runs(images, root, own))
    if mixed:
        raise DataError(
            f"input: holds {len(files)} DICOM files and {mixed} other images ({', '.join(endings)}); give one kind at "
            "a time"
        )
    if not output:
        raise ConfigError("output: DICOM is converted to files in it, so it must be given.")
    place = Path(output, CONVERTED)

    def convert() -> tuple[list[Path], list[tuple[str, str]]]:
        made, bad, rows = list[Path](), list[tuple[str, str]](), list[dict[str, Any]]()
        every = numbered(files)
        for name, series in progress(list(every.items()), "converting DICOM"):
            what = ""
            try:
                made += _converted(read_dicom(series), place, name, endings, planes, existing)
            except BadSeriesError as error:
                what = str(error)
                bad.append((name, what))
            held = {"folder": series.folder, "files": len(series.files), **series.about}
            file = {"folder": series.files[0]} if len(series.files) == 1 else {}
            rows.append({"name": name, **held, **file, "problem": what})
        if mapping:
            write_text_atomic(Path(str(mapping)), _csv(rows))
            Path(str(mapping)).chmod(0o600)  # it names patients
        which = f"which is which stands in {mapping}" if mapping else "--dicom_mapping FILE writes which is which"
        left_out = f"; files beside them that are left out: {others}" if others else ""
        logger.info(
            "input: %d of %d DICOM series (%d files), numbered in the order of their folders, are converted to %s; "
            "%s%s", len(every) - len(bad), len(every), len(files), place, which, left_out,
        )  # fmt: skip
        return made, bad

    made, bad = done_by_rank_0(convert)
    for name, what in bad:
        problems.add(name, what)
    if not made:
        problems.good([], "input", False, "Which files they are: python -m tools check-data DIR")
    return place, made


def numbered(files: Sequence[Path]) -> dict[str, Series]:
    """Name of an input, series_0001 and so on -> its series, in the order of their folders.

    Series of one SeriesInstanceUID in several folders are warned of.
    """
    every = {f"series_{number:04d}": series for number, series in enumerate(find_series(files), 1)}
    uids = dict[str, list[str]]()
    for name, series in every.items():
        uids.setdefault(series.about.get("SeriesInstanceUID", ""), []).append(name)
    for names in (some for uid, some in uids.items() if uid and len({every[name].folder for name in some}) > 1):
        logger.warning(
            "%s have the same SeriesInstanceUID: copies, of which one is enough, or parts of one series, whose files "
            "belong in one folder",
            first_few(names),
        )
    return every


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, MAPPING, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace").decode()  # names of files need not be UTF-8


def _converted(
    image: DicomImage, place: Path, name: str, endings: tuple[str, ...], planes: bool, existing: str
) -> list[Path]:
    """The files that an image becomes."""
    if image.affine is not None:
        depth = image.values.shape[2]
        whole = _write(place / f"{name}.nii.gz", image.values, image.affine, existing)
        return _slices(image, place / name, existing) if planes and depth > 1 else [whole]
    if endings == VOLUME_ENDINGS:
        raise BadSeriesError(
            "says nothing of its place in the patient (a picture, such as an X-ray); a volume is wanted"
        )
    count = len(image.values)
    stems = [place / name] if count == 1 else [place / name / f"frame_{number:04d}" for number in range(count)]
    return [_write(stem, values, None, existing) for stem, values in zip(stems, image.values, strict=True)]


def _slices(image: DicomImage, folder: Path, existing: str) -> list[Path]:
    """Files of the slices of a volume, without those of one value: nothing can be found in them."""
    made = []
    for z in range(image.values.shape[2]):
        plane, affine = image.values[..., z : z + 1], np.array(image.affine)
        affine[:3, 3] = (affine @ [0, 0, z, 1])[:3]
        if plane.min() < plane.max():
            made.append(_write(folder / f"slice_{z:04d}.nii.gz", plane, affine, existing))
    for stale in {*folder.glob("slice_*.nii.gz")} - {*made}:  # of a series that had this number before
        stale.unlink()
    if not made:
        raise BadSeriesError("all its slices are blank: each has one value only")
    if blank := image.values.shape[2] - len(made):
        logger.info("%s: %d of its %d slices are blank, so no inputs", folder.name, blank, image.values.shape[2])
    return made


def _write(path: Path, values: np.ndarray, affine: np.ndarray | None, existing: str) -> Path:
    """Write a NIfTI, or a picture, whose ending follows from its values; the path."""
    import nibabel

    is_deep = values.dtype != np.uint8
    if affine is None:
        fits = not is_deep or (values.dtype.kind in "iu" and values.min() >= 0 and values.max() < 2**16)
        path = path.with_name(f"{path.name}{'.png' if fits else '.npy'}")
    if existing != "overwrite" and path.is_file() and not _holds(path, values, affine):
        raise DataError(
            f"{path}: was made of another series than now has its number. Give another output folder, or existing "
            "'overwrite'."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_atomic(path) as temporary:
        if affine is not None:
            made = nibabel.Nifti1Image(values, affine)
            made.header.set_xyzt_units("mm")
            made.header["descrip"] = f"medbundles {medbundles.__version__}"
            made.set_sform(affine, 1)
            made.set_qform(affine, 1)
            nibabel.save(made, temporary)
        elif path.suffix == ".png":
            Image.fromarray(values.astype(np.uint16) if is_deep else values).save(temporary, format="PNG")
        else:
            with open(temporary, "wb") as file:
                np.save(file, values)
    return path


def _holds(path: Path, values: np.ndarray, affine: np.ndarray | None) -> bool:
    """Whether a file that is there holds this."""
    import nibabel

    try:
        if affine is None:
            there = read_image(path, 3 if values.ndim == 3 else 1, allow_constant=True)
            return np.array_equal(np.moveaxis(there, 0, -1).reshape(values.shape), values)
        there, info = read_series(path, 1, allow_constant=True)
    except DataError:
        return False
    canonical = nibabel.as_closest_canonical(nibabel.Nifti1Image(values, affine)).get_fdata(dtype=np.float32)
    return np.array_equal(there[0], canonical) and np.allclose(info.affine, affine, atol=1e-4)
