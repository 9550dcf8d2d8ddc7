"""Pictures of single images: outlines of masks and heat maps over the image, side by side with the image itself.

Drawn by Pillow: MONAI's blend_images fills masks, which hides what lies under them, and matplotlib resamples pixels.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from medbundles.atomic_files import replace_atomic

TRUTH, PREDICTION = (0, 230, 118), (255, 64, 129)  # green and pink: told apart by colour-blind eyes by brightness too
SIDE, GAP, LINE = 384, 8, 20  # pixels: about the long side of a panel, space between panels, height of a text line
MOST, BAR = 1024, 88  # pixels: longest side of a compared image, width of the scale beside it
# how a picture is saved, by its ending: JPEG keeps thin outlines with full colours, and takes a tenth of PNG's time
FORMATS: dict[str, dict[str, Any]] = {
    ".jpg": {"format": "JPEG", "quality": 90, "subsampling": 0},
    ".png": {"format": "PNG", "compress_level": 3},  # a third of the time, a tenth larger
}


def gray(image: np.ndarray, window: tuple[float, float] | None = None) -> np.ndarray:
    """An image as a person would look at it: channels averaged, the middle 99 % of its values from black to white.

    Args:
        image: (H, W) or (C, H, W), any numbers.
        window: the values of black and white instead, see `window_of`.

    Returns:
        uint8 (H, W).
    """
    plane = np.asarray(image, dtype=np.float32)
    plane = plane.mean(axis=0) if plane.ndim == 3 else plane
    low, high = window or window_of(plane)
    return np.asarray(255 * np.clip((plane - low) / max(high - low, 1e-12), 0, 1), dtype=np.uint8)


def window_of(plane: np.ndarray) -> tuple[float, float]:
    """The range of the middle 99 % of the values."""
    low, high = np.percentile(plane, [0.5, 99.5])
    if high <= low:  # nearly everything is background
        low, high = plane.min(), plane.max()
    return float(low), float(high)


def overlay(
    image: np.ndarray,
    path: str | Path,
    *,
    predicted: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    heat: np.ndarray | None = None,
    caption: str = "",
) -> Path:
    """Write the image, and beside it the image with the outlines of the true and of the predicted mask.

    Args:
        image: (H, W) or (C, H, W).
        path: the picture to write (.jpg or .png).
        predicted: (H, W) mask or class indices, outlined in pink; None: no such outline.
        truth: (H, W) mask or class indices, outlined in green; None: no such outline.
        heat: (H, W), 0 to 1, laid over the image below the outlines; None: the image alone.
        caption: text below; may hold line breaks.

    Returns:
        `path`.
    """
    base = gray(image)
    factor, legend = factor_of(base.shape), []
    plain = enlarged(base, factor)
    marked = plain.copy() if heat is None else enlarged(under_heat(base, heat), factor)
    for name, mask, colour in (("truth", truth, TRUTH), ("prediction", predicted, PREDICTION)):
        if mask is None:
            continue
        mask = np.asarray(mask)
        legend.append((name if (mask > 0).any() else f"{name} (empty)", colour))
        # outlined in the picture as it is enlarged
        marked[outline(mask.repeat(factor, axis=0).repeat(factor, axis=1), width=2, closed=True)] = colour
    return write_panels([plain, marked], path, caption, legend)


def heat_map(
    image: np.ndarray, heat: np.ndarray, path: str | Path, *, predicted: np.ndarray | None = None, caption: str = ""
) -> Path:
    """Write the image, and beside it the image under a heat map (dark: no heat, yellow: most).

    Args:
        image: (H, W) or (C, H, W).
        heat: (H, W), 0 to 1.
        path: the picture to write (.jpg or .png).
        predicted: (H, W) mask, outlined in pink unless it is empty.
        caption: text below.

    Returns:
        `path`.
    """
    whole = None if predicted is None or not np.any(predicted) else np.asarray(predicted) > 0
    return overlay(image, path, predicted=whole, heat=heat, caption=caption)


def comparison(target: np.ndarray, made: np.ndarray, path: str | Path, *, caption: str = "") -> Path:
    """Write what `compared` shows; `path` is the picture to write (.jpg or .png), and what it returns."""
    return _written(compared(target, made, caption), path)


def compared(target: np.ndarray, made: np.ndarray, caption: str = "") -> Image.Image:
    """An image, its reconstruction in the same gray levels, and how far apart they are, with the scale of that.

    Args:
        target: (H, W); shrunk for the picture where a side has over 1024 pixels.
        made: (H, W).
        caption: text below.
    """
    target, made = (np.asarray(plane, dtype=np.float32) for plane in (target, made))
    window, difference = window_of(target), shrunk(np.abs(made - target))
    most, factor = window_of(difference)[1], factor_of(difference.shape)  # one pixel must not darken all others
    panels = [*(gray(shrunk(plane), window) for plane in (target, made)), heat_colours(difference / max(most, 1e-12))]
    panels = [enlarged(panel, factor) for panel in panels]
    what = f"image, reconstruction, difference (brightest from {most:.3g} on; largest {difference.max():.3g})"
    return side_by_side([*panels, scale_bar(panels[0].shape[0], most)], f"{caption}\n{what}".strip())


def scale_bar(height: int, most: float) -> np.ndarray:
    """The colours of a difference from 0 (below) to `most` (above), with both values; uint8 (height, BAR, 3)."""
    top, rows = LINE // 2, max(1, height - LINE)
    heat = np.repeat(np.linspace(1, 0, rows)[:, None], 2 * GAP, axis=1)
    canvas = Image.new("RGB", (BAR, height))
    canvas.paste(Image.fromarray(heat_colours(heat)), (GAP, top))
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((GAP, top, 3 * GAP - 1, top + rows - 1), outline=(128, 128, 128))
    for y, value in ((top, most), (top + rows / 2, most / 2), (top + rows, 0.0)):
        draw.text((4 * GAP, y), f"{value:.3g}", fill="white", font=font(), anchor="lm")
    return np.asarray(canvas)


def shrunk(plane: np.ndarray) -> np.ndarray:
    """Means of blocks of pixels, so that no side of a plane (H, W) float32 is above MOST."""
    times = -(-max(plane.shape) // MOST)
    return np.asarray(Image.fromarray(plane).reduce(times)) if times > 1 else plane


def under_heat(base: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A gray picture, uint8 (H, W), under a heat map (H, W), 0 to 1; uint8 (H, W, 3)."""
    share = (0.75 * np.clip(np.asarray(heat, dtype=np.float32), 0, 1) ** 0.5)[..., None]
    return np.asarray((1 - share) * base[..., None] + share * heat_colours(heat), dtype=np.uint8)


