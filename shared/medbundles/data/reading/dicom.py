"""DICOM series through pydicom: frames sorted by where they lie, as one volume; or as pictures, where none is said.

Not MONAI's PydicomReader: it sorts by InstanceNumber, knows no functional groups of enhanced multi-frame files, and
takes a series with a missing slice without a word.

What a message says here holds nothing that a file says of the patient, nor a file's name; the files themselves stand in
`BadSeriesError.files`.
"""

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.data.reading.dicom_stack import BadSeriesError, DicomImage, Frame, narrow, refuse_frames, stacked
from medbundles.data.reading.files import IMAGE_ENDINGS, check_file
from medbundles.errors import DataError, MedbundlesError

DICOM_ENDINGS = (".dcm", ".dicom", ".ima")  # a file that is named so must be one; others are known by their content
CODECS = {
    "JPEG Lossless": "pylibjpeg pylibjpeg-libjpeg",
    "JPEG-LS": "pyjpegls",
    "JPEG 2000": "pylibjpeg pylibjpeg-openjpeg",
    "High-Throughput": "pylibjpeg pylibjpeg-openjpeg",
    "JPEG": "pylibjpeg pylibjpeg-libjpeg",
}  # the beginning of a transfer syntax's name -> packages that decode it
PLACES = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SpacingBetweenSlices": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
}  # what a frame says of itself -> the functional group of an enhanced file that holds it


_Named = tuple[Path, dict[str, str]]  # a file, and what it says


@dataclass
class Series:
    """Files that belong together, of which the headers were read.

    Args:
        folder: that holds them.
        files: in the order of their names.
        about: PatientID, SeriesInstanceUID, Modality and SeriesDescription, as they stand in the first file.
        wrong: what the headers show to be wrong; None: nothing.
    """

    folder: Path
    files: list[Path]
    about: dict[str, str]
    wrong: BadSeriesError | None = None


