"""NIfTI files through nibabel, whose many failures become one kind of error."""

import gzip
import logging
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.data.reading.files import check_file
from medbundles.errors import DataError

SPACING = (0.05, 50.0)  # mm; outside it the header's unit is wrong
APART = 0.1  # of a voxel: how far sform and qform may place a voxel from each other, by rounding


@dataclass(frozen=True)
class VolumeInfo:
    """Where the voxels of a file lie, and what is needed to bring a canonical volume back into it.

    Args:
        path: the file.
        shape: (X, Y, Z) as stored in the file.
        affine: (4, 4) voxel to mm (RAS+) as stored.
        orientation: nibabel's orientation array (3, 2), from stored to canonical axes.
        header: the file's header (units, codes), for writing.
        channels: how many volumes the file holds, along its fourth axis.
    """

    path: str
    shape: tuple[int, int, int]
    affine: np.ndarray
    orientation: np.ndarray
    header: Any = field(repr=False, compare=False)
    channels: int = 1

    @property
    def canonical_shape(self) -> tuple[int, int, int]:
        """(X, Y, Z) with the axes in the order of RAS."""
        x, y, z = (int(self.shape[stored]) for stored in np.argsort(self.orientation[:, 0]))
        return x, y, z

    @property
    def canonical_affine(self) -> np.ndarray:
        """(4, 4) voxel of the canonical volume to mm (RAS+)."""
        from nibabel.orientations import inv_ornt_aff

        return self.affine @ inv_ornt_aff(self.orientation, self.shape)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm along the canonical axes."""
        x, y, z = np.linalg.norm(self.canonical_affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def doubts(self) -> list[str]:
        """What in the header cannot be right, or contradicts itself, although the file can be read."""
        from nibabel.spatialimages import HeaderDataError

        found = [] if plausible_spacing(self.spacing) else [odd_spacing(self.spacing)]
        try:
            (sform, s_code), (qform, q_code) = self.header.get_sform(coded=True), self.header.get_qform(coded=True)
        except HeaderDataError as error:
            return [*found, f"its qform cannot be read ({reason(error)}); the sform is used"]
        if sform is not None and qform is not None:
            corners = np.array([[*corner, 1] for corner in np.ndindex(2, 2, 2)]) * [*(n - 1 for n in self.shape), 1]
            off = float(np.linalg.norm(((sform - qform) @ corners.T)[:3], axis=0).max())
            if off > APART * min(self.spacing):
                found.append(
                    f"its sform (code {s_code}) and its qform (code {q_code}) place a voxel up to {off:.3g} mm apart; "
                    "the sform is used"
                )
        return found

    def to_original(self, volume: np.ndarray) -> np.ndarray:
        """Array with canonical axes (X, Y, Z) back in the stored axes; the exact inverse of the way in."""
        from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform

        back = ornt_transform(axcodes2ornt("RAS"), self.orientation)
        result = apply_orientation(volume, back)
        if result.shape != self.shape:
            raise DataError(f"volume of shape {result.shape} does not belong to a file of shape {self.shape}")
        return result


def plausible_spacing(spacing: Sequence[float]) -> bool:
    """Whether voxels can be as large as that, in mm."""
    return SPACING[0] <= min(spacing) and max(spacing) <= SPACING[1]


def odd_spacing(spacing: Sequence[float]) -> str:
    """What is said of voxels that cannot be as large as that."""
    wanted = f"{SPACING[0]:g} to {SPACING[1]:g} mm are wanted"
    return f"its voxels are {by(spacing)} mm; {wanted}. Is the unit in its header wrong?"


def by(numbers: Iterable[float]) -> str:
    """Lengths as "1 x 1 x 2.5"."""
    return " x ".join(f"{number:.3g}" for number in numbers)


def read_header(path: str | Path, channels: int | None = 1) -> tuple[Any, VolumeInfo]:
    """The nibabel image (no voxels read yet) and what its header says; trailing axes of length 1 are left out.

    Args:
        path: .nii or .nii.gz.
        channels: volumes that the file must hold, as the Decathlon's of several modalities; None: any number.

    Raises:
        DataError: not a NIfTI file, a broken header, voxels that are not numbers, another number of volumes (4D), a
            file that is too short, or an affine that is not finite or gives no orientation.
    """
    import nibabel
    from nibabel.orientations import io_orientation

    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)  # its remarks on headers would go to the user
    size = check_file(path)
    try:
        image: Any = nibabel.load(path)
        shape = tuple(int(n) for n in image.shape)
        dtype, start = image.get_data_dtype(), image.dataobj.offset
    except Exception as error:
        raise DataError(f"{path}: not a readable NIfTI file ({reason(error)})") from error
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    held = shape[3] if len(shape) == 4 else 1
    if len(shape) > 4 or held != (channels or held):
        if channels == 1:
            raise DataError(f"{path}: is {len(shape)}D {shape}; one 3D volume is wanted, so split the series first")
        raise DataError(f"{path}: is {len(shape)}D {shape}, {held} channel(s); in_channels is {channels}")
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
    affine = np.asarray(image.affine, dtype=float)
    orientation = io_orientation(affine) if np.isfinite(affine).all() else np.full((3, 2), np.nan)
    if np.isnan(orientation).any():
        raise DataError(f"{path}: its affine gives no orientation of the axes:\n{affine}")
    shape = (shape[0], shape[1], shape[2] if len(shape) > 2 else 1)
    return image, VolumeInfo(str(path), shape, affine, orientation, image.header, held)


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


def reason(error: Exception) -> str:
    """What a library says went wrong, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
