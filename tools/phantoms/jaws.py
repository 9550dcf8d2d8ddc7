"""Draws panoramic X-rays of jaws with teeth (dente) and without (edente), in folders of these names."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from medbundles.data.lists.image_parts import BOTH

from ..staging import new_folder

RECORD = "split_synthetic.json"
NOTE = """\
SYNTHETIC DATA: drawn by python -m tools sample-data, not measured on anybody.

{edente} jaws without teeth in edente/, {dente} with teeth in dente/; PNG, 8 bit, {width}x{height}.
Each number that comes from these pictures says nothing about any disease, machine or patient.

seed {seed}
"""


def make_jaws(
    out_dir: str | Path, seed: int = 0, jaws: tuple[int, int] = (24, 24), size: int = 128
) -> dict[str, dict[str, int]]:
    """Write jaws as a panoramic machine shows them: edente/jaw_001.png ..., dente/jaw_025.png ...

    Mean and spread of the gray levels have one distribution, whether there are teeth or not.

    Args:
        out_dir: a folder that does not exist yet or is empty.
        seed: the same seed gives the same pixels.
        jaws: how many without and with teeth.
        size: height in pixels; the width is twice as large.

    Returns:
        folder -> {"pictures": number}.

    Raises:
        DataError: the folder is not empty.
    """
    out = new_folder(out_dir)
    number = 0
    for folder, count in zip(BOTH, jaws, strict=True):
        for _ in range(count):
            number += 1
            picture = draw_jaw(folder == "dente", size, np.random.default_rng([seed, number]))
            (out / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(out / folder / f"jaw_{number:03d}.png")
    counts = {folder: {"pictures": count} for folder, count in zip(BOTH, jaws, strict=True)}
    entries = [*(folder for folder in BOTH if counts[folder]["pictures"]), "SYNTHETIC.txt", RECORD]
    record = {"source": "synthetic", "seed": seed, "entries": entries, "counts": counts}
    (out / RECORD).write_text(json.dumps(record, indent=2) + "\n")
    (out / "SYNTHETIC.txt").write_text(
        NOTE.format(edente=jaws[0], dente=jaws[1], width=2 * size, height=size, seed=seed)
    )
    return counts


def draw_jaw(teeth: bool, size: int, rng: np.random.Generator) -> np.ndarray:
    """One picture, uint8 (size, 2 * size); all but the teeth is drawn in the same way for both kinds."""
    from scipy.ndimage import gaussian_filter

    # x from -1 to 1 across the jaw, y from -1 (top) to 1 (chin)
    y, x = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, 2 * size), indexing="ij")
    x, y = x / rng.uniform(0.9, 1.05) + rng.uniform(-0.06, 0.06), y / rng.uniform(0.9, 1.1) + rng.uniform(-0.1, 0.1)
    bend = rng.uniform(0.15, 0.45) * x**2 + rng.uniform(-0.08, 0.08) * x  # the bite: the ends of the arch rise
    bite = y + bend - rng.uniform(-0.1, 0.15)
    upper, lower = rng.uniform(0.25, 0.4), rng.uniform(0.28, 0.42)
    bone = _soft(0.62 - np.abs(bite + upper), 0.1) * 0.35 + _soft(0.3 - np.abs(bite - lower - 0.25), 0.08) * 0.5
    canal = _soft(0.03 - np.abs(bite - lower - 0.35 - rng.uniform(0, 0.2) * np.abs(x)), 0.03)
    ramus = _soft(rng.uniform(0.08, 0.16) - np.abs(np.abs(x) - rng.uniform(0.82, 0.9)), 0.05) * _soft(0.7 - y, 0.2)
    spine = np.exp(-(((x - rng.uniform(-0.05, 0.05)) / rng.uniform(0.08, 0.16)) ** 2)) * rng.uniform(0.15, 0.35)
    image = bone + 0.45 * ramus + spine - 0.12 * canal
    weights = ((0.08, size / 16), (0.08, size / 64), (0.03, 0.7))
    texture = sum(weight * gaussian_filter(rng.normal(size=image.shape), scale) * scale for weight, scale in weights)
    spread, mean, noise = rng.uniform(38, 48), rng.uniform(95, 120), rng.normal(0, 1.5, image.shape)
    if teeth:
        image = np.maximum(image, _teeth(x, bite, rng))
    image = gaussian_filter(image, size / 200) + 0.5 * texture
    image = (image - image.mean()) / image.std() * spread + mean
    mark = int(size * 0.08)
    image[mark : 3 * mark, mark : mark + mark // 3] = image[3 * mark - mark // 3 : 3 * mark, mark : 2 * mark] = 255  # L
    return np.rint(np.clip(image + noise, 0, 255)).astype(np.uint8)


def _teeth(x: np.ndarray, bite: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sixteen teeth in each row: a bright crown at the bite, a root that gets thinner."""
    found = np.zeros_like(x)
    places = np.linspace(-0.72, 0.72, 16)
    for row in (-1, 1):
        for place in places + rng.uniform(-0.008, 0.008, 16):
            length, width = rng.uniform(0.38, 0.5), rng.uniform(0.036, 0.044)
            along = row * bite - 0.02  # 0 at the bite, `length` at the root's end
            across = np.abs(x - place - 0.08 * place * along)
            shape = _soft(width * (1 - 0.55 * np.clip(along / length, 0, 1)) - across, 0.012)
            inside = shape * _soft(along, 0.02) * _soft(length - along, 0.03)
            crown = 0.78 + 0.25 * _soft(0.14 - along, 0.03)
            pulp = 0.2 * _soft(0.008 - across, 0.006) * _soft(along - 0.08, 0.03)
            found = np.maximum(found, inside * (crown - pulp))
    return found


def _soft(distance: np.ndarray, softness: float) -> np.ndarray:
    """1 inside (distance above 0), 0 outside, with an edge that is that soft."""
    return np.clip(0.5 + distance / softness, 0, 1)
