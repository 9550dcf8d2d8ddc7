"""Where the head is in a slice, whatever the background is."""

from __future__ import annotations

import numpy as np

ANALYSIS_SIZE = 128  # pixels of the longer side at which the head is looked for: enough for its outline, and fast
TISSUE_LEVELS = (0.12, 0.16, 0.2, 0.25, 0.3)  # tissue begins at this part of the way from background to bright


def head_mask(image: np.ndarray) -> np.ndarray:
    """Mask of the head (or brain) in a slice, holes filled.

    The background is the dark level along the picture's border, whatever its value is; white frames are cut off
    first. Tissue is what lies above it, by a level that is raised while the result hugs the border (haze, noise). What
    the border cannot be reached from is filled, so dark skull and ventricles belong to the head; thin and small things
    (burnt-in text, markers) do not. Only ratios of differences enter: a*x + b with a > 0 gives the same mask.

    Args:
        image: (C, H, W) float, at least one channel not constant; the tissue of all channels is united.

    Returns:
        bool (H, W). All True when no head can be told from the background (it fills the picture).
    """
    step = max(1, round(max(image.shape[1:]) / ANALYSIS_SIZE))
    low = image.min(axis=(1, 2), keepdims=True)
    span = image.max(axis=(1, 2), keepdims=True) - low
    varied = span[:, 0, 0] > 0
    small = _box_mean((image[varied] - low[varied]) / span[varied], step)

    rows, columns = _without_frame(small.max(axis=0))
    mask = np.zeros(small.shape[1:], dtype=bool)
    mask[rows, columns] = _tissue(small[:, rows, columns])
    return mask.repeat(step, axis=0).repeat(step, axis=1)[: image.shape[1], : image.shape[2]]


def _box_mean(image: np.ndarray, step: int) -> np.ndarray:
    """(C, H, W) reduced by a whole number; the last rows and columns are repeated to make it fit."""
    if step == 1:
        return image
    height, width = image.shape[1:]
    image = np.pad(image, ((0, 0), (0, -height % step), (0, -width % step)), mode="edge")
    total = np.zeros_like(image[:, ::step, ::step])
    for i in range(step):
        for j in range(step):
            total += image[:, i::step, j::step]
    return total / np.float32(step**2)


def _without_frame(x: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of x (H, W) inside a frame: bright, even lines in the outer tenth of any side."""
    dark = quantile(x[::2, ::2], 0.1)

    def thickness(lines: np.ndarray) -> int:
        outer = np.sort(lines[: max(3, len(lines) // 10)], axis=1)
        n = outer.shape[1]
        even = outer[:, n - 1 - n // 5] - outer[:, n // 5] < 0.1
        frame = np.flatnonzero(even & (outer[:, n // 2] > dark + 0.15))
        return int(frame[-1]) + 2 if frame.size else 0  # one line more: JPEG smears the edge

    top, bottom, left, right = (thickness(lines) for lines in (x, x[::-1], x.T, x.T[::-1]))
    return slice(top, x.shape[0] - bottom), slice(left, x.shape[1] - right)


def _tissue(x: np.ndarray) -> np.ndarray:
    """Mask (H, W) of the head in x (C, H, W), channels scaled to [0, 1]."""
    from scipy import ndimage

    ring = np.ones(x.shape[1:], dtype=bool)
    ring[1:-1, 1:-1] = False
    white = components_at(ring, x.min(axis=0) > 0.85, share=0.15)  # a white background instead of a dark one
    if white.any():
        white = ndimage.binary_dilation(white, iterations=2)
    levels = [_levels(channel[ring & ~white], channel[~white]) for channel in x]
    brightness = x.max(axis=0)

    for fraction in TISSUE_LEVELS:
        mask = np.zeros(x.shape[1:], dtype=bool)
        for channel, (background, bright, noise) in zip(x, levels, strict=True):
            mask |= channel > background + max(fraction * bright, noise)
        mask = ~components_at(ring, ~mask | white)
        mask = ndimage.binary_opening(mask, np.ones((3, 3), dtype=bool))
        labels, _ = ndimage.label(mask)
        weight = np.bincount(labels.ravel(), weights=brightness.ravel())
        weight[0] = 0
        mask = (weight > 0.1 * weight.max())[labels]  # a head may fall apart in the skull base
        if mask.any() and mask[ring].mean() < 0.35 and mask.mean() < 0.85:
            return mask
    return np.ones(x.shape[1:], dtype=bool)


def _levels(border: np.ndarray, pixels: np.ndarray) -> tuple[float, float, float]:
    """Level of the background, how far bright tissue lies above it, and the background's noise, for one channel."""
    dark = border[border < 0.5]
    background, upper = (quantile(dark, 0.5), quantile(dark, 0.75)) if dark.size else (0.0, 0.0)
    tissue = pixels[pixels > background + 0.05]
    bright = quantile(tissue, 0.9) - background if tissue.size else 1.0
    # Four standard deviations; the border may also hold dark parts of the head, hence the limit.
    return background, bright, min(6 * (upper - background), 0.25 * bright)


def quantile(values: np.ndarray, q: float) -> float:
    """Value below which the part q of the values lies (no interpolation).

    Sorts: numpy's percentile takes milliseconds where many pixels are equal, as in a background.
    """
    return float(np.sort(values, axis=None)[int(q * (values.size - 1))])


def components_at(ring: np.ndarray, mask: np.ndarray, share: float = 0.0) -> np.ndarray:
    """Connected components of a mask (H, W) or (X, Y, Z) that cover more than a share of the ring's pixels."""
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    contact = np.bincount(labels[ring], minlength=count + 1)
    contact[0] = 0
    return (contact > share * ring.sum())[labels]
