"""Planes of a volume as radiologists show them: one of it, or three through the hottest voxel of its heat map."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from medbundles.data.reading.files import VOLUME_ENDINGS
from medbundles.metrics.measures import reconstruction
from medbundles.reports.panels import GAP, LINE, SIDE, enlarged, factor_of, font, write_panels
from medbundles.reports.pictures import HEAT, OUTSIDE, gray, head_or_all, heat_in_head, letters, scale_bar, under_heat
from medbundles.transforms.head import components_at
from medbundles.transforms.normalise import VOLUME_BACKGROUND

CROSS = (86, 180, 233)
PLACE = (
    "lines: the planes meet in the hottest voxel, x {}, y {}, z {}, counted from left, back and below in the "
    "{} x {} x {} voxels that the network sees"
)
NO_HEAT = "no heat in the head: nothing speaks for this class; the planes are the middle ones"
PLANES = {"axial": (2, "RL"), "coronal": (1, "RL"), "sagittal": (0, "AP")}  # axis across it; what is left and right


def shown_plane(arrays: Sequence[torch.Tensor], masks: Sequence[torch.Tensor] = ()) -> list[np.ndarray]:
    """One plane (H, W) of each array: the arrays themselves in 2D, of a volume (X, Y, Z) one slice as radiologists
    show it, axial and nose up for volumes in RAS.

    Args:
        arrays: (H, W) or (X, Y, Z) each.
        masks: the slice is the one with most of the first of these that is not empty, else the middle one.
    """
    if arrays[0].ndim == 2:
        return [array.numpy() for array in arrays]
    filled = [(mask > 0).sum((0, 1)) for mask in masks]
    z = next((int(sizes.argmax()) for sizes in filled if sizes.any()), arrays[0].shape[-1] // 2)
    return [_plane(array.numpy(), 2, z) for array in arrays]


def sides_of(path: str, dims: int) -> str:
    """The sides of the patient on the left and on the right of what `shown_plane` shows, as far as they are known: "RL"
    of a NIfTI volume, whose header says it (readers bring it to RAS), and "" of pictures and arrays, which say nothing.

    Args:
        path: the file that the image was read from.
        dims: 2 for (H, W), 3 for (X, Y, Z).
    """
    return "RL" if dims == 3 and path.lower().endswith(VOLUME_ENDINGS) else ""


def sides_across(axis: int) -> str:
    """The sides of the patient on the left and on the right of a plane of a volume in RAS across an axis."""
    return dict(PLANES.values())[axis]


def reconstruction_planes(output: Mapping[str, Any], i: int) -> tuple[np.ndarray, np.ndarray]:
    """Target and reconstruction (H, W) of one case of an engine's output; of several channels the mean."""
    made, target = (part[i].detach().float().cpu().mean(0) for part in reconstruction(output))
    first, second = shown_plane([target, made])
    return first, second


def on_black(image: np.ndarray) -> np.ndarray:
    """A volume (X, Y, Z) as `ResizeVolume` leaves it, with black around the head instead of the head's median.

    The resizing leaves a rim of values near the median, up to two voxels wide, outside the head.
    """
    from scipy import ndimage

    faces = np.ones(image.shape, dtype=bool)
    faces[1:-1, 1:-1, 1:-1] = False
    outside = components_at(faces, image == VOLUME_BACKGROUND)
    return np.where(ndimage.binary_dilation(outside, iterations=2), image.min(), image)


def three_planes(image: np.ndarray, heat: np.ndarray, path: str | Path, caption: str = "") -> Path:
    """Write the axial, coronal and sagittal plane through the hottest voxel: plain above, under the heat map below.

    As radiologists show them: the patient's right (R) on the left, the nose (A) up or to the left, the crown up. The
    gray levels are those of the whole volume, the lines in the upper row show where the other planes lie, and the text
    below says in which voxel they meet, counted from 0 at the left, back and lowest of the patient. Heat outside
    the head is not shown; when the hottest voxel lies there, the planes pass the hottest one in the head, and the
    picture says so; a volume without heat is shown in the middle.

    Args:
        image: (X, Y, Z) canonical RAS, voxels about as long as wide.
        heat: (X, Y, Z), 0 to 1.
        path: the picture to write (.jpg or .png).
        caption: text below; may hold line breaks.

    Returns:
        `path`.

    Example:
        >>> three_planes(np.random.rand(20, 24, 16), np.zeros((20, 24, 16)), "/tmp/doctest_planes.png").name
        'doctest_planes.png'
    """
    image = np.asarray(image, dtype=np.float32)
    heat, outside = heat_in_head(heat, head_or_all(image[None]))
    hot = bool(heat.max() > 0)
    point = np.unravel_index(int(heat.argmax()), heat.shape) if hot else tuple(n // 2 for n in heat.shape)
    base = gray(image.reshape(1, -1)).reshape(image.shape)
    factor, columns = factor_of(image.shape), []
    height = factor * max(image.shape[1:])
    for plane, (axis, sides) in PLANES.items():
        flat, hue = (_plane(volume, axis, int(point[axis])) for volume in (base, heat))
        upper, lower = enlarged(flat, factor), enlarged(under_heat(flat, hue), factor)
        column, row = (
            n - 1 - int(i) for other, (n, i) in enumerate(zip(image.shape, point, strict=True)) if other != axis
        )
        _cross(upper, row, column, factor)
        columns.append(_column(f"{plane}, {'xyz'[axis]} {point[axis]}", [upper, lower], height, sides))
    columns.append(np.pad(scale_bar(height, 1.0, over_gray=True), ((LINE + height + GAP, 0), (0, 0), (0, 0))))
    lines = [caption, PLACE.format(*point, *image.shape) if hot else NO_HEAT, OUTSIDE if outside else ""]
    return write_panels(columns, path, "\n".join(line for line in (*lines, HEAT) if line))


def _plane(volume: np.ndarray, axis: int, index: int) -> np.ndarray:
    """A copy of one plane of (X, Y, Z) across an axis, as it is shown (rows, columns)."""
    return np.flip(volume.take(index, axis)).T  # the axial one as `medbundles.data.axial_slices`


def _cross(picture: np.ndarray, row: int, column: int, factor: int) -> None:
    """Thin lines through a voxel, with a gap around it."""
    row, column, gap = factor * row + factor // 2, factor * column + factor // 2, SIDE // 16
    rows, columns = np.arange(picture.shape[0]), np.arange(picture.shape[1])
    picture[np.abs(rows - row) > gap, column] = CROSS
    picture[row, np.abs(columns - column) > gap] = CROSS


def _column(title: str, panels: list[np.ndarray], height: int, sides: str) -> np.ndarray:
    """Panels of one plane below each other, each in a box of the same height, with the title and the sides' letters."""
    width = max(panels[0].shape[1], 2 * GAP + round(font().getlength(title)))
    canvas = Image.new("RGB", (width, LINE + len(panels) * height + (len(panels) - 1) * GAP))
    draw = ImageDraw.Draw(canvas)
    draw.text((GAP, 2), title, fill="white", font=font())
    for i, panel in enumerate(panels):
        top = LINE + i * (height + GAP)
        left = (width - panel.shape[1]) // 2
        canvas.paste(Image.fromarray(panel), (left, top + (height - panel.shape[0]) // 2))
        middle = top + height // 2
        letters(draw, sides, width, middle)
    return np.asarray(canvas)
