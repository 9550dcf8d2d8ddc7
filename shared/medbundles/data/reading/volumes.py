"""Reads and writes volumes, and cuts them into the 2D slices that networks see."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np

from medbundles.data.reading.nifti import VolumeInfo, read_header, reason
from medbundles.errors import DataError


def read_volume(path: str | Path, allow_constant: bool = False) -> tuple[np.ndarray, VolumeInfo]:
    """Voxels of a 3D NIfTI with canonical axes (x to the right, y to the front, z up).

    Args:
        path: .nii or .nii.gz, its scale slope is applied.
        allow_constant: accept a volume with one value only (an empty mask).

    Returns:
        float32 (X, Y, Z), and what brings it back: `info.to_original(array)`, `write_volume(path, array, info)`.

    Raises:
        DataError: missing, git-lfs pointer, truncated, broken, 4D, NaN or Inf, constant, an affine without orientation.
    """
    volumes, info = read_series(path, 1, allow_constant)
    return volumes[0], info


def read_series(
    path: str | Path, channels: int | None = None, allow_constant: bool = False
) -> tuple[np.ndarray, VolumeInfo]:
    """Voxels of a NIfTI of several volumes, which are the channels of one image; otherwise as `read_volume`.

    Args:
        path: .nii or .nii.gz, (X, Y, Z, C), or (X, Y, Z) for one channel.
        channels: C; None: any number.
        allow_constant: accept a volume with one value only.

    Returns:
        float32 (C, X, Y, Z), and the geometry of each of them.

    Raises:
        DataError: as `read_volume`, or another number of volumes.
    """
    from nibabel.orientations import apply_orientation

    image, info = read_header(path, channels)
    try:
        stored = image.get_fdata(dtype=np.float32, caching="unchanged").reshape(*info.shape, info.channels)
    except Exception as error:
        raise DataError(f"{path}: truncated or broken, the voxels cannot be read ({reason(error)})") from error
    volumes = finite(path, np.moveaxis(apply_orientation(stored, info.orientation), -1, 0))
    for number, volume in enumerate(volumes) if not allow_constant else ():
        if volume.min() == volume.max():
            which = f"volume {number} of {info.channels}, counted from 0," if info.channels > 1 else "the volume"
            raise DataError(f"{path}: {which} is constant (every voxel is {volume.flat[0]:g})")
    return volumes, info


def finite(path: str | Path, array: np.ndarray) -> np.ndarray:
    """The array as contiguous float32.

    Raises:
        DataError: it holds NaN or Inf.
    """
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=np.float32)
    bad = array.size - np.count_nonzero(np.isfinite(array))
    if bad:
        raise DataError(f"{path}: {bad} of {array.size} pixels are NaN or Inf")
    return array


def axial_slices(volume: np.ndarray) -> np.ndarray:
    """Axial slices as radiologists show them: nose up, the patient's right on the left.

    Args:
        volume: canonical RAS (X, Y, Z), as `read_volume` gives it.

    Returns:
        (Z, H, W) = (Z, Y, X): slice z is `volume[::-1, ::-1, z].T`, a view.
    """
    return volume[::-1, ::-1].transpose(2, 1, 0)


def from_axial_slices(slices: np.ndarray) -> np.ndarray:
    """The exact inverse of `axial_slices`: (Z, H, W) to canonical RAS (X, Y, Z)."""
    return slices.transpose(2, 1, 0)[::-1, ::-1]


def write_volume(path: str | Path, volume: np.ndarray, info: VolumeInfo) -> None:
    """Write a canonical volume (X, Y, Z) with the axes, affine and units of the file it was made from.

    Args:
        path: .nii or .nii.gz.
        volume: its dtype is the one written (bool as uint8).
        info: what `read_volume` gave for the source.

    Raises:
        DataError: the shape is not that of the source.
    """
    import nibabel

    array = info.to_original(volume)
    array = array.astype(np.uint8) if array.dtype == bool else array
    header = info.header.copy()
    header.set_data_dtype(array.dtype)
    header.set_slope_inter(1, 0)  # the source's scaling belongs to the source's numbers
    nibabel.save(nibabel.Nifti1Image(array, info.affine, header), path)


@dataclass(frozen=True)
class SlicedVolume:
    """A volume as the slices that networks see, and the way back.

    Args:
        slices: float32 (Z, H, W), as `axial_slices` shows them.
        info: what `write_volume` needs.
        axis: canonical axis across the slices; 2 is axial.
    """

    slices: np.ndarray
    info: VolumeInfo
    axis: int

    @classmethod
    def of(cls, volume: np.ndarray, info: VolumeInfo) -> Self:
        """A canonical volume (X, Y, Z), cut."""
        axis = plane_axis(info)
        return cls(axial_slices(np.moveaxis(volume, axis, 2)), info, axis)

    @property
    def pixel_area(self) -> float:
        """Area of a pixel of a slice in mm^2."""
        return float(np.prod(np.delete(self.info.spacing, self.axis)))

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel in mm^3."""
        return float(np.prod(self.info.spacing))

    def whole(self, slices: np.ndarray) -> np.ndarray:
        """Slices (Z, H, W) of anything as a canonical volume (X, Y, Z), for `write_volume`."""
        return np.moveaxis(from_axial_slices(slices), 2, self.axis)


def plane_axis(info: VolumeInfo) -> int:
    """The canonical axis across the planes: z, but for a volume of one plane that is not axial the axis across it."""
    shape = info.canonical_shape
    return shape.index(1) if 1 in shape and shape[2] != 1 else 2


def open_volume(path: str | Path) -> SlicedVolume:
    """A NIfTI volume cut into slices; see `open_volumes`."""
    return open_volumes((path,))[0]


def open_volumes(paths: Sequence[str | Path]) -> tuple[SlicedVolume, ...]:
    """NIfTI volumes of one case cut into slices; those of the last two cases are kept, not read once per slice.

    Raises:
        DataError: as `read_volume`.
    """
    return _open_volumes(tuple(map(str, paths)), tuple(map(_changed, paths)))


def _changed(path: str | Path) -> tuple[int, int]:
    """What is another when the file was written anew: time and size."""
    try:
        state = Path(path).stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror or error})") from error
    return state.st_mtime_ns, state.st_size


@lru_cache(maxsize=2)
def _open_volumes(paths: tuple[str, ...], changed: tuple) -> tuple[SlicedVolume, ...]:
    return tuple(SlicedVolume.of(*read_volume(path)) for path in paths)
