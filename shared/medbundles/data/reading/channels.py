"""Reads an image of one file, or of one file per channel."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medbundles.data.reading.images import Colour, read_image
from medbundles.data.reading.nifti import VolumeInfo
from medbundles.data.reading.volumes import read_series, read_volume
from medbundles.rules import AUTO


def read_channels(
    paths: Sequence[str | Path], dims: int, channels: int, colour: Colour = AUTO
) -> tuple[np.ndarray, VolumeInfo | None]:
    """Pixels of a picture (`dims` 2), or voxels of a volume (3) with canonical axes.

    Args:
        paths: one file, or one for each channel.
        dims: 2 or 3.
        channels: C of one file: of a picture, or of a 4D NIfTI.
        colour: see `read_image`.

    Returns:
        float32 (C, H, W) or (C, X, Y, Z), and the geometry of a volume's first file.

    Raises:
        DataError: as `read_image` and `read_series`.
    """
    if dims == 3 and len(paths) == 1:
        return read_series(paths[0], channels)
    if dims == 3:
        volumes, infos = zip(*(read_volume(path) for path in paths), strict=True)
        return np.stack(volumes), infos[0]
    each = channels if len(paths) == 1 else 1
    return np.concatenate([read_image(path, each, colour=colour) for path in paths]), None
