"""Draws brains with a lesion of one of two grades, as volumes in the layout of BraTS 2018.

The grades differ in the lesion's pattern alone: a bright rim around a dark core, or a bright core that fades outwards.
Size, place, outline, mean brightness and spread have one distribution.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medbundles.data.lists.modalities import wanted_modalities

from ..staging import new_folder

GRADES = ("HGG", "LGG")
FIELD_OF_VIEW = 200.0  # mm, side of the cube
RECORD = "split_synthetic.json"

NOTE = """\
SYNTHETIC DATA: drawn by python -m tools sample-data, not measured on anybody.

{hgg} cases in HGG/: a lesion with a bright rim and a dark core; {lgg} in LGG/: a bright core that fades outwards.
Each number that comes from these volumes says nothing about any disease, scanner or patient.

{{HGG,LGG}}/<case>/<case>_<modality>.nii.gz   {modalities}; {size}x{size}x{size} voxels of {spacing:.3g} mm
split_synthetic.json   where each lesion is: centre (mm, RAS+) and radius (mm)
seed {seed}
"""


class Contrast(NamedTuple):
    """How a modality shows things, as parts of the tissue's brightness: 0 is like tissue, below 0 darker."""

    ventricles: float
    cortex: float
    lesion: float
    ring: float


_CONTRASTS = {
    "flair": Contrast(-0.6, 0.12, 0.5, 0.45),
    "t1": Contrast(-0.5, -0.12, -0.25, 0.3),
    "t1ce": Contrast(-0.5, -0.12, 0.25, 0.45),
    "t2": Contrast(0.7, 0.12, 0.45, 0.4),
}


@dataclass(frozen=True)
class Anatomy:
    """What all modalities of one case share, each (X, Y, Z) with values 0 to 1 unless said otherwise.

    Args:
        brain: share of the brain in each voxel.
        cortex, ventricles, vessels: parts of the brain.
        lesion: the lesion, soft at its edge.
        ring: mean 0 over the lesion; in HGG above 0 in its rim and below in its core, in LGG the other way round.
        centre: of the lesion in mm (RAS+).
        radius: of a ball as large as the lesion in mm.
    """

    brain: np.ndarray
    cortex: np.ndarray
    ventricles: np.ndarray
    vessels: np.ndarray
    lesion: np.ndarray
    ring: np.ndarray
    centre: tuple[float, float, float]
    radius: float


def make_graded_phantoms(
    out_dir: str | Path,
    seed: int = 0,
    cases: tuple[int, int] = (40, 10),
    size: int = 48,
    modalities: Sequence[str] = ("flair",),
) -> dict[str, dict[str, int]]:
    """Write phantoms of two grades in the layout of BraTS 2018 (HGG/<case>/<case>_flair.nii.gz, LGG/...).

    A logistic regression on mean, spread and size of the head stays below AUC 0.7; a network has to look.

    Args:
        out_dir: a folder that does not exist yet or is empty.
        seed: the same seed gives the same voxels.
        cases: number of HGG and of LGG cases; their ratio is the imbalance.
        size: voxels along each side of the cube of 200 mm; heads are about 160 mm long.
        modalities: of flair, t1, t1ce, t2.

    Returns:
        grade -> {"cases": number}.

    Raises:
        ConfigError: `modalities`.
        DataError: the folder is not empty.

    Example:
        >>> make_graded_phantoms("/tmp/grades", cases=(2, 1), size=32)  # doctest: +SKIP
        {'HGG': {'cases': 2}, 'LGG': {'cases': 1}}
    """
    out = new_folder(out_dir)
    modalities = wanted_modalities(modalities)
    lesions, number = {}, 0
    for grade, count in zip(GRADES, cases, strict=True):
        for _ in range(count):
            number += 1
            name = f"phantom_{number:03d}"
            volumes, anatomy = draw_case(grade, size, modalities, np.random.default_rng([seed, number]))
            _write(out / grade / name, name, volumes)
            lesions[name] = {"grade": grade, "centre_mm": anatomy.centre, "radius_mm": round(anatomy.radius, 2)}
    counts = {grade: {"cases": count} for grade, count in zip(GRADES, cases, strict=True)}
    out.mkdir(parents=True, exist_ok=True)
    entries = [*(grade for grade in GRADES if counts[grade]["cases"]), "SYNTHETIC.txt", RECORD]
    record = {"source": "synthetic", "seed": seed, "entries": entries, "counts": counts, "lesions": lesions}
    (out / RECORD).write_text(json.dumps(record, indent=2) + "\n")
    note = NOTE.format(
        hgg=cases[0],
        lgg=cases[1],
        modalities=", ".join(modalities),
        size=size,
        spacing=FIELD_OF_VIEW / size,
        seed=seed,
    )
    (out / "SYNTHETIC.txt").write_text(note)
    return counts


