"""Frames of a DICOM series as one volume, once they are known to lie evenly above each other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from medbundles.errors import DataError

UNEVEN = 0.02  # share of a step by which two steps between slices may differ: positions are rounded
TILTED = 0.5  # of a pixel, by which a stack may shift sideways from its first slice to its last
TURNED = 1e-3  # by which the cosines of two slices may differ, and share by which their pixel sizes may
LPS_TO_RAS = np.diag([-1.0, -1, 1, 1])


class BadSeriesError(DataError):
    """A series that cannot be used; the message names no file, `files` does."""

    def __init__(self, what: str, files: Sequence[Path] = ()):
        super().__init__(what)
        self.files = list(files)

    def __reduce__(self) -> tuple:
        return type(self), (str(self), self.files)


@dataclass
class DicomImage:
    """What a series holds.

    Args:
        values: (X, Y, Z) in RAS order as far as `affine` says; without one (N, H, W), or (N, H, W, 3) in colours.
        affine: (4, 4) voxel to mm (RAS+); None: the files say nothing of a place in the patient.
    """

    values: np.ndarray
    affine: np.ndarray | None


@dataclass
class Frame:
    """A slice, or a picture: where it lies in the patient (mm, LPS), and its values (H, W) or (H, W, 3)."""

    file: Path
    number: int  # InstanceNumber, or that of the frame in its file; for messages
    position: Any  # (3,) and (6,), or None
    cosines: Any
    spacing: np.ndarray
    thickness: float
    values: np.ndarray = field(repr=False)


def narrow(values: np.ndarray) -> np.ndarray:
    """The same values as uint8 (where they are that), int16, uint16 or int32, where these hold them, else float32."""
    if values.dtype == np.uint8:
        return values
    for kind in (np.int16, np.uint16, np.int32) if values.dtype.kind in "iub" else ():
        if np.iinfo(kind).min <= values.min() and values.max() <= np.iinfo(kind).max:
            return values.astype(kind, copy=False)
    return values.astype(np.float32, copy=False)


def refuse_frames(what: str, frames: Iterable[Frame]) -> NoReturn:
    """Raise a `BadSeriesError` that holds the files of the frames."""
    raise BadSeriesError(what, list(dict.fromkeys(frame.file for frame in frames)))


def stacked(frames: list[Frame]) -> DicomImage:
    """The volume that frames make, wherever they come in the list.

    Raises:
        BadSeriesError: they make none; what is wrong with them, and in which files.
    """
    first = frames[0]
    if first.values.ndim == 3:
        refuse_frames("holds colours; a volume of one value for each voxel is wanted", frames)
    if nowhere := [frame for frame in frames if frame.position is None]:
        refuse_frames(f"{len(nowhere)} of its {len(frames)} slices have no position in the patient", nowhere)
    if turned := [frame for frame in frames if not _lies_like(frame, first)]:
        refuse_frames(
            "its slices differ in orientation or pixel size (a localizer?); slices of one stack are wanted", turned
        )
    across, down = first.cosines.reshape(2, 3)
    normal = np.cross(across, down)
    if abs(np.linalg.norm(normal) - 1) > 0.01:
        refuse_frames("its orientation is broken: rows and columns of a slice are not at right angles", [first])
    frames = sorted(frames, key=lambda frame: float(frame.position @ normal))
    corners = np.array([frame.position for frame in frames])
    step = normal * first.thickness
    if len(frames) > 1:
        _check_steps(frames, np.diff(corners @ normal))
        _check_shift(frames, corners - corners[0], normal)
        step = (corners[-1] - corners[0]) / (len(frames) - 1)
    affine = np.eye(4)
    affine[:3] = np.stack([across * first.spacing[1], down * first.spacing[0], step, corners[0]], axis=1)
    # rows from below to above, as dcm2niix stores them
    values = narrow(np.stack([frame.values.T for frame in frames], axis=2))[:, ::-1]
    flip = np.diag([1.0, -1, 1, 1])
    flip[1, 3] = values.shape[1] - 1
    return DicomImage(np.ascontiguousarray(values), LPS_TO_RAS @ affine @ flip)


def _lies_like(frame: Frame, first: Frame) -> bool:
    return np.allclose(frame.cosines, first.cosines, atol=TURNED) and np.allclose(
        frame.spacing, first.spacing, rtol=TURNED
    )


def _check_steps(frames: Sequence[Frame], steps: np.ndarray) -> None:
    """Refuse slices in one place, gaps and uneven steps; they are sorted, steps in mm."""
    middle = float(np.median(steps))
    near = max(UNEVEN * middle, 1e-3)
    twice = np.flatnonzero(steps < near)
    if twice.size:
        often, rest = divmod(len(frames), len(frames) - twice.size)
        times = "" if rest else f", {often} in each place"
        refuse_frames(
            f"{twice.size} of its {len(frames)} slices lie where another one does{times} (time points, echoes, or a "
            "copy?); the slices of one volume are wanted",
            [frames[i + 1] for i in twice.tolist()],
        )
    least, most = float(steps.min()), float(steps.max())
    times_least = np.rint(steps / least)
    gaps = np.flatnonzero(times_least > 1)
    if gaps.size and 2 * gaps.size <= steps.size and np.abs(steps - times_least * least).max() < 5 * near:
        where = ", ".join(
            f"{times_least[i] - 1:.0f} between the slices {frames[i].number} and {frames[i + 1].number}"
            for i in gaps[:5].tolist()
        )
        refuse_frames(
            f"slices are missing: {where} (slices are {least:.4g} mm apart, there {most:.4g} mm)",
            [frames[place] for i in gaps.tolist() for place in (i, i + 1)],
        )
    uneven = np.flatnonzero(np.abs(steps - middle) > near)
    if uneven.size:
        refuse_frames(
            f"its slices are unevenly spaced: {least:.4g} to {most:.4g} mm apart; even steps are wanted, so resample "
            "it before, or leave slices out",
            [frames[i + 1] for i in uneven.tolist()],
        )


def _check_shift(frames: Sequence[Frame], off: np.ndarray, normal: np.ndarray) -> None:
    """Refuse a stack whose slices do not lie straight above each other: sheared, or with a slice beside the others."""
    aside = np.linalg.norm(off - np.outer(off @ normal, normal), axis=1)
    if aside.max() > TILTED * frames[0].spacing.min():
        refuse_frames(
            f"its slices are shifted sideways against each other, by up to {aside.max():.4g} mm (a tilted gantry?); "
            "straight stacks are wanted, so resample it before",
            [frames[int(aside.argmax())]],
        )
