"""Writes a small synthetic dataset in the prepared layout: to try, to demonstrate and to test, never to claim."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from medbundles.data.lists.splits import PARTS

from ..staging import new_folder
from .heads import Head, draw_slice, random_head

NOTE = """\
SYNTHETIC DATA: drawn by python -m tools sample-data, not measured on anybody.

{parts} Each number that comes from these pictures says nothing about any disease, scanner or patient.

{{train,val,test}}/images/<patient>/   phantom slices, PNG {size}x{size}; masks/ has the lesion (0/255)
kaggle/{{train,val,test}}/{{no,yes}}/    phantom pictures without masks, as from other scanners (JPEG, PNG; gray, RGB)
seed {seed}
"""


def make_phantoms(
    out_dir: str | Path,
    seed: int = 0,
    patients: tuple[int, int, int] = (24, 6, 8),
    slices: int = 6,
    size: int = 160,
    pictures: tuple[int, int, int] = (120, 40, 40),
) -> dict[str, dict[str, int]]:
    """Write phantoms with lesions: slices with masks and, in kaggle/, pictures that only have a class.

    A logistic regression on mean, spread and head size stays below AUC 0.7 for lesion or not; a network has to look.

    Args:
        out_dir: a folder that does not exist yet or is empty.
        seed: the same seed gives the same pixels.
        patients: number of patients in train, val and test.
        slices: slices per patient; about half of them have a lesion.
        size: side of the slices in pixels.
        pictures: number of yes/no pictures in train, val and test, half of them yes; 0, 0, 0: no kaggle folder.

    Returns:
        part -> counts: patients, slices, with_tumour, pictures.

    Raises:
        DataError: the folder is not empty.
    """
    out = new_folder(out_dir)
    counts: dict[str, dict[str, int]] = {}
    members: dict[str, list[str]] = {}
    first = 1
    for number, part in enumerate(PARTS):
        names = [f"phantom_{first + i:03d}" for i in range(patients[number])]
        first += patients[number]
        tumours = [
            _write_patient(out / part, name, slices, size, [seed, 0, int(name.removeprefix("phantom_"))])
            for name in names
        ]
        for i in range(pictures[number]):
            _write_picture(out / "kaggle" / part, i, np.random.default_rng([seed, 1, number, i]))
        members[part] = names
        counts[part] = {
            "patients": len(names),
            "slices": len(names) * slices,
            "with_tumour": sum(tumours),
            "pictures": pictures[number],
        }
    entries = [*PARTS, *(["kaggle"] if any(pictures) else []), "SYNTHETIC.txt", "split_synthetic.json"]
    split = {"source": "synthetic", "seed": seed, "entries": entries, "counts": counts, "parts": members}
    (out / "split_synthetic.json").write_text(json.dumps(split, indent=2) + "\n")
    parts = " ".join(f"{part}: {c['slices']} slices, {c['pictures']} pictures." for part, c in counts.items())
    (out / "SYNTHETIC.txt").write_text(NOTE.format(parts=parts, size=size, seed=seed))
    return counts


def _write_patient(folder: Path, name: str, slices: int, size: int, seed: list[int]) -> int:
    """Write one patient's slices and masks; returns how many have a lesion."""
    rng = np.random.default_rng(seed)
    head = random_head(rng)
    with_lesion = int(np.clip(round(slices / 2) + rng.integers(-1, 2), 0, slices))
    begin = int(rng.integers(0, slices - with_lesion + 1))
    for kind in ("images", "masks"):
        (folder / kind / name).mkdir(parents=True)
    for number in range(slices):
        z = -0.6 + 1.2 * (number + 0.5) / slices
        # a ball cut into slices: largest in the middle
        place = (number - begin + 0.5) / with_lesion * 2 - 1 if begin <= number < begin + with_lesion else None
        lesion = 0.0 if place is None else float(np.sqrt(1 - 0.6 * place**2))
        image, mask = draw_slice(head, z, lesion, size, rng)
        Image.fromarray(image.astype(np.uint8)).save(folder / "images" / name / f"slice_{number:02d}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / name / f"slice_{number:02d}.png")
    return with_lesion


def _write_picture(folder: Path, number: int, rng: np.random.Generator) -> None:
    """Write one yes/no picture as from another scanner: its own size, crop, gain, gamma, background and file type."""
    yes = number % 2 == 1
    head: Head = replace(random_head(rng), tissue=100.0)
    image, _ = draw_slice(head, rng.uniform(-0.5, 0.5), rng.uniform(0.7, 1.0) if yes else 0.0, 200, rng)
    image = _crop(image, rng)
    image = 255 * (image / 255) ** rng.uniform(0.8, 1.25) * rng.uniform(0.6, 1.3)
    background = rng.uniform(8, 30) if rng.random() < 0.4 else 0.0
    image = image * (1 - background / 255) + background + rng.normal(0, 1.5, image.shape)
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    scale = rng.uniform(0.8, 1.6)
    picture = Image.fromarray(pixels).resize((int(pixels.shape[1] * scale), int(pixels.shape[0] * scale)))
    place = folder / ("yes" if yes else "no")
    place.mkdir(parents=True, exist_ok=True)
    name = f"{'Y' if yes else 'N'}{number + 1:03d}"
    if rng.random() < 0.15:
        picture.save(place / f"{name}.png")
    else:
        picture.convert("RGB" if rng.random() < 0.8 else "L").save(place / f"{name}.jpg", quality=90)


def _crop(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The head with another margin on each side."""
    rows, columns = np.nonzero(image > 20)
    above, below, left, right = rng.integers(0, 20, 4)
    return image[max(0, rows.min() - above) : rows.max() + below, max(0, columns.min() - left) : columns.max() + right]
