"""Synthetic sample data."""

from __future__ import annotations

from medbundles.data.synthetic import make_phantoms
from medbundles.errors import MedbundlesError
from tools.prepared import PICTURES, SLICES, print_counts
from tools.staging import SYNTHETIC, staged


def sample_data(
    out: str,
    seed: int = 0,
    patients: tuple[int, ...] = (24, 6, 8),
    slices: int = 6,
    size: int = 160,
    pictures: tuple[int, ...] = (120, 40, 40),
    overwrite: bool = False,
) -> dict[str, dict[str, int]]:
    """Write phantoms (heads with and without a lesion) in the prepared layout of the brain bundle.

    To try things and to test; a number that comes from them says nothing about any disease.

    Args:
        out: folder to write.
        seed: the same seed gives the same pictures.
        patients: patients in train, val and test.
        slices: slices per patient, about half of them with a lesion.
        size: side of a slice in pixels.
        pictures: yes/no pictures in train, val and test; 0,0,0 for none.
        overwrite: replace sample data that is there.

    Returns:
        part -> counts.

    Example:
        python -m tools sample-data --out /tmp/phantoms
    """
    if len(patients) != 3 or len(pictures) != 3 or min(*patients, *pictures) < 0:
        raise MedbundlesError("--patients and --pictures are three numbers: train,val,test")
    if slices < 1 or size < 32:
        raise MedbundlesError(f"--slices {slices} must be at least 1 and --size {size} at least 32")
    with staged(out, (*SLICES, *PICTURES, SYNTHETIC), overwrite) as target:
        counts = make_phantoms(
            target, seed, (patients[0], patients[1], patients[2]), slices, size, (pictures[0], pictures[1], pictures[2])
        )
    print_counts(counts, out)
    print("These are synthetic pictures (SYNTHETIC.txt).")
    return counts
