"""Draws heads that look a little like axial FLAIR: scalp, skull, textured brain, ventricles, vessels, lesions.

Lesions must need looking at: bright vessels and a diffuse glow make healthy heads as bright and as varied on the whole
as heads with a lesion, so that mean, spread and size tell next to nothing.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Head:
    """One patient's anatomy, lengths as shares of the image side.

    Args:
        height, width: half axes of the head at its widest slice.
        tilt: in-plane rotation in radians.
        centre: (row, column) of the head.
        tissue: brightness of the brain, the scanner's gain included.
        lesion_at: centre of the lesion in head coordinates (x to the right, y down, z from -1 to 1; head radius 1).
        lesion_radius: in head coordinates.
        lesion_gain: how much brighter than tissue, as a share of it.
    """

    height: float
    width: float
    tilt: float
    centre: tuple[float, float]
    tissue: float
    lesion_at: tuple[float, float, float]
    lesion_radius: float
    lesion_gain: float


def random_head(rng: np.random.Generator) -> Head:
    """A patient with a lesion somewhere between the ventricles and the brain's rim."""
    angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.55)
    return Head(
        height=rng.uniform(0.36, 0.44),
        width=rng.uniform(0.29, 0.36),
        tilt=rng.uniform(-0.15, 0.15),
        centre=(0.5 + rng.uniform(-0.04, 0.04), 0.5 + rng.uniform(-0.05, 0.05)),
        tissue=rng.uniform(65, 115),
        lesion_at=(distance * np.cos(angle), distance * np.sin(angle), rng.uniform(-0.5, 0.5)),
        lesion_radius=rng.uniform(0.22, 0.36),
        lesion_gain=rng.uniform(0.5, 0.9),
    )


def draw_slice(
    head: Head, z: float, lesion: float, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One slice.

    Args:
        head: the patient.
        z: height of the slice, -1 to 1.
        lesion: radius of the lesion in this slice as a share of its largest one; 0: healthy slice.
        size: side of the square image in pixels.
        rng: texture, vessels and noise.

    Returns:
        image float32 (H, W), about 0 to 255 on background 0, and lesion mask bool (H, W).
    """
    x, y = _head_coordinates(head, z, size)
    angle, radius = np.arctan2(y, x), np.hypot(x, y) / (1 + _wobble(np.arctan2(y, x), rng, 0.012))
    pixel = 1 / (size * head.width)  # length of a pixel in head coordinates: edges are that soft
    brain = _inside(0.84 - radius, pixel)
    coarse, middle, fine = (smooth_noise(rng, size, cells) for cells in (6, 14, 40))
    texture = 1 + rng.uniform(0.5, 1.2) * (0.10 * coarse + 0.10 * middle + 0.05 * fine)
    image = brain * texture
    image += 0.9 * _inside(1 - radius, pixel) * _inside(radius - 0.93, pixel) * rng.uniform(0.8, 1.3)
    image *= 1 - 0.8 * _ventricles(x, y, z, rng) * brain
    glow = rng.uniform(0, 0.25) if lesion else rng.uniform(0.15, 0.65)  # makes up for the lesion's brightness
    vessels = int(rng.integers(0, 10) if lesion else rng.integers(4, 15))  # and for its contrast
    image += brain * glow * np.clip(smooth_noise(rng, size, 3), 0, None)
    image += brain * _vessels(rng, size, vessels, head) * rng.uniform(0.5, 0.9)
    mask = np.zeros((size, size), dtype=bool)
    if lesion:
        blob = _lesion(head, lesion, x, y, angle, pixel, rng) * brain
        image += blob * (texture * (1 + head.lesion_gain) - image)  # replaces what lies under it
        mask = blob > 0.5
    image = image * head.tissue * rng.uniform(0.9, 1.1) + rng.normal(0, 2.5, image.shape) * _inside(1 - radius, pixel)
    return np.clip(image, 0, 255).astype(np.float32), mask


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Noise (size, size), zero mean, unit spread, varying on a grid of `cells` x `cells`."""
    grid = Image.fromarray(rng.normal(size=(cells, cells)).astype(np.float32))
    noise = np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC))
    return (noise - noise.mean()) / noise.std()


def _head_coordinates(head: Head, z: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of each pixel (H, W): the head's outline in this slice has radius 1."""
    rows, columns = np.mgrid[0:size, 0:size] / size
    rows, columns = rows - head.centre[0], columns - head.centre[1]
    cos, sin = np.cos(head.tilt), np.sin(head.tilt)
    scale = np.sqrt(1 - 0.55 * z**2)  # heads are narrower at the top and at the bottom
    return (columns * cos + rows * sin) / (head.width * scale), (rows * cos - columns * sin) / (head.height * scale)


def _inside(distance: np.ndarray, softness: float) -> np.ndarray:
    return np.clip(0.5 + distance / softness, 0, 1)


def _wobble(angle: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """An irregular outline: relative radius by angle."""
    waves = np.zeros_like(angle)
    for k in range(2, 8):
        waves += rng.normal() / k * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    return strength * 2 * waves


def _ventricles(x: np.ndarray, y: np.ndarray, z: float, rng: np.random.Generator) -> np.ndarray:
    size = rng.uniform(0.8, 1.25) * (1 - 0.6 * abs(z))
    both = np.zeros_like(x)
    for side in (-1, 1):
        u, v = x - side * 0.13 * size, y + 0.02
        both = np.maximum(both, _inside(1 - np.hypot(u / (0.07 * size), (v - 0.25 * side * u) / (0.26 * size)), 0.2))
    return both


def _vessels(rng: np.random.Generator, size: int, count: int, head: Head) -> np.ndarray:
    """Bright winding lines, one to two pixels wide."""
    lines = np.zeros((size, size), dtype=np.float32)
    for _ in range(count):
        steps = int(rng.integers(size // 6, size // 2))
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.18, steps))
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.8)
        row = size * (head.centre[0] + head.height * distance * np.sin(angle)) + np.cumsum(np.sin(heading))
        column = size * (head.centre[1] + head.width * distance * np.cos(angle)) + np.cumsum(np.cos(heading))
        for shift in range(int(rng.integers(1, 3))):
            inside = (row >= 0) & (row < size) & (column + shift >= 0) & (column + shift < size)
            lines[row[inside].astype(int), (column[inside] + shift).astype(int)] = 1
    return lines


def _lesion(
    head: Head, share: float, x: np.ndarray, y: np.ndarray, angle: np.ndarray, pixel: float, rng: np.random.Generator
) -> np.ndarray:
    u, v = x - head.lesion_at[0], y - head.lesion_at[1]
    radius = head.lesion_radius * share * (1 + _wobble(np.arctan2(v, u), rng, 0.16))
    return _inside(radius - np.hypot(u, v), 1.5 * pixel)
