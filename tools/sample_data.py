"""Synthetic sample data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from medbundles.data.lists.brats import MODALITIES
from medbundles.data.lists.image_parts import BOTH
from medbundles.data.reading.files import SYNTHETIC
from medbundles.errors import DataError, MedbundlesError, one_of

from .phantoms.graded import GRADES, RECORD, make_graded_phantoms
from .phantoms.jaws import make_jaws
from .phantoms.organs import ENTRIES, make_organs
from .phantoms.slices import make_phantoms
from .prepare.prepared import PICTURES, SLICES, print_counts
from .staging import staged

# flag -> its default, for each kind
_FLAGS: dict[str, dict[str, Any]] = {
    "slices": {"patients": (24, 6, 8), "slices": 6, "size": 160, "pictures": (120, 40, 40)},
    "grades": {"cases": (40, 10), "size": 48, "modalities": ("flair",)},
    "jaws": {"jaws": (24, 24), "size": 128},
    "organs": {"scans": 24, "size": 64, "dims": 2},
}
_ENTRIES = {"slices": (*SLICES, *PICTURES), "grades": GRADES, "jaws": BOTH, "organs": ENTRIES}  # what each kind writes


def sample_data(
    out: str,
    kind: str = "slices",
    seed: int = 0,
    patients: tuple[int, ...] | None = None,
    slices: int | None = None,
    size: int | None = None,
    pictures: tuple[int, ...] | None = None,
    cases: tuple[int, ...] | None = None,
    modalities: tuple[str, ...] | None = None,
    jaws: tuple[int, ...] | None = None,
    scans: int | None = None,
    dims: int | None = None,
    overwrite: bool = False,
) -> dict[str, dict[str, int]]:
    """Write phantoms: heads with and without a lesion as 2D slices, volumes with lesions of two grades, jaws, or organs
    with label maps.

    To try things and to test; a number that comes from them says nothing about any disease.

    Args:
        out: folder to write.
        kind: slices (the prepared layout of the brain bundle), grades (volumes in the layout of BraTS 2018), jaws
            (panoramic X-rays with and without teeth) or organs (scans in images/ and labels/, with a dataset.json).
        seed: the same seed gives the same pictures.
        patients: patients in train, val and test (slices only; 24,6,8).
        slices: slices per patient, about half of them with a lesion (slices only; 6).
        size: side of a slice (160), of a volume (48) or of an organ's scan (64), or height of a jaw (128), in pixels.
        pictures: yes/no pictures in train, val and test; 0,0,0 for none (slices only; 120,40,40).
        cases: number of HGG and LGG cases, their ratio is the imbalance (grades only; 40,10).
        modalities: volumes of each case, of flair, t1, t1ce, t2 (grades only; flair).
        jaws: jaws without and with teeth (jaws only; 24,24).
        scans: how many scans (organs only; 24).
        dims: 2 for pictures, 3 for volumes (organs only; 2).
        overwrite: replace sample data that is there.

    Returns:
        part or grade -> counts.

    Example:
        python -m tools sample-data --out /tmp/phantoms
        python -m tools sample-data --kind grades --out /tmp/grades --cases 40,10 --size 48
    """
    one_of("--kind", kind, tuple(_FLAGS))
    given = {
        "patients": patients,
        "slices": slices,
        "size": size,
        "pictures": pictures,
        "cases": cases,
        "modalities": modalities,
        "jaws": jaws,
        "scans": scans,
        "dims": dims,
    }
    flags = _flags_of(kind, given)
    _check_other_kind(out, kind)
    writers: dict[str, Callable[..., dict[str, dict[str, int]]]] = {
        "slices": _slices,
        "grades": _grades,
        "jaws": _jaws,
        "organs": _organs,
    }
    counts = writers[kind](out, seed, overwrite, **flags)
    print_counts(counts, out)
    print(f"These are synthetic pictures ({SYNTHETIC}).")
    return counts


def _flags_of(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    """The kind's flags, defaults filled in; flags of another kind are refused."""
    foreign = [f"--{flag}" for flag, value in given.items() if value is not None and flag not in _FLAGS[kind]]
    if foreign:
        has = ", ".join(f"--{flag}" for flag in _FLAGS[kind])
        raise MedbundlesError(f"{', '.join(foreign)}: not for --kind {kind}, which has {has}")
    return {flag: default if given[flag] is None else given[flag] for flag, default in _FLAGS[kind].items()}


def _check_other_kind(out: str, kind: str) -> None:
    """The kinds share the names of their notes, so one would overwrite those of the other."""
    there = [n for other, names in _ENTRIES.items() if other != kind for n in names if (Path(out) / n).exists()]
    if there:
        raise DataError(f"{out}: holds {', '.join(there)}, another kind of data; give another --out for --kind {kind}")


def _slices(
    out: str,
    seed: int,
    overwrite: bool,
    patients: tuple[int, ...],
    slices: int,
    size: int,
    pictures: tuple[int, ...],
) -> dict[str, dict[str, int]]:
    if len(patients) != 3 or len(pictures) != 3 or min(*patients, *pictures) < 0:
        raise MedbundlesError("--patients and --pictures are three numbers: train,val,test")
    if slices < 1 or size < 32:
        raise MedbundlesError(f"--slices {slices} must be at least 1 and --size {size} at least 32")
    with staged(out, (*_ENTRIES["slices"], SYNTHETIC), overwrite) as target:
        return make_phantoms(
            target, seed, (patients[0], patients[1], patients[2]), slices, size, (pictures[0], pictures[1], pictures[2])
        )


def _grades(
    out: str, seed: int, overwrite: bool, cases: tuple[int, ...], size: int, modalities: tuple[str, ...]
) -> dict[str, dict[str, int]]:
    if len(cases) != 2 or min(cases) < 1:
        raise MedbundlesError(f"--cases {','.join(map(str, cases))}: two numbers of at least 1 are wanted: HGG,LGG")
    if not 16 <= size <= 256:
        raise MedbundlesError(f"--size {size} must be 16 to 256")
    for name in modalities:
        one_of("--modalities", name, MODALITIES)
    with staged(out, (*GRADES, SYNTHETIC, RECORD), overwrite) as target:
        return make_graded_phantoms(target, seed, (cases[0], cases[1]), size, modalities)


def _jaws(out: str, seed: int, overwrite: bool, jaws: tuple[int, ...], size: int) -> dict[str, dict[str, int]]:
    if len(jaws) != 2 or min(jaws) < 0 or not any(jaws):
        raise MedbundlesError(f"--jaws {','.join(map(str, jaws))}: two numbers are wanted: without,with teeth")
    if not 32 <= size <= 1024:
        raise MedbundlesError(f"--size {size} must be 32 to 1024")
    with staged(out, (*BOTH, SYNTHETIC, RECORD), overwrite) as target:
        return make_jaws(target, seed, (jaws[0], jaws[1]), size)


def _organs(out: str, seed: int, overwrite: bool, scans: int, size: int, dims: int) -> dict[str, dict[str, int]]:
    one_of("--dims", dims, (2, 3))
    if scans < 1:
        raise MedbundlesError(f"--scans {scans} must be at least 1")
    if not 16 <= size <= 512:
        raise MedbundlesError(f"--size {size} must be 16 to 512")
    with staged(out, (*ENTRIES, SYNTHETIC, RECORD), overwrite) as target:
        return make_organs(target, seed, scans, size, dims)