def pydicom_module() -> Any:
    """Pydicom, told to be silent: its remarks would show what files say of patients.

    Raises:
        MedbundlesError: it is not installed.
    """
    try:
        import pydicom
    except ImportError as error:
        raise MedbundlesError(
            'The input holds DICOM files, and pydicom, which reads them, is missing: pip install "medbundles[dicom]"'
        ) from error
    warnings.filterwarnings("ignore", module=r"pydicom")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    return pydicom


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its content, or by its name; images of other formats are not opened."""
    name = path.name.lower()
    if name.startswith(".") or name == "dicomdir" or name.endswith(IMAGE_ENDINGS):
        return False
    if name.endswith(DICOM_ENDINGS):
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def dicom_files(root: Path) -> tuple[list[Path], int]:
    """DICOM files at or below `root`, sorted, and how many other files lie there."""
    if root.is_file():
        return ([root] if is_dicom(root) else []), 0
    found, others, seen = list[Path](), 0, {os.path.realpath(root)}
    for parent, folders, names in os.walk(root, followlinks=True):
        places = {name: os.path.realpath(os.path.join(parent, name)) for name in sorted(folders)}
        folders[:] = [name for name, place in places.items() if not name.startswith(".") and place not in seen]
        seen |= {places[name] for name in folders}  # a folder that is there several times, by links, is entered once
        here = [path for path in (Path(parent, name) for name in sorted(names)) if is_dicom(path)]
        found, others = found + here, others + len(names) - len(here)
    return sorted(found), others


def find_series(files: Sequence[Path]) -> list[Series]:
    """The series of DICOM files, in the order of their folders: those with a place in the patient one for each folder.

    A file that has none, such as an X-ray, is a series of its own. What cannot be read makes the series of its folder
    a bad one.

    Args:
        files: as `dicom_files` gives them.
    """
    found = list[Series]()
    folders = dict[Path, list[Path]]()
    for path in files:
        folders.setdefault(path.parent, []).append(path)
    for folder, here in folders.items():
        placed, unplaced, bad = list[_Named](), list[_Named](), list[tuple[Path, BadSeriesError]]()
        for path in here:
            try:
                about, is_placed = _about(path)
            except BadSeriesError as error:
                bad.append((path, error))
                continue
            (placed if is_placed else unplaced).append((path, about))
        uids = {about["SeriesInstanceUID"] for _, about in placed}
        for path, about in unplaced:
            if placed and about["SeriesInstanceUID"] in ("", *uids):  # else the volume would lack it without a word
                what = "says nothing of its place in the patient, as the others do (cut off?)"
                bad.append((path, BadSeriesError(what, [path])))
            else:
                found.append(Series(folder, [path], about))
        if placed or bad:
            found.append(_of_folder(folder, placed, bad))
    return sorted(found, key=lambda series: series.files[0])


def _of_folder(
    folder: Path, placed: list[tuple[Path, dict[str, str]]], bad: list[tuple[Path, BadSeriesError]]
) -> Series:
    files = sorted(path for path, _ in [*placed, *bad])
    series = Series(folder, files, placed[0][1] if placed else {})
    uids = dict[str, list[_Named]]()
    for path, about in placed:
        uids.setdefault(about["SeriesInstanceUID"], []).append((path, about))
    if bad:
        series.wrong = BadSeriesError(f"{len(bad)} of its {len(files)} files: {bad[0][1]}", [path for path, _ in bad])
    elif len(uids) > 1:
        counts = ", ".join(f"{len(some)} of {some[0][1]['Modality'] or 'no modality'}" for some in uids.values())
        series.wrong = BadSeriesError(
            f"its folder mixes {len(uids)} series (files: {counts}); one is wanted, so put each into a folder of its "
            "own", [some[0][0] for some in uids.values()],
        )  # fmt: skip
        series.about = {**series.about, "SeriesDescription": " / ".join(s[0][1]["SeriesDescription"] for s in
                                                                         uids.values())}  # fmt: skip
    return series


def _about(path: Path) -> tuple[dict[str, str], bool]:
    """What a header says, and whether it places its frames in the patient."""
    header = _read(path, stop_before_pixels=True)
    names = ("PatientID", "SeriesInstanceUID", "Modality", "SeriesDescription")
    with _values_of(path):
        about = {name: str(header.get(name) or "") for name in names}
        return about, _value(header, 0, "ImagePositionPatient") is not None


@contextmanager
def _values_of(path: Path) -> Iterator[None]:
    """Inside it a header that holds what it must not is a `BadSeriesError`: pydicom looks at values when asked."""
    try:
        yield
    except (MedbundlesError, MemoryError):
        raise
    except Exception as error:
        raise BadSeriesError(f"its header is broken ({type(error).__name__})", [path]) from error


def _read(path: Path, **options: Any) -> Any:
    pydicom = pydicom_module()
    check_file_of_series(path)
    try:
        return pydicom.dcmread(path, **options)
    except Exception as error:
        raise BadSeriesError(f"is no readable DICOM file, or is cut off ({type(error).__name__})", [path]) from error


def check_file_of_series(path: Path) -> None:
    """What can be said about any file, without its name (`BadSeriesError`)."""
    try:
        check_file(path)
    except DataError as error:
        raise BadSeriesError(str(error).removeprefix(f"{path}: "), [path]) from error


def _value(header: Any, frame: int, name: str) -> Any:
    """What a frame says of itself: in its own group, in the one that all frames share, or in the file's header."""
    for groups, number in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        every = header.get(groups) or []
        inside = every[number].get(PLACES[name]) if number < len(every) else None
        if inside and inside[0].get(name) is not None:
            return inside[0].get(name)
    return header.get(name)


def read_series_files(series: Series) -> DicomImage:
    """Pixels of a series.

    Stored values become real ones by RescaleSlope and RescaleIntercept, frame by frame (or by the table that a file
    has instead). Where MONOCHROME1 says that the lowest value is white, stored values are turned round before, within
    their bits: v becomes 2^bits - 1 - v (signed: -1 - v), so that white is high in every image. Colours become RGB of
    8 bits.

    Raises:
        BadSeriesError: a file is cut off, has no pixels or a transfer syntax that nothing here decodes; slices are
            missing, lie unevenly, twice in one place, turned or shifted against each other, or differ in size.
        MedbundlesError: pydicom is missing.
    """
    if series.wrong:
        raise series.wrong
    frames = [frame for path in series.files for frame in _frames(path)]
    shapes = {frame.values.shape for frame in frames}
    if len(shapes) > 1:
        common = max(shapes, key=[frame.values.shape for frame in frames].count)
        refuse_frames(f"its slices differ in size: {', '.join(map(str, sorted(shapes)))}",
                [frame for frame in frames if frame.values.shape != common])  # fmt: skip
    if frames[0].position is None:
        return DicomImage(narrow(np.stack([frame.values for frame in frames])), None)
    return stacked(frames)


