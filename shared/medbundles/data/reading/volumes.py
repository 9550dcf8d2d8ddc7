"""Between volumes and the 2D slices that networks see."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medbundles.data.reading.nifti import VolumeInfo


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
