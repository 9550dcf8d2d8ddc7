"""Pictures of single images: outlines of masks and heat maps over the image, side by side with the image itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from medbundles.atomic_files import replace_atomic

TRUTH, PREDICTION = (0, 230, 118), (255, 64, 129)  # green and pink: told apart by colour-blind eyes by brightness too
SIDE, GAP, LINE = 384, 8, 20  # pixels: least long side of a panel, space between panels, height of a text line


def gray(image: np.ndarray) -> np.ndarray:
    """An image as a person would look at it: channels averaged, the middle 99 % of its values from black to white.

    Args:
        image: (H, W) or (C, H, W), any numbers.

    Returns:
        uint8 (H, W).
    """
    plane = np.asarray(image, dtype=np.float32)
    plane = plane.mean(axis=0) if plane.ndim == 3 else plane
    low, high = np.percentile(plane, [0.5, 99.5])
    if high <= low:  # nearly everything is background
        low, high = float(plane.min()), float(plane.max())
    return np.asarray(255 * np.clip((plane - low) / max(high - low, 1e-12), 0, 1), dtype=np.uint8)


def overlay(
    image: np.ndarray,
    path: str | Path,
    *,
    predicted: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    caption: str = "",
) -> Path:
    """Write the image, and beside it the image with the outlines of the true and of the predicted mask.

    Args:
        image: (H, W) or (C, H, W).
        path: the picture to write (.png).
        predicted: (H, W) mask, outlined in pink; None: no such outline.
        truth: (H, W) mask, outlined in green; None: no such outline.
        caption: text below; may hold line breaks.

    Returns:
        `path`.
    """
    base = gray(image)
    marked = enlarged(base, _factor(base))
    legend = []
    for name, mask, colour in (("truth", truth, TRUTH), ("prediction", predicted, PREDICTION)):
        if mask is None:
            continue
        present = np.asarray(mask) > 0
        legend.append((name if present.any() else f"{name} (empty)", colour))
        marked[_outline(present, _factor(base))] = colour
    return write_panels([enlarged(base, _factor(base)), marked], path, caption, legend)


def heat_map(
    image: np.ndarray, heat: np.ndarray, path: str | Path, *, predicted: np.ndarray | None = None, caption: str = ""
) -> Path:
    """Write the image, and beside it the image under a heat map (dark: no heat, yellow: most).

    Args:
        image: (H, W) or (C, H, W).
        heat: (H, W), 0 to 1.
        path: the picture to write (.png).
        predicted: (H, W) mask, outlined in pink.
        caption: text below.

    Returns:
        `path`.
    """
    base = gray(image)
    factor, legend = _factor(base), []
    marked = enlarged(under_heat(base, heat), factor)
    if predicted is not None and (np.asarray(predicted) > 0).any():
        marked[_outline(np.asarray(predicted) > 0, factor)] = PREDICTION
        legend = [("prediction", PREDICTION)]
    return write_panels([enlarged(base, factor), marked], path, caption, legend)


def under_heat(base: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A gray picture, uint8 (H, W), under a heat map (H, W), 0 to 1; uint8 (H, W, 3)."""
    from matplotlib import colormaps

    heat = np.clip(np.asarray(heat, dtype=np.float32), 0, 1)
    colours = 255 * colormaps["inferno"](heat)[..., :3]
    share = (0.75 * heat**0.5)[..., None]
    return np.asarray((1 - share) * base[..., None] + share * colours, dtype=np.uint8)


def _factor(base: np.ndarray) -> int:
    return max(1, -(-SIDE // max(base.shape)))


def enlarged(picture: np.ndarray, factor: int) -> np.ndarray:
    """uint8 (H, W) or (H, W, 3) -> (factor * H, factor * W, 3), with soft pixels."""
    height, width = picture.shape[:2]
    size = (width * factor, height * factor)
    return np.array(Image.fromarray(picture).convert("RGB").resize(size, Image.Resampling.BICUBIC))


def _outline(mask: np.ndarray, factor: int) -> np.ndarray:
    """The mask's inner rim, about two pixels of the enlarged picture wide."""
    inside = np.pad(np.kron(mask, np.ones((factor, factor), dtype=bool)), 2)
    core = inside.copy()
    for axis in (0, 1):
        for step in (-2, -1, 1, 2):
            core &= np.roll(inside, step, axis)
    return (inside & ~core)[2:-2, 2:-2]


def write_panels(panels: list[np.ndarray], path: str | Path, caption: str, legend: Sequence[tuple] = ()) -> Path:
    """Write panels, uint8 (H, W, 3), side by side on black, with text and a legend of (name, colour) below."""
    height, widths = max(panel.shape[0] for panel in panels), [panel.shape[1] for panel in panels]
    font = ImageFont.load_default(14)
    total = sum(widths) + GAP * (len(panels) - 1)
    lines = [line for text in caption.splitlines() for line in _wrapped(text, font, total - 2 * GAP)]
    rows = len(lines) + bool(legend)
    canvas = Image.new("RGB", (total, height + (rows * LINE + GAP if rows else 0)))
    for i, panel in enumerate(panels):
        canvas.paste(Image.fromarray(panel), (sum(widths[:i]) + i * GAP, 0))
    draw, y = ImageDraw.Draw(canvas), height + GAP // 2
    for line in lines:
        draw.text((GAP, y), line, fill="white", font=font)
        y += LINE
    x = float(GAP)
    for name, colour in legend:
        draw.line((x, y + LINE // 2, x + 2 * GAP, y + LINE // 2), fill=colour, width=3)
        draw.text((x + 3 * GAP, y), name, fill=colour, font=font)
        x += font.getlength(name) + 6 * GAP
    path = Path(path)
    with replace_atomic(path) as temporary:
        canvas.save(temporary, format="PNG", compress_level=3)  # a third of the time, a tenth larger
    return path


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
