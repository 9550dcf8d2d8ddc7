"""What is kept of volumes when they become slices."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medbundles.data import read_volume
from medbundles.data.reading.nifti import VolumeInfo
from medbundles.data.reading.volumes import SlicedVolume
from medbundles.errors import DataError
from medbundles.transforms.head import head_shares

WHOLE = (np.uint8, np.int16, np.uint16)


def slices_with_content(image: np.ndarray, masks: np.ndarray, least: float) -> list[int]:
    """Slices with something in the mask, or with enough head (`head_shares`).

    Args:
        image: (Z, H, W).
        masks: (Z, H, W), above 0 where something is.
        least: share of a slice that the head must fill.
    """
    shares = head_shares(image)
    return [z for z in range(len(image)) if masks[z].any() or shares[z] >= least]


def compact(images: np.ndarray, types: Sequence[type[np.integer]] = WHOLE) -> np.ndarray:
    """The same numbers in the first of the types that holds them all; as they are where none does."""
    whole = np.rint(images)
    for kind in types if np.array_equal(whole, images) else ():
        limits = np.iinfo(kind)
        if limits.min <= whole.min() and whole.max() <= limits.max:
            return whole.astype(kind)
    return images


def labelled_slices(images: Sequence[Path], mask: Path) -> tuple[np.ndarray, np.ndarray, VolumeInfo]:
    """Volumes that lie in one place, and their labels, as axial slices.

    Args:
        images: a file per channel.
        mask: the labels.

    Returns:
        Channels (C, Z, H, W), labels (Z, H, W), and where the voxels lie.

    Raises:
        DataError: a file cannot be read, or has another shape or place than the labels.
    """
    labels, info = read_volume(mask, allow_constant=True)
    volumes = []
    for path in images:
        volume, other = read_volume(path)
        if volume.shape != labels.shape or not np.allclose(other.affine, info.affine, atol=1e-3):
            raise DataError(f"{path}: its shape {volume.shape} or place in space is not that of {mask}")
        volumes.append(SlicedVolume.of(volume, other).slices)
    return np.stack(volumes), SlicedVolume.of(labels, info).slices, info
