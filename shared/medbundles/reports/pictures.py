"""Pictures of single images: outlines of masks and heat maps over the image, side by side with the image itself.

Drawn by Pillow: MONAI's blend_images fills masks, which hides what lies under them, and matplotlib resamples pixels.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from medbundles.reports.panels import GAP, LINE, SIDE, TEXT, enlarged, factor_of, font, side_by_side, written
from medbundles.transforms.head import head_mask

TRUTH, PREDICTION = (230, 159, 0), (86, 180, 233)  # orange and sky blue: the colour-blind tell them apart
LETTER = (240, 228, 66)  # of the sides; all three are of Okabe & Ito
CLASSES = ((0, 158, 115), (213, 94, 0), (204, 121, 167), (86, 180, 233), (230, 159, 0), (240, 228, 66), (0, 114, 178))
MOST, BAR = 1024, 88  # pixels: longest side of a compared image, width of the scale beside it
HEAT = "scale: share of the highest value in the head"
OUTSIDE = "The hottest place lies outside the head and is not shown."


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


def overlay(image: np.ndarray, path: str | Path, **shown: Any) -> Path:
    """Write what `outlined` shows; `path` is the picture to write (.jpg or .png), and what it returns."""
    return written(outlined(image, **shown), path)


def outlined(
    image: np.ndarray,
    *,
    predicted: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    heat: np.ndarray | None = None,
    caption: str = "",
    sides: str = "",
    side: int = SIDE,
    text: int = TEXT,
    names: Sequence[str] = (),
) -> Image.Image:
    """An image, beside it with the outline of the true mask, and beside that with those of the true and the predicted
    one; with one mask alone there are two panels, and without anything to show on it the image alone.

    Of several classes (several `names`, or numbers above 1) each has a colour of its own, told below, and the last
    panel shows the predicted outlines alone. The eighth class has the first one's colour again, and so on.

    Args:
        image: (H, W) or (C, H, W).
        predicted: (H, W) mask or class indices, a mask outlined in sky blue; None: no such outline.
        truth: (H, W) mask or class indices, a mask outlined in orange; None: no such outline.
        heat: (H, W), 0 to 1, laid over the last panel below the outlines, with its scale beside it; None: none.
        caption: text below; may hold line breaks.
        sides: which side of the patient is on the left and on the right, such as "RL"; empty: not known, no letters.
        side: pixels that a panel's longer side has at least.
        text: size of the letters below, in pixels.
        names: of the classes 1, 2 and so on; one that has none is named by its number.
    """
    base = gray(image)
    factor = factor_of(base.shape, side)
    plain = enlarged(base, factor)
    last = plain if heat is None else enlarged(under_heat(base, heat), factor)
    there = {name: mask for name, mask in (("truth", truth), ("prediction", predicted)) if mask is not None}
    numbers = sorted({int(number) for mask in there.values() for number in np.unique(mask) if number > 0})
    several = len(names) > 1 or any(number > 1 for number in numbers)
    colours = dict.fromkeys(there, CLASSES) if several else {"truth": (TRUTH,), "prediction": (PREDICTION,)}
    said = [name if np.any(np.asarray(mask) > 0) else f"{name} (empty)" for name, mask in there.items()]
    if several:
        caption = f"{caption}\n{', '.join(['image', *said])}".strip()
        legend = [(_name(number, names), CLASSES[(number - 1) % len(CLASSES)]) for number in numbers]
    else:
        legend = [(text, colours[name][0]) for text, name in zip(said, there, strict=True)]
    panels = [plain]
    if truth is not None:
        panels.append(_with_outline(plain, truth, factor, colours["truth"]))
        last = last if several else _with_outline(last, truth, factor, colours["truth"])
    if predicted is not None:
        last = _with_outline(last, predicted, factor, colours["prediction"])
    if predicted is not None or heat is not None:
        panels.append(last)
    panels = [_with_sides(panel, sides) for panel in panels]
    bar = [] if heat is None else [scale_bar(len(plain), 1.0, over_gray=True)]
    return side_by_side([*panels, *bar], caption, legend, text)


def _name(number: int, names: Sequence[str]) -> str:
    return names[number - 1] if number <= len(names) else str(number)


def _with_outline(picture: np.ndarray, mask: np.ndarray, factor: int, colours: Sequence[tuple]) -> np.ndarray:
    """A copy of an enlarged picture with the outline of each class of a mask, drawn in the picture's pixels."""
    marked, large = picture.copy(), np.asarray(mask, dtype=int).repeat(factor, axis=0).repeat(factor, axis=1)
    rim = outline(large, width=2, closed=True)
    marked[rim] = np.array(colours, dtype=np.uint8)[(large[rim] - 1) % len(colours)]
    return marked