def draw_case(
    grade: str, size: int, modalities: Sequence[str], rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], Anatomy]:
    """One case.

    Args:
        grade: "HGG" or "LGG".
        size: side of the cube in voxels.
        modalities: the volumes to draw.
        rng: everything but the lesion's pattern is drawn from it in the same way for both grades.

    Returns:
        modality -> int16 (X, Y, Z), canonical axes, background 0; and what is where.
    """
    anatomy = _anatomy(grade, size, rng)
    return {name: _render(anatomy, _CONTRASTS[name], rng) for name in modalities}, anatomy


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Noise (size, size, size), zero mean, unit spread, varying on a grid of `cells` along each side."""
    weights, noise = _spline(size, cells), rng.normal(size=(cells, cells, cells)).astype(np.float32)
    for _ in range(3):  # each turn spreads the first axis and moves it to the end
        noise = np.tensordot(noise, weights, axes=(0, 0))
    return (noise - noise.mean()) / noise.std()


@lru_cache
def _spline(size: int, cells: int) -> np.ndarray:
    """Cubic weights (cells, size) of the grid's points at each voxel of an axis."""
    from scipy import ndimage

    points = np.eye(cells, dtype=np.float32)
    return ndimage.zoom(points, (1, size / cells), order=3, mode="nearest", grid_mode=True)


