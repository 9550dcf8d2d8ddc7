"""Where the head is in a volume, whatever the background is."""

from __future__ import annotations

import numpy as np

from medbundles.transforms.head import ANALYSIS_SIZE, TISSUE_LEVELS, _levels, components_at

THIN = 32  # voxels below which an axis is not reduced further


def head_volume_mask(image: np.ndarray) -> np.ndarray:
    """Mask of the head (or brain) in a volume, holes filled: `head_mask` in three dimensions.

    The background is the dark level along the side faces (x and y), whatever its value is; heads are often cut at top
    and bottom, so these faces tell nothing. Tissue is what lies above it, by a level that is raised while the result
    hugs the sides. What the sides cannot be reached from is filled, in the end plane by plane; small things that hang
    apart are not head. Only ratios of differences enter: a*x + b with a > 0 gives the same mask.

    Args:
        image: (C, X, Y, Z) float, at least one channel not constant; the tissue of all channels is united.

    Returns:
        bool (X, Y, Z). All True when no head can be told from the background (it fills the volume).
    """
    steps = _steps(image.shape[1:])
    varied = [channel for channel in image if channel.min() < channel.max()]
    small = np.stack([_scaled(_box_mean(channel, steps)) for channel in varied])
    mask = _tissue(small)
    for axis, step in enumerate(steps):
        mask = mask.repeat(step, axis=axis)
    x, y, z = image.shape[1:]
    return mask[:x, :y, :z]


def _steps(shape: tuple[int, ...]) -> tuple[int, ...]:
    """By how much each axis is reduced: the longest to about 128 voxels, thin ones less."""
    step = max(1, round(max(shape) / ANALYSIS_SIZE))
    return tuple(max(1, min(step, size // THIN)) for size in shape)


def _box_mean(volume: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    """(X, Y, Z) reduced by whole numbers; the last voxels are repeated to make it fit."""
    volume = np.pad(volume, [(0, -size % step) for size, step in zip(volume.shape, steps, strict=True)], mode="edge")
    for axis, step in enumerate(steps):
        if step > 1:
            first = [slice(None)] * 3
            total = np.zeros(1, dtype=np.float32)
            for start in range(step):
                first[axis] = slice(start, None, step)
                total = total + volume[tuple(first)]
            volume = total / np.float32(step)
    return volume


def _scaled(volume: np.ndarray) -> np.ndarray:
    """Most of the values in [0, 1]; a few hot voxels (vessels, artefacts) or dark ones (interpolation) lie outside."""
    ordered = np.sort(volume, axis=None)
    low, high = (float(ordered[int(q * (ordered.size - 1))]) for q in (0.001, 0.999))
    if low == high:
        low, high = float(ordered[0]), float(ordered[-1])
    return (volume - np.float32(low)) / np.float32(high - low if high > low else 1)


def _tissue(x: np.ndarray) -> np.ndarray:
    """Mask (X, Y, Z) of the head in x (C, X, Y, Z), channels scaled to about [0, 1]."""
    from scipy import ndimage

    sides = np.ones(x.shape[1:], dtype=bool)
    sides[1:-1, 1:-1] = False
    levels = [_levels(channel[sides], channel.ravel()) for channel in x]
    brightness = x.max(axis=0).clip(0)

    for fraction in TISSUE_LEVELS:
        mask = np.zeros(x.shape[1:], dtype=bool)
        for channel, (background, bright, noise) in zip(x, levels, strict=True):
            mask |= channel > background + max(fraction * bright, noise)
        mask = ~components_at(sides, ~mask)
        mask = ndimage.binary_opening(mask, np.ones((3, 3, 1), dtype=bool))  # in the plane: stacks may be thin
        labels, _ = ndimage.label(mask)
        weight = np.bincount(labels.ravel(), weights=brightness.ravel())
        weight[0] = 0
        mask = ~_reached(sides, ~(weight > 0.1 * weight.max())[labels])
        if mask.any() and mask[sides].mean() < 0.35 and mask.mean() < 0.85:
            return mask
    return np.ones(x.shape[1:], dtype=bool)


def _reached(sides: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The part of mask (X, Y, Z) that is connected with the side faces within its axial plane."""
    from scipy import ndimage

    plane = np.zeros((3, 3, 3), dtype=bool)  # neighbours in x and y only: a cut head is open at top and bottom
    plane[:, 1, 1] = plane[1, :, 1] = True
    labels, count = ndimage.label(mask, plane)
    touching = np.bincount(labels[sides], minlength=count + 1) > 0
    touching[0] = False
    return touching[labels]
