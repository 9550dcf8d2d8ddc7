"""Panels side by side, with text below: how all pictures of images are laid out and saved."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from medbundles.atomic_files import replace_atomic

SIDE, GAP, LINE = 384, 8, 20  # pixels: least long side of a panel, space between panels, height of a text line
TEXT = 14  # size of the letters
# how a picture is saved, by its ending: JPEG keeps thin outlines with full colours, and takes a tenth of PNG's time
FORMATS: dict[str, dict[str, Any]] = {
    ".jpg": {"format": "JPEG", "quality": 90, "subsampling": 0},
    ".png": {"format": "PNG", "compress_level": 3},  # a third of the time, a tenth larger
}


@cache
def font(size: int = TEXT) -> ImageFont.FreeTypeFont:
    """The letters of all pictures: matplotlib's, because Pillow's own have no umlauts; read once."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size)


def factor_of(shape: Sequence[int], side: int = SIDE) -> int:
    """How many times a picture of this shape, or the planes of such a volume, are enlarged to be this large."""
    return max(1, -(-side // max(shape)))


def enlarged(picture: np.ndarray, factor: int) -> np.ndarray:
    """uint8 (H, W) or (H, W, 3) -> (factor * H, factor * W, 3), with soft pixels."""
    height, width = picture.shape[:2]
    size = (width * factor, height * factor)
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC).convert("RGB"))


def write_panels(panels: list[np.ndarray], path: str | Path, caption: str, legend: Sequence[tuple] = ()) -> Path:
    """Write what `side_by_side` makes of panels."""
    return written(side_by_side(panels, caption, legend), path)


def side_by_side(panels: list[np.ndarray], caption: str, legend: Sequence[tuple] = (), text: int = TEXT) -> Image.Image:
    """Panels, uint8 (H, W, 3), side by side on black, with text and a legend of (name, colour) below."""
    height, widths = max(panel.shape[0] for panel in panels), [panel.shape[1] for panel in panels]
    total, line = sum(widths) + GAP * (len(panels) - 1), LINE * text // TEXT
    lines = [part for words in caption.splitlines() for part in _wrapped(words, total - 2 * GAP, text)]
    entries = _in_rows([(name, colour, font(text).getlength(name) + 6 * GAP) for name, colour in legend], total - GAP)
    rows = len(lines) + len(entries)
    canvas = Image.new("RGB", (total, height + (rows * line + GAP if rows else 0)))
    for i, panel in enumerate(panels):
        canvas.paste(Image.fromarray(panel), (sum(widths[:i]) + i * GAP, 0))
    draw, y = ImageDraw.Draw(canvas), height + GAP // 2
    for words in lines:
        draw.text((GAP, y), words, fill="white", font=font(text))
        y += line
    for row in entries:
        x = float(GAP)
        for name, colour, width in row:
            draw.line((x, y + line // 2, x + 2 * GAP, y + line // 2), fill=colour, width=3)
            draw.text((x + 3 * GAP, y), name, fill=colour, font=font(text))
            x += width
        y += line
    return canvas


def _in_rows(entries: Sequence[tuple[str, Any, float]], most: float) -> list[list[tuple[str, Any, float]]]:
    """Entries of a legend, whose last value is their width, in rows of at most so many pixels."""
    rows: list[list[tuple[str, Any, float]]] = []
    for entry in entries:
        if not rows or sum(width for *_, width in [*rows[-1], entry]) > most:
            rows.append([])
        rows[-1].append(entry)
    return rows


def written(canvas: Image.Image, path: str | Path) -> Path:
    """Write a picture, by the ending of `path`, and return that."""
    path = Path(path)
    with replace_atomic(path, flush=False) as temporary:
        canvas.save(temporary, **FORMATS[path.suffix])
    return path


def _wrapped(text: str, width: int, size: int) -> list[str]:
    if font(size).getlength(text) <= width:
        return [text]
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font(size).getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
