"""Where the head is in a slice or a volume, whatever the background is."""

from itertools import product

import numpy as np

ANALYSIS_SIZE = 128  # pixels of the longest side at which the head is looked for: enough for its outline, and fast
THIN = 32  # voxels below which an axis of a volume is not reduced further
LEAST_HEAD = 0.02  # of a slice's pixels: volumes are cut into such slices for training, unless set otherwise
TISSUE_LEVELS = (0.12, 0.16, 0.2, 0.25, 0.3)  # tissue begins at this fraction of the way from background to bright


def head_mask(image: np.ndarray) -> np.ndarray:
    """Mask of the head (or brain) in a slice or a volume, holes filled.

    The background is the dark level along the picture's border, whatever its value is; in volumes along the side faces
    (x and y), because heads are often cut at top and bottom. White frames of pictures are cut off first. Tissue is
    what lies above the background, by a level that is raised while the result hugs the border (haze, noise). What the
    border cannot be reached from is filled, in volumes in the end plane by plane, so dark skull and ventricles belong
    to the head; thin and small things (burnt-in text, markers) do not. Only ratios of differences enter: a*x + b with
    a > 0 gives the same mask.

    Args:
        image: (C, H, W) or (C, X, Y, Z) float, at least one channel not constant; the tissue of all channels is united.

    Returns:
        bool (H, W) or (X, Y, Z). All True when no head can be told from the background (it fills the picture).
    """
    shape = image.shape[1:]
    steps = _steps(shape)
    small = np.stack([_scaled(channel, steps) for channel in image if channel.min() < channel.max()])
    mask = _head_in_picture(small) if len(shape) == 2 else _head(small)
    for axis, step in enumerate(steps):
        mask = mask.repeat(step, axis=axis)
    return mask[tuple(slice(size) for size in shape)]


def head_shares(slices: np.ndarray) -> np.ndarray:
    """Share of each slice of a volume that is not background: (Z, H, W), not constant -> (Z,).

    The background is what stands at the volume's border, not always 0. Simpler than `head_mask`, and for whole volumes
    only: there the brightest tissue of all slices says what is noise, which an empty slice alone cannot.
    """
    faces = [slices[0], slices[-1], slices[:, 0], slices[:, -1], slices[:, :, 0], slices[:, :, -1]]
    background = np.median(np.concatenate([face.ravel() for face in faces]))
    head = np.abs(slices - background) > 0.01 * (np.percentile(slices, 99.9) - background)
    return head.mean(axis=(1, 2))


