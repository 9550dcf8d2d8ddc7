"""NIfTI files through nibabel, with its many failures turned into one kind of error."""

from __future__ import annotations

import gzip
import logging
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.data.reading.files import check_file
from medbundles.errors import DataError


@dataclass(frozen=True)
class VolumeInfo:
    """What is needed to bring a canonical volume back into the file it came from.

    Args:
        shape: (X, Y, Z) as stored in the file.
        affine: (4, 4) voxel to mm (RAS+) as stored.
        orientation: nibabel's orientation array (3, 2), from stored to canonical axes.
        spacing: voxel size in mm along the canonical axes.
        header: the file's header (units, codes), for writing.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    orientation: np.ndarray
    spacing: tuple[float, float, float]
    header: Any = field(repr=False, compare=False)

    def to_original(self, volume: np.ndarray) -> np.ndarray:
        """Array with canonical axes (X, Y, Z) back in the stored axes; the exact inverse of the way in."""
        from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform

        back = ornt_transform(axcodes2ornt("RAS"), self.orientation)
        result = apply_orientation(volume, back)
        if result.shape != self.shape:
            raise DataError(f"volume of shape {result.shape} does not belong to a file of shape {self.shape}")
        return result


def load_header(path: str | Path) -> tuple[Any, tuple[int, int, int]]:
    """The nibabel image (no voxels read yet) and its shape without trailing axes of length 1, at least (X, Y, 1).

    Raises:
        DataError: not a NIfTI file, a broken header, voxels that are not numbers, 4D, or a file that is too short.
    """
    import nibabel

    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)  # its remarks on headers would go to the user
    size = check_file(path)
    try:
        image: Any = nibabel.load(path)
        shape = tuple(int(n) for n in image.shape)
        dtype, start = image.get_data_dtype(), image.dataobj.offset
    except Exception as error:
        raise DataError(f"{path}: not a readable NIfTI file ({_reason(error)})") from error
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 3:
        raise DataError(f"{path}: is {len(shape)}D {shape}; one 3D volume is wanted, so split the series first")
    if len(shape) < 2 or 0 in shape:
        raise DataError(f"{path}: has no voxels (shape {shape})")
    if dtype.kind not in "biuf":
        kind = "complex numbers" if dtype.kind == "c" else "colours"
        raise DataError(f"{path}: its voxels are {kind} ({dtype}); one real number each is wanted")
    wanted = start + dtype.itemsize * int(np.prod(shape))
    if Path(path).suffix.lower() == ".nii" and size < wanted:
        raise DataError(f"{path}: is truncated: {size} bytes cannot hold {shape} voxels of {dtype.itemsize} bytes")
    if Path(path).suffix.lower() == ".gz" and not _holds(Path(path), wanted):
        raise DataError(f"{path}: is truncated or broken: it cannot be unpacked to {shape} voxels")
    return image, (shape[0], shape[1], shape[2] if len(shape) == 3 else 1)


def orientation_of(path: str | Path, image: Any) -> tuple[np.ndarray, np.ndarray]:
    """The affine (4, 4) of a nibabel image, voxel to mm (RAS+), and its orientation (3, 2), stored to canonical axes.

    Raises:
        DataError: the affine is not finite, or gives no orientation.
    """
    from nibabel.orientations import io_orientation

    affine = np.asarray(image.affine, dtype=float)
    orientation = io_orientation(affine) if np.isfinite(affine).all() else np.full((3, 2), np.nan)
    if np.isnan(orientation).any():
        raise DataError(f"{path}: its affine gives no orientation of the axes:\n{affine}")
    return affine, orientation


def load_canonical(path: str | Path) -> tuple[np.ndarray, VolumeInfo]:
    """All voxels, scaled by the file's slope, float32 (X, Y, Z) with axes turned to canonical RAS, and the way back.

    Raises:
        DataError: as `load_header`; also truncated or broken data, and an affine without an orientation.
    """
    from nibabel.orientations import apply_orientation

    image, shape = load_header(path)
    try:
        stored = image.get_fdata(dtype=np.float32, caching="unchanged").reshape(shape)
    except Exception as error:
        raise DataError(f"{path}: truncated or broken, the voxels cannot be read ({_reason(error)})") from error
    affine, orientation = orientation_of(path, image)
    volume = apply_orientation(stored, orientation)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    spacing = [0.0, 0.0, 0.0]
    for stored_axis, (canonical_axis, _) in enumerate(orientation):
        spacing[int(canonical_axis)] = float(lengths[stored_axis])
    x, y, z = spacing
    return np.ascontiguousarray(volume), VolumeInfo(shape, affine, orientation, (x, y, z), image.header)


def _holds(path: Path, wanted: int) -> bool:
    """Whether a gzip file holds so many bytes.

    Its last four bytes are the number (modulo 2^32), in nearly all whole files; only where they are not, as in one that
    was cut off, it is unpacked to see.
    """
    with path.open("rb") as file:
        file.seek(-4, 2)
        if int.from_bytes(file.read(4), "little") == wanted % 2**32:
            return True
    try:
        with gzip.open(path) as file:
            while wanted > 0 and (piece := file.read(min(wanted, 2**24))):
                wanted -= len(piece)
    except (EOFError, OSError, zlib.error):
        return False
    return wanted == 0


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
