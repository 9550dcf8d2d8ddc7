"""Draws scans of an organ with and without a lesion, and a label map of each, as pictures or volumes."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..staging import new_folder

RECORD = "split_synthetic.json"
LABELS = {"background": 0, "organ": 1, "lesion": 2}
ENTRIES = ("images", "labels", "dataset.json")
EMPTY, HEALTHY = 6, 3  # one scan in so many shows no organ; of the others one in so many has no lesion
SPACING = (1.0, 1.0, 2.0)  # mm, of volumes: thicker slices than pixels, as scanners make them
NOTE = """\
SYNTHETIC DATA: drawn by python -m tools sample-data, not measured on anybody.

{scans} scans of {dims} dimensions in images/, with label maps in labels/: 1 organ, 2 lesion in it.
Each number that comes from these scans says nothing about any disease, machine or patient.

seed {seed}
"""


def make_organs(
    out_dir: str | Path, seed: int = 0, scans: int = 24, size: int = 64, dims: int = 2
) -> dict[str, dict[str, int]]:
    """Write images/scan_001.png (or .nii.gz), labels/ with files of the same names, and nnU-Net's dataset.json.

    Args:
        out_dir: a folder that does not exist yet or is empty.
        seed: the same seed gives the same pixels.
        scans: how many.
        size: side in pixels; volumes have half as many slices.
        dims: 2 (PNG, 8 bit) or 3 (NIfTI).

    Returns:
        {"scans": {"images": number, "with_organ": number, "with_lesion": number}}.

    Raises:
        DataError: the folder is not empty.
    """
    out = new_folder(out_dir)
    for folder in ENTRIES[:2]:
        (out / folder).mkdir(parents=True)
    shape = (size, size) if dims == 2 else (size, size, size // 2)
    seen = [0, 0]
    for number in range(1, scans + 1):
        image, labels = draw_scan(shape, number, np.random.default_rng([seed, number]))
        seen = [count + bool((labels >= label).any()) for label, count in zip((1, 2), seen, strict=True)]
        for folder, array in zip(ENTRIES, (image, labels), strict=False):
            _save(array, out / folder / f"scan_{number:03d}")
    ending = ".png" if dims == 2 else ".nii.gz"
    about = {"channel_names": {"0": "phantom"}, "labels": LABELS, "numTraining": scans, "file_ending": ending}
    (out / "dataset.json").write_text(json.dumps(about, indent=2) + "\n")
    counts = {"scans": {"images": scans, "with_organ": seen[0], "with_lesion": seen[1]}}
    record = {"source": "synthetic", "seed": seed, "entries": [*ENTRIES, "SYNTHETIC.txt", RECORD], "counts": counts}
    (out / RECORD).write_text(json.dumps(record, indent=2) + "\n")
    (out / "SYNTHETIC.txt").write_text(NOTE.format(scans=scans, dims=dims, seed=seed))
    return counts


def draw_scan(shape: tuple[int, ...], number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One scan and its labels, uint8; the organ is brighter than the body, the lesion as dark as that."""
    from scipy.ndimage import gaussian_filter

    places = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    body = _inside(places, rng.uniform(-0.05, 0.05, len(shape)), rng.uniform(0.75, 0.9, len(shape)))
    middle, radii = rng.uniform(-0.2, 0.2, len(shape)), rng.uniform(0.35, 0.5, len(shape))
    organ = _inside(places, middle, radii) & body & (number % EMPTY > 0)
    lesion = _inside(places, middle + rng.uniform(-0.1, 0.1, len(shape)), rng.uniform(0.15, 0.22, len(shape)))
    lesion &= organ & (number % HEALTHY > 0)
    labels = (organ + lesion.astype(int)).astype(np.uint8)
    image = 90.0 * body + rng.uniform(45, 60) * (labels == 1) + rng.uniform(-8, 8) * (labels == 2)
    image = gaussian_filter(image, 0.7) + 25 * gaussian_filter(rng.normal(size=shape), 2) + rng.normal(0, 4, shape)
    return np.rint(np.clip(image + 20, 0, 255)).astype(np.uint8), labels


def _inside(places: Sequence[np.ndarray], middle: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Where an ellipsoid is; places and radii count from -1 to 1 across the scan."""
    return sum(((x - m) / r) ** 2 for x, m, r in zip(places, middle, radii, strict=True)) <= 1


def _save(array: np.ndarray, path: Path) -> None:
    if array.ndim == 2:
        Image.fromarray(array).save(path.with_name(f"{path.name}.png"))
        return
    import nibabel

    nibabel.save(nibabel.Nifti1Image(array, np.diag([*SPACING, 1.0])), path.with_name(f"{path.name}.nii.gz"))