def _anatomy(grade: str, size: int, rng: np.random.Generator) -> Anatomy:
    voxel = FIELD_OF_VIEW / size
    steps = (np.arange(size, dtype=np.float32) - (size - 1) / 2) * voxel
    axes = np.array([rng.uniform(60, 70), rng.uniform(74, 86), rng.uniform(58, 68)])
    offset, turn = rng.uniform(-8, 8, 3), rng.uniform(-0.2, 0.2)
    shifted = np.meshgrid(*(steps - o for o in offset), indexing="ij")
    x, y, z = (*_turned(shifted[0], shifted[1], turn), shifted[2])
    u, v, w = x / axes[0], y / axes[1], z / axes[2]
    edge = voxel / axes[0]  # one voxel in head coordinates: edges are that soft
    radius = np.sqrt(u**2 + v**2 + w**2) / (1 + 0.03 * smooth_noise(rng, size, 6))
    brain = _inside(1 - radius, edge) * _inside(w + rng.uniform(0.7, 0.85), edge)  # flat at its base

    angle, height, distance = rng.uniform(0, 2 * np.pi), rng.uniform(-0.25, 0.4), rng.uniform(0.3, 0.5)
    at = np.array([distance * np.cos(angle), distance * np.sin(angle), height]) * axes
    ball = rng.uniform(27, 36)
    apart = np.sqrt((x - at[0]) ** 2 + (y - at[1]) ** 2 + (z - at[2]) ** 2)
    lesion, depth = _lesion(apart / (1 + 0.2 * smooth_noise(rng, size, 9)), brain, ball, voxel)
    thickness = rng.uniform(0.24, 0.36) * np.clip(1 + 0.35 * smooth_noise(rng, size, 6), 0.4, None)
    ring = np.tanh(6 * (thickness - depth)) * (1 if grade == "HGG" else -1)
    ring = (ring - np.average(ring, weights=lesion)) * lesion
    back = np.array([*_turned(at[0], at[1], -turn), at[2]]) + offset
    return Anatomy(
        brain=brain,
        cortex=brain * _inside(radius - 0.84, 2 * edge),
        ventricles=brain * _ventricles(u, v, w, rng),
        vessels=brain * _vessels(rng, size, voxel, axes, offset),
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


def _lesion(apart: np.ndarray, brain: np.ndarray, ball: float, voxel: float) -> tuple[np.ndarray, np.ndarray]:
    """The lesion, as large as a ball of that radius whatever its outline is, and the depth below its surface (0 to 1).

    Args:
        apart: distance from the centre in mm, warped where the outline is irregular.
        brain: the lesion stays in it.
        ball: radius in mm.
        voxel: in mm.
    """
    count = round(4 / 3 * np.pi * (ball / voxel) ** 3)
    inner = np.where(brain > 0.99, apart, np.inf)
    surface = float(np.partition(inner, count, axis=None)[count])
    return brain * _inside(surface - apart, 1.5 * voxel), np.clip(1 - apart / surface, 0, 1)


def _ventricles(u: np.ndarray, v: np.ndarray, w: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = rng.uniform(0.8, 1.25)
    both = np.zeros_like(u)
    for side in (-1, 1):
        a, b, c = (u - side * 0.15 * size) / 0.09, (v + 0.25 * side * u) / 0.32, (w - 0.1) / 0.22
        both = np.maximum(both, _inside(size - np.sqrt(a**2 + b**2 + c**2), 0.4))
    return both


def _vessels(rng: np.random.Generator, size: int, voxel: float, axes: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Bright winding lines of 3 mm or a voxel."""
    from scipy import ndimage

    lines = np.zeros((size, size, size), dtype=np.float32)
    for _ in range(int(rng.integers(10, 40))):
        heading = rng.normal(size=3) + np.cumsum(rng.normal(0, 0.25, (int(rng.integers(20, 60)), 3)), axis=0)
        path = np.cumsum(heading / np.linalg.norm(heading, axis=1, keepdims=True), axis=0) * 2.0
        path += rng.uniform(-0.6, 0.6, 3) * axes + offset
        index = np.rint(path / voxel + (size - 1) / 2).astype(int)
        index = index[((index >= 0) & (index < size)).all(axis=1)]
        lines[tuple(index.T)] = 1
    return np.minimum(1, 2 * ndimage.gaussian_filter(lines, max(0.5, 1.5 / voxel)))


def _render(anatomy: Anatomy, contrast: Contrast, rng: np.random.Generator) -> np.ndarray:
    """One modality, int16 (X, Y, Z)."""
    size = len(anatomy.brain)
    lesion = rng.uniform(0.8, 1.2) * contrast.lesion
    base = 1 + contrast.cortex * anatomy.cortex + contrast.ventricles * anatomy.ventricles
    base += rng.uniform(0.6, 1.0) * anatomy.vessels
    base += anatomy.lesion * (1 + lesion - base) + contrast.ring * anatomy.ring  # replaces what lies under it
    coarse, middle, fine = (smooth_noise(rng, size, cells) for cells in (5, 12, 24))
    texture = (0.2 * coarse + 0.4 * middle + 0.9 * fine) * (1 - 0.85 * anatomy.lesion)
    base = _with_spread(base, texture, anatomy.brain, rng.uniform(0.26, 0.34))
    bias = 1 + rng.uniform(0, 0.12) * smooth_noise(rng, size, 2)
    noise = rng.normal(0, 0.03, base.shape)
    image = anatomy.brain * np.clip(base * bias + noise, 0.03, None) * rng.uniform(250, 1000)
    return np.rint(image).astype(np.int16)


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


def _write(folder: Path, name: str, volumes: dict[str, np.ndarray]) -> None:
    import nibabel

    folder.mkdir(parents=True)
    for modality, volume in volumes.items():
        voxel = FIELD_OF_VIEW / len(volume)
        affine = np.diag([-voxel, -voxel, voxel, 1])  # LPS, as BraTS has it
        half = (len(volume) - 1) / 2 * voxel
        affine[:3, 3] = half, half, -half
        image = nibabel.Nifti1Image(volume[::-1, ::-1], affine)
        image.header.set_xyzt_units("mm")
        nibabel.save(image, folder / f"{name}_{modality}.nii.gz")