def _with_sides(picture: np.ndarray, sides: str) -> np.ndarray:
    """A copy of a panel with the letters of the patient's sides at its left and right border."""
    if not sides:
        return picture
    canvas = Image.fromarray(picture)
    letters(ImageDraw.Draw(canvas), sides, picture.shape[1], picture.shape[0] // 2)
    return np.asarray(canvas)


def letters(draw: ImageDraw.ImageDraw, sides: str, width: int, y: int) -> None:
    """Draw which side of the patient is on the left and on the right, such as "RL", at height y of a picture."""
    for letter, x, anchor in ((sides[0], 4, "lm"), (sides[1], width - 4, "rm")):
        draw.text((x, y), letter, fill=LETTER, font=font(), anchor=anchor, stroke_width=1,
                  stroke_fill="black")  # fmt: skip


def heat_map(
    image: np.ndarray,
    heat: np.ndarray,
    path: str | Path,
    *,
    predicted: np.ndarray | None = None,
    caption: str = "",
    sides: str = "",
    side: int = SIDE,
) -> Path:
    """Write the image, and beside it the image under a heat map of the head (dark: no heat, yellow: most).

    Args:
        image: (H, W) or (C, H, W).
        heat: (H, W), 0 to 1; what lies outside the head is not shown, and the scale ends at the most that is shown.
        path: the picture to write (.jpg or .png).
        predicted: (H, W) mask, outlined in sky blue unless it is empty.
        caption: text below.
        sides: see `outlined`.
        side: see `outlined`.

    Returns:
        `path`.
    """
    whole = None if predicted is None or not np.any(predicted) else np.asarray(predicted) > 0
    planes = np.asarray(image, dtype=np.float32)
    heat, outside = heat_in_head(heat, head_or_all(planes if planes.ndim == 3 else planes[None]))
    lines = [caption, OUTSIDE if outside else "", HEAT]
    caption = "\n".join(line for line in lines if line)
    return overlay(image, path, predicted=whole, heat=heat, caption=caption, sides=sides, side=side)


def head_or_all(image: np.ndarray) -> np.ndarray:
    """Where the head is in (C, H, W) or (C, X, Y, Z); everywhere in a constant image."""
    return head_mask(image) if image.min() < image.max() else np.ones(image.shape[1:], dtype=bool)


def heat_in_head(heat: np.ndarray, head: np.ndarray) -> tuple[np.ndarray, bool]:
    """Heat as a share of the most in the head, 0 outside of it; and whether there was more outside."""
    inside = np.where(head, np.asarray(heat, dtype=np.float32), 0)
    return inside / max(float(inside.max()), 1e-12), bool(np.max(heat) > inside.max())


def comparison(target: np.ndarray, made: np.ndarray, path: str | Path, *, caption: str = "", sides: str = "") -> Path:
    """Write what `compared` shows; `path` is the picture to write (.jpg or .png), and what it returns."""
    return written(compared(target, made, caption, sides), path)


def compared(target: np.ndarray, made: np.ndarray, caption: str = "", sides: str = "", text: int = TEXT) -> Image.Image:
    """An image, its reconstruction in the same gray levels, and how far apart they are, with the scale of that.

    Args:
        target: (H, W); shrunk for the picture where a side has over 1024 pixels.
        made: (H, W).
        caption: text below.
        sides: see `outlined`.
        text: likewise.
    """
    target, made = (np.asarray(plane, dtype=np.float32) for plane in (target, made))
    window, difference = window_of(target), shrunk(np.abs(made - target))
    most, factor = window_of(difference)[1], factor_of(difference.shape)  # one pixel must not darken all others
    panels = [*(gray(shrunk(plane), window) for plane in (target, made)), heat_colours(difference / max(most, 1e-12))]
    panels = [_with_sides(enlarged(panel, factor), sides) for panel in panels]
    what = f"image, reconstruction, difference (brightest from {most:.3g} on; largest {difference.max():.3g})"
    return side_by_side([*panels, scale_bar(panels[0].shape[0], most)], f"{caption}\n{what}".strip(), text=text)


def scale_bar(height: int, most: float, over_gray: bool = False) -> np.ndarray:
    """The colours from 0 (below) to `most` (above), with both values; uint8 (height, BAR, 3).

    Args:
        height: pixels; beside a wide picture, which is low, at least as many as the values need.
        most: the value of the brightest colour.
        over_gray: as the colours look that `under_heat` lays over gray.
    """
    height = max(height, 5 * LINE)
    top, rows = LINE // 2, height - LINE
    heat = np.repeat(np.linspace(1, 0, rows)[:, None], 2 * GAP, axis=1)
    colours = under_heat(np.full(heat.shape, 128, dtype=np.uint8), heat) if over_gray else heat_colours(heat)
    canvas = Image.new("RGB", (BAR, height))
    canvas.paste(Image.fromarray(colours), (GAP, top))
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
    return _inferno()[np.rint(255 * np.clip(heat, 0, 1)).astype(np.uint8)]


@cache
def _inferno() -> np.ndarray:
    from matplotlib import colormaps

    return np.asarray(255 * colormaps["inferno"](np.arange(256))[:, :3], dtype=np.uint8)


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