def _steps(shape: tuple[int, ...]) -> tuple[int, ...]:
    """By how much each axis is reduced: the longest to about 128 pixels, thin ones of volumes less."""
    step = max(1, round(max(shape) / ANALYSIS_SIZE))
    return tuple(step if len(shape) == 2 else max(1, min(step, size // THIN)) for size in shape)


def _scaled(channel: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    """One channel (H, W) or (X, Y, Z), not constant, reduced, in [0, 1].

    In volumes a few hot voxels (vessels, artefacts) or dark ones (interpolation) lie outside of it.
    """
    low, high = channel.min(), channel.max()
    if channel.ndim == 2:
        return _box_mean((channel - low) / (high - low), steps)
    small = channel
    for axis, step in enumerate(steps):  # one after the other: fewer sums
        small = _box_mean(small, tuple(step if other == axis else 1 for other in range(3)))
    ordered = np.sort(small, axis=None)
    for share in (0.001, 0.0):  # 0: nearly all voxels are equal
        low, high = (ordered[int(q * (ordered.size - 1))] for q in (share, 1 - share))
        if low < high:
            return (small - low) / (high - low)
    return small - low


def _box_mean(x: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    """(H, W) or (X, Y, Z) reduced by whole numbers; the last pixels are repeated to make it fit."""
    if max(steps) == 1:
        return x
    x = np.pad(x, [(0, -size % step) for size, step in zip(x.shape, steps, strict=True)], mode="edge")
    total = np.zeros_like(x[tuple(slice(None, None, step) for step in steps)])
    for starts in product(*map(range, steps)):
        total += x[tuple(slice(start, None, step) for start, step in zip(starts, steps, strict=True))]
    return total / np.float32(np.prod(steps))


def _head_in_picture(x: np.ndarray) -> np.ndarray:
    """Mask (H, W) of the head in x (C, H, W): inside a frame, and beside a white background instead of a dark one."""
    from scipy import ndimage

    rows, columns = _without_frame(x.max(axis=0))
    inside = x[:, rows, columns]
    white = components_at(_border(inside.shape[1:]), inside.min(axis=0) > 0.85, share=0.15)
    if white.any():
        white = ndimage.binary_dilation(white, iterations=2)
    mask = np.zeros(x.shape[1:], dtype=bool)
    mask[rows, columns] = _head(inside, white)
    return mask


def _without_frame(x: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of x (H, W) inside a frame: bright, even lines in the outer tenth of any side."""
    (dark,) = quantiles(x[::2, ::2], 0.1)

    def thickness(lines: np.ndarray) -> int:
        outer = np.sort(lines[: max(3, len(lines) // 10)], axis=1)
        n = outer.shape[1]
        even = outer[:, n - 1 - n // 5] - outer[:, n // 5] < 0.1
        frame = np.flatnonzero(even & (outer[:, n // 2] > dark + 0.15))
        return int(frame[-1]) + 2 if frame.size else 0  # one line more: JPEG smears the edge

    top, bottom, left, right = (thickness(lines) for lines in (x, x[::-1], x.T, x.T[::-1]))
    return slice(top, x.shape[0] - bottom), slice(left, x.shape[1] - right)


def _border(shape: tuple[int, ...]) -> np.ndarray:
    """True on the border of a picture (H, W) or on the side faces of a volume (X, Y, Z)."""
    border = np.ones(shape, dtype=bool)
    border[1:-1, 1:-1] = False
    return border


def _head(x: np.ndarray, white: np.ndarray | None = None) -> np.ndarray:
    """Mask of the head in x (C, H, W) or (C, X, Y, Z), channels scaled to about [0, 1].

    Args:
        x: the channels.
        white: True where the background is white; None: nowhere.
    """
    from scipy import ndimage

    flat = x.ndim == 3
    border = _border(x.shape[1:])
    dark = np.ones_like(border) if white is None else ~white
    levels = [_levels(channel[border & dark], channel[dark]) for channel in x]
    brightness = x.max(axis=0).clip(0)
    # in the plane: stacks may be thin, and a cut head is open at top and bottom
    opening = np.ones((3, 3) if flat else (3, 3, 1), dtype=bool)
    neighbours = np.zeros((3, 3, 3), dtype=bool)
    neighbours[:, 1, 1] = neighbours[1, :, 1] = True

    for fraction in TISSUE_LEVELS:
        mask = np.zeros_like(border)
        for channel, (background, bright, noise) in zip(x, levels, strict=True):
            mask |= channel > background + max(fraction * bright, noise)
        mask = ndimage.binary_opening(~components_at(border, ~(mask & dark)), opening)
        labels, _ = ndimage.label(mask)
        weight = np.bincount(labels.ravel(), weights=brightness.ravel())
        weight[0] = 0
        mask = (weight > 0.1 * weight.max())[labels]  # a head may fall apart in the skull base
        if not flat:
            mask = ~components_at(border, ~mask, neighbours=neighbours)
        if mask.any() and mask[border].mean() < 0.35 and mask.mean() < 0.85:
            return mask
    return np.ones_like(border)


def _levels(border: np.ndarray, pixels: np.ndarray) -> tuple[float, float, float]:
    """Level of the background, how far bright tissue lies above it, and the background's noise, for one channel."""
    dark = border[border < 0.5]
    background, upper = quantiles(dark, 0.5, 0.75) if dark.size else (0.0, 0.0)
    tissue = pixels[pixels > background + 0.05]
    bright = quantiles(tissue, 0.9)[0] - background if tissue.size else 1.0
    # Four standard deviations; the border may also hold dark tissue, hence the limit.
    return background, bright, min(6 * (upper - background), 0.25 * bright)


def quantiles(values: np.ndarray, *fractions: float) -> list[float]:
    """For each fraction the value below which so much of the values lies (no interpolation).

    Sorts: numpy's percentile takes milliseconds where many pixels are equal, as in a background.
    """
    ordered = np.sort(values, axis=None)
    return [float(ordered[int(q * (ordered.size - 1))]) for q in fractions]


def components_at(
    border: np.ndarray, mask: np.ndarray, share: float = 0.0, neighbours: np.ndarray | None = None
) -> np.ndarray:
    """Connected components of a mask (H, W) or (X, Y, Z) that cover more than a share of the border's pixels.

    `neighbours` is scipy's structure: what counts as connected; None: pixels with a common side.
    """
    from scipy import ndimage

    labels, count = ndimage.label(mask, neighbours)
    contact = np.bincount(labels[border], minlength=count + 1)
    contact[0] = 0
    return (contact > share * border.sum())[labels]