def _frames(path: Path) -> Iterator[Frame]:
    header = _read(path)
    with _values_of(path):
        if "MOSAIC" in (header.get("ImageType") or []):
            what = "is a mosaic (all slices in one picture); give the NIfTI that dcm2niix makes of it"
            raise BadSeriesError(what, [path])
        stored = _pixels(header, path)
        for number, pixels in enumerate(stored):
            position, cosines, spacing = (
                _numbers(_value(header, number, name), count, path)
                for name, count in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2))
            )
            if position is not None and (cosines is None or spacing is None):
                lacks = "ImageOrientationPatient" if cosines is None else "PixelSpacing"
                raise BadSeriesError(f"has positions of its slices but no {lacks}", [path])
            if spacing is not None and spacing.min() <= 0:
                raise BadSeriesError(f"has a PixelSpacing of {' x '.join(map(str, spacing.tolist()))} mm", [path])
            thickness = _value(header, number, "SpacingBetweenSlices") or _value(header, number, "SliceThickness") or 1
            called = number + 1 if len(stored) > 1 else int(header.get("InstanceNumber") or 0)
            values = narrow(_real_values(header, number, pixels, path))
            spacing = np.ones(2) if spacing is None else spacing
            yield Frame(path, called, position, cosines, spacing, abs(float(thickness)) or 1.0, values)


def _numbers(value: Any, count: int, path: Path) -> np.ndarray | None:
    if value is None or len(value) == 0:
        return None
    try:
        numbers = np.array([float(one) for one in value])
    except ValueError:
        numbers = np.array([np.nan])
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise BadSeriesError("has a position, orientation or pixel size that is no number", [path])
    return numbers


def _pixels(header: Any, path: Path) -> np.ndarray:
    """Stored values (N, H, W), or RGB of 8 bits (N, H, W, 3)."""
    from pydicom.pixels import apply_color_lut, pixel_array

    if not any(name in header for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise BadSeriesError("has no pixels (a report, a plan, or cut off before them)", [path])
    syntax = getattr(header, "file_meta", {}).get("TransferSyntaxUID")
    try:
        if header.get("PhotometricInterpretation") == "PALETTE COLOR":
            pixels = apply_color_lut(pixel_array(header), header)
            pixels = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
        else:
            pixels = pixel_array(header)  # YBR becomes RGB
    except Exception as error:
        name = getattr(syntax, "name", "unknown")
        if _lacks_decoder(syntax):
            package = next((packages for start, packages in CODECS.items() if name.startswith(start)), "")
            advice = f": pip install {package}" if package else "; save it uncompressed"
            raise BadSeriesError(
                f'its pixels are compressed ("{name}", transfer syntax {syntax}), which nothing installed here '
                f"decodes{advice}", [path],
            ) from error  # fmt: skip
        raise BadSeriesError(f"its pixels are cut off or broken ({type(error).__name__}; {name})", [path]) from error
    colour = int(header.get("SamplesPerPixel") or 1) > 1 or header.get("PhotometricInterpretation") == "PALETTE COLOR"
    return pixels if pixels.ndim == 3 + colour else pixels[None]


def _lacks_decoder(syntax: Any) -> bool:
    from pydicom.pixels import get_decoder

    try:
        return not get_decoder(syntax).is_available
    except NotImplementedError:
        return True


def _real_values(header: Any, frame: int, pixels: np.ndarray, path: Path) -> np.ndarray:
    if pixels.ndim == 3:
        if pixels.dtype != np.uint8:
            raise BadSeriesError("has colours of more than 8 bits; save it as gray, or in 8 bits", [path])
        return pixels
    if header.get("PhotometricInterpretation") == "MONOCHROME1" and pixels.dtype.kind in "iu":
        highest = -1 if header.get("PixelRepresentation") else 2 ** int(header.get("BitsStored") or 16) - 1
        pixels = (highest - pixels.astype(np.int64)).astype(pixels.dtype)
    if header.get("ModalityLUTSequence"):
        from pydicom.pixels import apply_modality_lut

        return apply_modality_lut(pixels, header)
    slope, intercept = _value(header, frame, "RescaleSlope"), _value(header, frame, "RescaleIntercept")
    slope, intercept = float(1 if slope is None else slope), float(intercept or 0)
    if (slope, intercept) == (1.0, 0.0):
        return pixels
    return pixels.astype(np.int64) + int(intercept) if slope == 1 and intercept == int(intercept) else (
        pixels * slope + intercept)  # fmt: skip
