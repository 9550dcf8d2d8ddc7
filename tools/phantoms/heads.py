"""Draws one kind of head: brain, cortex, ventricles, vessels and a lesion, as volumes, or as slices with skull and scalp.

The grades differ in the lesion's pattern alone: a bright rim around a dark core, or a bright core that fades outwards.
Size, place, outline, mean brightness and spread have one distribution. With and without a lesion the brain's spread is
the same too, and its brightness depends on the scanner's gain: a lesion must be looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from medbundles.data.reading.volumes import axial_slices

GRADES = ("HGG", "LGG")
FIELD_OF_VIEW = 200.0  # mm, side of a volume
SLICE_FIELD_OF_VIEW = 250.0  # mm, side of a slice, which shows the scalp too
HEIGHTS = (-20.0, 24.0)  # mm, where slices are cut: far enough from the ends that a head's size tells nothing
SLICE_LESION = 0.75  # size of the lesions in slices, as a share of those in volumes


class Contrast(NamedTuple):
    """How a modality shows things, as parts of the tissue's brightness: 0 is like tissue, below 0 darker."""

    ventricles: float
    cortex: float
    lesion: float
    ring: float


CONTRASTS = {
    "flair": Contrast(-0.6, 0.12, 0.5, 0.45),
    "t1": Contrast(-0.5, -0.12, -0.25, 0.3),
    "t1ce": Contrast(-0.5, -0.12, 0.25, 0.45),
    "t2": Contrast(0.7, 0.12, 0.45, 0.4),
}
SLICE_CONTRAST = Contrast(-0.6, 0.12, 0.5, 0.25)  # FLAIR; with a weaker ring a slice may vary less as a whole
SPREAD, SLICE_SPREAD = (0.26, 0.34), (0.24, 0.3)  # of the brain's intensities, as a part of their mean


@dataclass(frozen=True)
class Grid:
    """The voxels that are drawn: a cube (X, Y, Z), or one axial plane of it (X, Y, 1).

    Args:
        size: voxels along each side of the cube.
        side: its length in mm.
        plane: index of the plane along z; None: all.
    """

    size: int
    side: float = FIELD_OF_VIEW
    plane: int | None = None

    @property
    def voxel(self) -> float:
        """Length of a voxel in mm."""
        return self.side / self.size

    @property
    def planes(self) -> slice:
        return slice(None) if self.plane is None else slice(self.plane, self.plane + 1)

    @property
    def steps(self) -> np.ndarray:
        """Places of the voxels along an axis of the cube in mm; 0 is its middle."""
        return (np.arange(self.size, dtype=np.float32) - (self.size - 1) / 2) * self.voxel

    def noise(self, rng: np.random.Generator, cells: int) -> np.ndarray:
        """Noise (X, Y, Z), zero mean, unit spread, varying on a lattice of `cells` along each side of the cube."""
        weights, noise = _spline(self.size, cells), rng.normal(size=(cells, cells, cells)).astype(np.float32)
        for axis in (weights, weights, weights[:, self.planes]):  # spreads the first axis and moves it to the end
            noise = np.tensordot(noise, axis, axes=(0, 0))
        return (noise - noise.mean()) / noise.std()


@lru_cache
def _spline(size: int, cells: int) -> np.ndarray:
    """Cubic weights (cells, size) of the lattice's points at each voxel of an axis."""
    from scipy import ndimage

    points = np.eye(cells, dtype=np.float32)
    return ndimage.zoom(points, (1, size / cells), order=3, mode="nearest", grid_mode=True)


@dataclass(frozen=True)
class Anatomy:
    """What all modalities of one case share, each (X, Y, Z) with values 0 to 1 unless said otherwise.

    Args:
        brain: share of the brain in each voxel.
        scalp: share of the scalp; between both is the dark skull.
        cortex, ventricles, vessels: parts of the brain.
        lesion: the lesion, soft at its edge.
        ring: mean 0 over the lesion; in HGG above 0 in its rim and below in its core, in LGG the other way round.
        centre: of the lesion in mm (RAS+).
        radius: of a ball as large as the lesion in mm.
    """

    brain: np.ndarray
    scalp: np.ndarray
    cortex: np.ndarray
    ventricles: np.ndarray
    vessels: np.ndarray
    lesion: np.ndarray
    ring: np.ndarray
    centre: tuple[float, float, float]
    radius: float


