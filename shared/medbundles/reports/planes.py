"""A picture of a volume and its heat map: three planes through the hottest voxel."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from medbundles.reports.pictures import GAP, LINE, SIDE, enlarged, gray, under_heat, write_panels

LETTER = (255, 214, 0)
CROSS = (90, 170, 255)
HEAD = 0.1  # of the range of gray levels: what differs so much from the border is head
OUTSIDE = "The hottest place lies outside the head; these planes pass the hottest one in it."
_SIDES = {"axial": "RL", "coronal": "RL", "sagittal": "AP"}  # left and right of each plane


def three_planes(image: np.ndarray, heat: np.ndarray, path: str | Path, caption: str = "") -> Path:
    """Write the axial, coronal and sagittal plane through the hottest voxel: plain above, under the heat map below.

    As radiologists show them: the patient's right (R) on the left, the nose (A) up or to the left, the crown up. The
    gray levels are those of the whole volume, the lines in the upper row show where the other planes lie. When the
    hottest voxel lies in the air around the head, where the planes would show nothing, they pass the hottest one in
    the head, and the picture says so; likewise a volume without heat, which is shown in the middle.

    Args:
        image: (X, Y, Z) canonical RAS, voxels about as long as wide.
        heat: (X, Y, Z), 0 to 1.
        path: the picture to write (.png).
        caption: text below; may hold line breaks.

    Returns:
        `path`.

    Example:
        >>> three_planes(np.random.rand(20, 24, 16), np.zeros((20, 24, 16)), "/tmp/doctest_planes.png").name
        'doctest_planes.png'
    """
    image, heat = np.asarray(image, dtype=np.float32), np.asarray(heat, dtype=np.float32)
    hot, (x, y, z), outside = bool(heat.max() > 0), *_point(image, heat)
    base = gray(image.reshape(1, -1)).reshape(image.shape)
    factor = max(1, -(-SIDE // max(image.shape)))
    titles = {"axial": f"z {z}", "coronal": f"y {y}", "sagittal": f"x {x}"}
    columns = []
    for plane, title in titles.items():
        flat, hue = _plane(base, plane, (x, y, z)), _plane(heat, plane, (x, y, z))
        upper, lower = enlarged(flat, factor), enlarged(under_heat(flat, hue), factor)
        _cross(upper, *_place(image.shape, plane, (x, y, z)), factor)
        columns.append(_column(f"{plane}, {title}", [upper, lower], factor * _tallest(image.shape), _SIDES[plane]))
    lines = ["" if hot else "No heat: nothing speaks for this class.", OUTSIDE if outside else "", caption]
    return write_panels(columns, path, "\n".join(line for line in lines if line))


def _point(image: np.ndarray, heat: np.ndarray) -> tuple[tuple[int, int, int], bool]:
    """The voxel that the planes pass, and whether a hotter one lies outside the head."""
    border = np.ones(image.shape, dtype=bool)
    border[1:-1, 1:-1, 1:-1] = False
    apart = np.abs(image - np.median(image[border]))
    inside = np.where(apart > HEAD * float(np.ptp(image)), heat, 0)
    shown = inside if inside.max() > 0 else heat
    x, y, z = np.unravel_index(int(shown.argmax()), heat.shape) if heat.max() > 0 else (n // 2 for n in heat.shape)
    return (int(x), int(y), int(z)), bool(shown.max() < heat.max())


def _plane(volume: np.ndarray, plane: str, point: tuple[int, int, int]) -> np.ndarray:
    """One plane of (X, Y, Z) through a voxel, as it is shown (rows, columns)."""
    x, y, z = point
    if plane == "axial":
        return volume[::-1, ::-1, z].T  # as `medbundles.data.axial_slices`
    return volume[::-1, y, ::-1].T if plane == "coronal" else volume[x, ::-1, ::-1].T


def _place(shape: tuple[int, ...], plane: str, point: tuple[int, int, int]) -> tuple[int, int]:
    """Row and column of a voxel in a plane."""
    x, y, z = (n - 1 - i for n, i in zip(shape, point, strict=True))
    return {"axial": (y, x), "coronal": (z, x), "sagittal": (z, y)}[plane]


def _tallest(shape: tuple[int, ...]) -> int:
    return max(shape[1], shape[2])


def _cross(picture: np.ndarray, row: int, column: int, factor: int) -> None:
    """Thin lines through a voxel, with a gap around it."""
    row, column, gap = factor * row + factor // 2, factor * column + factor // 2, SIDE // 16
    rows, columns = np.arange(picture.shape[0]), np.arange(picture.shape[1])
    picture[np.abs(rows - row) > gap, column] = CROSS
    picture[row, np.abs(columns - column) > gap] = CROSS


def _column(title: str, panels: list[np.ndarray], height: int, sides: str) -> np.ndarray:
    """Panels of one plane below each other, each in a box of the same height, with the title and the sides' letters."""
    width = panels[0].shape[1]
    canvas = Image.new("RGB", (width, LINE + len(panels) * height + (len(panels) - 1) * GAP))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    draw.text((GAP, 2), title, fill="white", font=font)
    for i, panel in enumerate(panels):
        top = LINE + i * (height + GAP)
        canvas.paste(Image.fromarray(panel), (0, top + (height - panel.shape[0]) // 2))
        middle = top + height // 2
        draw.text((4, middle), sides[0], fill=LETTER, font=font, anchor="lm")
        draw.text((width - 4, middle), sides[1], fill=LETTER, font=font, anchor="rm")
    return np.asarray(canvas)
