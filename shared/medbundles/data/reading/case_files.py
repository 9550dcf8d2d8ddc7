"""The files of one case: each a 3D volume of a plausible size, all on one grid of voxels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medbundles.data.problems import Problems
from medbundles.data.reading.images import check_header
from medbundles.data.reading.nifti import VolumeInfo, by, odd_spacing, plausible_spacing, read_header
from medbundles.errors import DataError

LONGEST = 1000.0  # mm that a side may have: a longer one is no head, and would fill the memory at 1 mm
TOLERANCE = 1e-3  # mm by which the affines of a case's files may differ


def check_size(info: VolumeInfo) -> None:
    """Make sure that a volume can be a head at some spacing.

    Raises:
        DataError: one plane only, spacing outside 0.05 to 50 mm, or a side longer than 1000 mm.
    """
    if min(info.shape) < 2:
        raise DataError(f"{info.path}: has the shape {info.canonical_shape}; a volume of two planes or more is wanted")
    if not plausible_spacing(info.spacing):
        raise DataError(f"{info.path}: {odd_spacing(info.spacing)}")
    extent = np.array(info.spacing) * info.canonical_shape
    if extent.max() > LONGEST:
        raise DataError(f"{info.path}: is {by(extent)} mm large; at most {LONGEST:g} mm a side are wanted")


def check_same_grid(first: VolumeInfo, other: VolumeInfo) -> None:
    """Make sure that two files of a case have their voxels in the same places.

    Raises:
        DataError: `other` has another shape or another affine than `first`.
    """
    if other.canonical_shape != first.canonical_shape:
        raise DataError(
            f"{other.path}: has the shape {other.canonical_shape}, {first.path} of the same case "
            f"{first.canonical_shape}"
        )
    off = float(np.abs(other.canonical_affine - first.canonical_affine).max())
    if off > TOLERANCE:
        raise DataError(
            f"{other.path}: its affine differs by {off:.3g} from that of {first.path} of the same case; "
            "register the files of a case to one grid"
        )


def check_case_files(files: Sequence[str | Path], problems: Problems, channels: int = 1) -> bool:
    """Check the headers of a case's files and note what is wrong, and what is doubtful.

    Args:
        files: of the case.
        problems: hears what is wrong.
        channels: of the first one.

    Returns:
        Whether all is well.
    """
    before, infos = len(problems), []
    for number, path in enumerate(files):
        with problems.noted(path):
            infos.append(_plausible(path, 1 if number else channels))
    for other in infos[1:] if len(problems) == before else []:
        with problems.noted(other.path):
            check_same_grid(infos[0], other)
    for info in infos:
        problems.doubt(info)
    return len(problems) == before


def _plausible(path: str | Path, channels: int) -> VolumeInfo:
    image, info = read_header(path, channels)
    if image.header["sform_code"] == 0:
        # the voxel size as it stands in the file: nibabel makes a 0 of it 1 without a word
        with image.file_map["image"].get_prepare_fileobj("rb") as file:
            stored = type(image.header).from_fileobj(file, check=False)["pixdim"][1:4]
        if not stored.all():
            raise DataError(f"{path}: the voxel size in its header is 0; write the right one, or its affine, into it")
    check_size(info)
    return info


def check_image_file(path: str | Path, dims: int, channels: int, problems: Problems) -> bool:
    """Check the header of a picture (`dims` 2, of so many channels) or of a volume (3), and note what is wrong.

    Returns:
        Whether all is well.
    """
    if dims == 3:
        return check_case_files([path], problems)
    count = len(problems)
    with problems.noted(path):
        check_header(path, channels)
    return len(problems) == count


def check_channel_files(
    files: Sequence[Path], dims: int, channels: int, problems: Problems, mask: Path | None = None
) -> bool:
    """Check the headers of an image's file, or files of one channel each, and of its mask, and note what is wrong.

    Volumes of several channels are one file each, or the volumes of one 4D file.

    Args:
        files: pictures (`dims` 2) or volumes (3).
        dims: 2 or 3.
        channels: C that they give together.
        problems: hears what is wrong.
        mask: if there is one: it must be as large, of volumes on the same voxels.

    Returns:
        Whether all is well.
    """
    count, each = len(problems), channels if len(files) == 1 else 1
    if len(files) * each != channels:
        problems.add(files[0], f"is {len(files)} files of one channel each; in_channels is {channels}")
    elif dims == 3:
        check_case_files([*files, *([mask] if mask else [])], problems, each)
    else:
        sizes = []
        for path in files:
            with problems.noted(path):
                sizes.append((path, check_header(path, each)))
        if mask:
            with problems.noted(mask):
                sizes.append((mask, check_header(mask)))
        for path, (height, width) in sizes[1:] if len(problems) == count else []:
            first, size = sizes[0]
            if (height, width) != size:
                problems.add(path, f"is {height}x{width} (HxW), {first} of the same case is {size[0]}x{size[1]}")
    return len(problems) == count
