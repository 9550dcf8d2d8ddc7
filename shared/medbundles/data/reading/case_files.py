"""The files of one case: each a 3D volume of a plausible size, all on one grid of voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.data.problems import Problems
from medbundles.data.reading.nifti import VolumeInfo, load_header, orientation_of
from medbundles.errors import DataError

SPACING = (0.05, 50.0)  # mm; outside it the header's unit is wrong
LONGEST = 1000.0  # mm that a side may have: a longer one is no head, and would fill the memory at 1 mm
TOLERANCE = 1e-3  # mm by which the affines of a case's files may differ


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a file lie, with the axes turned to canonical RAS.

    Args:
        path: the file.
        shape: (X, Y, Z).
        affine: (4, 4) canonical voxel to mm (RAS+).
    """

    path: str
    shape: tuple[int, int, int]
    affine: np.ndarray


def grid_of(path: str | Path, info: VolumeInfo) -> Grid:
    """The grid of a volume that `read_volume` has read."""
    return _canonical(path, info.shape, info.affine, info.orientation)


def grid_in_header(path: str | Path) -> Grid:
    """The grid of a file, from its header: no voxels are read.

    Raises:
        DataError: what `read_volume` would raise, as far as the header shows it.
    """
    image, shape = load_header(path)
    if image.header["sform_code"] == 0 and not all(_stored_spacing(image)):
        raise DataError(f"{path}: the voxel size in its header is 0; write the right one, or its affine, into it")
    affine, orientation = orientation_of(path, image)
    return _canonical(path, shape, affine, orientation)


def _stored_spacing(image: Any) -> list[float]:
    """The voxel size as it stands in the file: nibabel makes a 0 of it 1 without a word."""
    with image.file_map["image"].get_prepare_fileobj("rb") as file:
        header = type(image.header).from_fileobj(file, check=False)
    return [float(size) for size in header["pixdim"][1:4]]


def check_size(grid: Grid) -> None:
    """Make sure that a grid can be a head at some spacing.

    Raises:
        DataError: one plane only, spacing outside 0.05 to 50 mm, or a side longer than 1000 mm.
    """
    if min(grid.shape) < 2:
        raise DataError(f"{grid.path}: has the shape {grid.shape}; a volume of two planes or more is wanted")
    spacing = np.linalg.norm(grid.affine[:3, :3], axis=0)
    if spacing.min() < SPACING[0] or spacing.max() > SPACING[1]:
        raise DataError(
            f"{grid.path}: its voxels are {_by(spacing)} mm; {SPACING[0]:g} to {SPACING[1]:g} mm are wanted. "
            "Is the unit in its header wrong?"
        )
    extent = spacing * grid.shape
    if extent.max() > LONGEST:
        raise DataError(f"{grid.path}: is {_by(extent)} mm large; at most {LONGEST:g} mm a side are wanted")


def check_same_grid(first: Grid, other: Grid) -> None:
    """Make sure that two files of a case have their voxels in the same places.

    Raises:
        DataError: `other` has another shape or another affine than `first`.
    """
    if other.shape != first.shape:
        raise DataError(f"{other.path}: has the shape {other.shape}, {first.path} of the same case {first.shape}")
    off = float(np.abs(other.affine - first.affine).max())
    if off > TOLERANCE:
        raise DataError(
            f"{other.path}: its affine differs by {off:.3g} from that of {first.path} of the same case; "
            "register the files of a case to one grid"
        )


def check_case_files(files: Sequence[str | Path], problems: Problems) -> bool:
    """Check the headers of a case's files and note what is wrong.

    Returns:
        Whether all is well.
    """
    grids = []
    for path in files:
        try:
            grid = grid_in_header(path)
            check_size(grid)
            grids.append(grid)
        except DataError as error:
            problems.add(path, error)
    if len(grids) < len(files):
        return False
    before = len(problems)
    for other in grids[1:]:
        try:
            check_same_grid(grids[0], other)
        except DataError as error:
            problems.add(other.path, error)
    return len(problems) == before


def _canonical(path: str | Path, shape: tuple[int, int, int], affine: np.ndarray, orientation: np.ndarray) -> Grid:
    from nibabel.orientations import inv_ornt_aff

    x, y, z = (int(shape[stored]) for stored in np.argsort(orientation[:, 0]))
    return Grid(str(path), (x, y, z), affine @ inv_ornt_aff(orientation, shape))


def _by(numbers: np.ndarray) -> str:
    return " x ".join(f"{number:.3g}" for number in numbers)