def draw_case(
    grade: str, size: int, modalities: Sequence[str], rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], Anatomy]:
    """One case, without skull and scalp.

    Args:
        grade: "HGG" or "LGG".
        size: side of the cube in voxels.
        modalities: the volumes to draw.
        rng: everything but the lesion's pattern is drawn from it in the same way for both grades.

    Returns:
        modality -> int16 (X, Y, Z), canonical axes, background 0; and what is where.
    """
    grid = Grid(size)
    anatomy = _anatomy(grade, grid, rng)
    volumes = {}
    for name in modalities:
        brain = _render(anatomy, CONTRASTS[name], SPREAD, grid, rng)
        volumes[name] = np.rint(brain * rng.uniform(250, 1000)).astype(np.int16)
    return volumes, anatomy


def draw_slice(
    grade: str, size: int, height: float, lesion: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One axial slice, FLAIR, of a head with skull and scalp. The same random numbers give the same head.

    Args:
        grade: "HGG" or "LGG".
        size: side of the slice in pixels.
        height: of the slice, 0 (lowest) to 1.
        lesion: radius of the lesion in this slice as a share of its largest one; 0: no lesion.
        rng: the head, its texture and noise.

    Returns:
        image (H, W), 1 is like tissue and 0 background, and lesion mask bool (H, W).
    """
    plane = (HEIGHTS[0] + height * (HEIGHTS[1] - HEIGHTS[0])) / SLICE_FIELD_OF_VIEW * size + (size - 1) / 2
    grid = Grid(size, SLICE_FIELD_OF_VIEW, round(plane))
    anatomy = _anatomy(grade, grid, rng, lesion)
    image = _render(anatomy, SLICE_CONTRAST, SLICE_SPREAD, grid, rng) + rng.uniform(0.8, 1.4) * anatomy.scalp
    return axial_slices(image)[0], axial_slices(anatomy.lesion > 0.5)[0]


def _anatomy(grade: str, grid: Grid, rng: np.random.Generator, share: float = 1.0) -> Anatomy:
    """What is where; in a single plane with the lesion's middle in it, and its radius times `share`."""
    axes = np.array([rng.uniform(60, 70), rng.uniform(74, 86), rng.uniform(58, 68)])
    offset, turn = rng.uniform(-8, 8, 3), rng.uniform(-0.2, 0.2)
    places = (grid.steps, grid.steps, grid.steps[grid.planes])
    shifted = np.meshgrid(*(steps - o for steps, o in zip(places, offset, strict=True)), indexing="ij")
    x, y, z = (*_turned(shifted[0], shifted[1], turn), shifted[2])
    u, v, w = x / axes[0], y / axes[1], z / axes[2]
    edge = grid.voxel / axes[0]  # one voxel in head coordinates: edges are that soft
    radius = np.sqrt(u**2 + v**2 + w**2) / (1 + (0.03 if grid.plane is None else 0.015) * grid.noise(rng, 6))
    brain = _inside(1 - radius, edge) * _inside(w + rng.uniform(0.7, 0.85), edge)  # flat at its base

    angle, height, distance = rng.uniform(0, 2 * np.pi), rng.uniform(-0.25, 0.4), rng.uniform(0.3, 0.5)
    at = np.array([distance * np.cos(angle), distance * np.sin(angle), height]) * axes
    ball = rng.uniform(27, 36)
    if grid.plane is not None:
        at[2], ball = z.flat[0], SLICE_LESION * share * ball
    apart = np.sqrt((x - at[0]) ** 2 + (y - at[1]) ** 2 + (z - at[2]) ** 2)
    lesion, depth = _lesion(apart / (1 + 0.2 * grid.noise(rng, 9)), brain, ball, grid)
    thickness = rng.uniform(0.24, 0.36) * np.clip(1 + 0.35 * grid.noise(rng, 6), 0.4, None)
    ring = np.tanh(6 * (thickness - depth)) * (1 if grade == "HGG" else -1)
    ring = (ring - np.average(ring, weights=lesion)) * lesion if lesion.any() else lesion
    back = np.array([*_turned(at[0], at[1], -turn), at[2]]) + offset
    return Anatomy(
        brain=brain,
        scalp=_inside(radius - 1.08, edge) * _inside(1.16 - radius, edge),
        cortex=brain * _inside(radius - 0.84, 2 * edge),
        ventricles=brain * _ventricles(u, v, w, rng),
        vessels=brain * _vessels(rng, grid, axes, offset),
        lesion=lesion,
        ring=ring,
        centre=(round(float(back[0]), 2), round(float(back[1]), 2), round(float(back[2]), 2)),
        radius=float(ball),
    )


def _turned(x, y, angle: float) -> tuple:
    """Coordinates in axes that are turned by an angle about z."""
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _inside(distance: np.ndarray, softness: float) -> np.ndarray:
    return np.clip(0.5 + distance / softness, 0, 1).astype(np.float32)


def _lesion(apart: np.ndarray, brain: np.ndarray, ball: float, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """The lesion, and the depth below its surface (0 to 1); in a volume as large as a ball whatever its outline is.

    Args:
        apart: distance from the centre in mm, warped where the outline is irregular.
        brain: the lesion stays in it.
        ball: radius in mm; 0: no lesion.
        grid: of both.
    """
    surface = ball
    if not ball:
        return np.zeros_like(brain), np.zeros_like(brain)
    if grid.plane is None:
        count = round(4 / 3 * np.pi * (ball / grid.voxel) ** 3)
        inner = np.where(brain > 0.99, apart, np.inf)
        surface = float(np.partition(inner, count, axis=None)[count])
    return brain * _inside(surface - apart, 1.5 * grid.voxel), np.clip(1 - apart / surface, 0, 1)


def _ventricles(u: np.ndarray, v: np.ndarray, w: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = rng.uniform(0.8, 1.25)
    both = np.zeros_like(u)
    for side in (-1, 1):
        a, b, c = (u - side * 0.15 * size) / 0.09, (v + 0.25 * side * u) / 0.32, (w - 0.1) / 0.22
        both = np.maximum(both, _inside(size - np.sqrt(a**2 + b**2 + c**2), 0.4))
    return both


def _vessels(rng: np.random.Generator, grid: Grid, axes: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Bright winding lines of 3 mm or a voxel."""
    from scipy import ndimage

    width = max(0.5, 1.5 / grid.voxel)
    reach = int(4 * width + 0.5)  # of scipy's Gaussian: planes beyond it do not show
    first, last = (0, grid.size) if grid.plane is None else (grid.plane - reach, grid.plane + reach + 1)
    shape = np.array([grid.size, grid.size, last - first])
    lines = np.zeros(shape, dtype=np.float32)
    for _ in range(int(rng.integers(10, 40))):
        heading = rng.normal(size=3) + np.cumsum(rng.normal(0, 0.25, (int(rng.integers(20, 60)), 3)), axis=0)
        path = np.cumsum(heading / np.linalg.norm(heading, axis=1, keepdims=True), axis=0) * 2.0
        path += rng.uniform(-0.6, 0.6, 3) * axes + offset
        index = np.rint(path / grid.voxel + (grid.size - 1) / 2).astype(int) - [0, 0, first]
        lines[tuple(index[((index >= 0) & (index < shape)).all(axis=1)].T)] = 1
    shown = slice(None) if grid.plane is None else slice(reach, reach + 1)
    return np.minimum(1, 2 * ndimage.gaussian_filter(lines, width)[..., shown])


def _render(
    anatomy: Anatomy, contrast: Contrast, spread: tuple[float, float], grid: Grid, rng: np.random.Generator
) -> np.ndarray:
    """The brain in one modality, (X, Y, Z): 1 is like tissue, 0 is outside."""
    lesion = rng.uniform(0.8, 1.2) * contrast.lesion
    base = 1 + contrast.cortex * anatomy.cortex + contrast.ventricles * anatomy.ventricles
    base += rng.uniform(0.6, 1.0) * anatomy.vessels
    base += anatomy.lesion * (1 + lesion - base) + contrast.ring * anatomy.ring  # replaces what lies under it
    coarse, middle, fine = (grid.noise(rng, cells) for cells in (5, 12, 24))
    texture = (0.2 * coarse + 0.4 * middle + 0.9 * fine) * (1 - 0.85 * anatomy.lesion)
    base = _with_spread(base, texture, anatomy.brain, rng.uniform(*spread))
    bias = 1 + rng.uniform(0, 0.12) * grid.noise(rng, 2)
    noise = rng.normal(0, 0.03, base.shape)
    return anatomy.brain * np.clip(base * bias + noise, 0.03, None)


def _with_spread(base: np.ndarray, texture: np.ndarray, brain: np.ndarray, spread: float) -> np.ndarray:
    """base + a * texture, with a such that the spread over the brain is the wanted part of its mean.

    Lesions vary more or less, by grade, size and place. With the same sum for all, the spread does not tell them apart.
    """
    inside = brain > 0.5
    b, t = base[inside], texture[inside]
    t_mean = t.mean()
    square, cross = t.var(), ((b - b.mean()) * (t - t_mean)).mean()
    missing = (spread * b.mean()) ** 2 - b.var()
    root = cross**2 + square * missing
    strength = max(0.05, (np.sqrt(max(root, 0.0)) - cross) / square)
    return base + strength * (texture - t_mean)
