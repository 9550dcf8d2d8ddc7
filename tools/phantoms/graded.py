"""Writes brains with a lesion of one of two grades, as volumes in the layout of BraTS 2018."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medbundles.data.lists.modalities import wanted_modalities
from tools.phantoms.heads import FIELD_OF_VIEW, GRADES, draw_case
from tools.phantoms.notes import new_folder, write_notes

LAYOUT = """\
{{HGG,LGG}}/<case>/<case>_<modality>.nii.gz   {modalities}; {size}x{size}x{size} voxels of {spacing:.3g} mm
split_synthetic.json   where each lesion is: centre (mm, RAS+) and radius (mm)"""


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
    lesions = {}
    for number, grade in enumerate([grade for grade, count in zip(GRADES, cases, strict=True) for _ in range(count)], 1):
        name = f"phantom_{number:03d}"
        volumes, anatomy = draw_case(grade, size, modalities, np.random.default_rng([seed, number]))
        _write(out / grade / name, name, volumes)
        lesions[name] = {"grade": grade, "centre_mm": anatomy.centre, "radius_mm": round(anatomy.radius, 2)}
    counts = {grade: {"cases": count} for grade, count in zip(GRADES, cases, strict=True)}
    what = (
        f"{cases[0]} cases in HGG/: a lesion with a bright rim and a dark core; "
        f"{cases[1]} in LGG/: a bright core that fades outwards."
    )
    layout = LAYOUT.format(modalities=", ".join(modalities), size=size, spacing=FIELD_OF_VIEW / size)
    folders = [grade for grade in GRADES if counts[grade]["cases"]]
    write_notes(out, what, layout, seed, folders, counts, {"lesions": lesions})
    return counts


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