def heat_colours(heat: np.ndarray) -> np.ndarray:
    """0 to 1 as colours from black to yellow; (H, W) -> uint8 (H, W, 3)."""
    return _inferno()[np.clip(256 * np.asarray(heat), 0, 255).astype(np.uint8)]  # as matplotlib does it, but fast


@cache
def _inferno() -> np.ndarray:
    from matplotlib import colormaps

    return np.asarray(255 * colormaps["inferno"](np.arange(256))[:, :3], dtype=np.uint8)


@cache
def font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The letters of all pictures; unpacked once, which takes as long as a picture."""
    return ImageFont.load_default(14)


def factor_of(shape: Sequence[int]) -> int:
    """How many times a picture of this shape, or the planes of such a volume, are enlarged."""
    return max(1, round(SIDE / max(shape)))


def enlarged(picture: np.ndarray, factor: int) -> np.ndarray:
    """uint8 (H, W) or (H, W, 3) -> (factor * H, factor * W, 3), with soft pixels."""
    height, width = picture.shape[:2]
    size = (width * factor, height * factor)
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC).convert("RGB"))


def outline(mask: np.ndarray, width: int = 1, closed: bool = False) -> np.ndarray:
    """The inner rim of each class of a mask: its pixels that have, along a row or column, another class near.

    Args:
        mask: (H, W), class indices or bool; 0 is background.
        width: how near, in pixels.
        closed: whether there is background beyond the border of the picture.

    Returns:
        bool (H, W).
    """
    height, wide = mask.shape
    padded = np.pad(mask, width, mode="constant" if closed else "edge")
    rim = np.zeros(mask.shape, dtype=bool)
    for step in range(2 * width + 1):
        rim |= padded[step : step + height, width : width + wide] != mask
        rim |= padded[width : width + height, step : step + wide] != mask
    return rim & (mask > 0)


def write_panels(panels: list[np.ndarray], path: str | Path, caption: str, legend: Sequence[tuple] = ()) -> Path:
    """Write what `side_by_side` makes of panels."""
    return _written(side_by_side(panels, caption, legend), path)


def side_by_side(panels: list[np.ndarray], caption: str, legend: Sequence[tuple] = ()) -> Image.Image:
    """Panels, uint8 (H, W, 3), side by side on black, with text and a legend of (name, colour) below."""
    height, widths = max(panel.shape[0] for panel in panels), [panel.shape[1] for panel in panels]
    total = sum(widths) + GAP * (len(panels) - 1)
    lines = [line for text in caption.splitlines() for line in _wrapped(text, total - 2 * GAP)]
    rows = len(lines) + bool(legend)
    canvas = Image.new("RGB", (total, height + (rows * LINE + GAP if rows else 0)))
    for i, panel in enumerate(panels):
        canvas.paste(Image.fromarray(panel), (sum(widths[:i]) + i * GAP, 0))
    draw, y = ImageDraw.Draw(canvas), height + GAP // 2
    for line in lines:
        draw.text((GAP, y), line, fill="white", font=font())
        y += LINE
    x = float(GAP)
    for name, colour in legend:
        draw.line((x, y + LINE // 2, x + 2 * GAP, y + LINE // 2), fill=colour, width=3)
        draw.text((x + 3 * GAP, y), name, fill=colour, font=font())
        x += font().getlength(name) + 6 * GAP
    return canvas


def _written(canvas: Image.Image, path: str | Path) -> Path:
    path = Path(path)
    with replace_atomic(path, flush=False) as temporary:
        canvas.save(temporary, **FORMATS[path.suffix])
    return path


def _wrapped(text: str, width: int) -> list[str]:
    if font().getlength(text) <= width:
        return [text]
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font().getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
