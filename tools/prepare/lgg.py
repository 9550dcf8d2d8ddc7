"""LGG MRI segmentation (kaggle_3m) to the prepared layout."""

from __future__ import annotations

from collections import defaultdict

from medbundles.data.lists.splits import PARTS, split_by_patient
from medbundles.data.reading.images import read_image, read_mask
from medbundles.errors import DataError
from tools.prepare.lgg_files import LggSlice, lgg_grades, lgg_slices
from tools.prepare.prepared import (
    SLICES,
    check_written,
    existing_folder,
    one_of,
    part_of,
    print_counts,
    progress,
    write_slice,
    write_split,
)
from tools.staging import staged


def prepare_lgg(
    input: str,
    out: str,
    channels: str = "flair",
    ratios: tuple[float, ...] = (0.7, 0.15, 0.15),
    seed: int = 42,
    overwrite: bool = False,
    skip_bad_files: bool = False,
) -> dict[str, dict[str, int]]:
    """Slices of the "LGG MRI segmentation" set, split by patient, stratified by grade where data.csv tells it.

    Args:
        input: the kaggle_3m folder with a folder per patient.
        out: dataset folder to write; pictures of 'prepare yesno' may be in it already.
        channels: flair, or all (pre-contrast, FLAIR, post-contrast; a missing one was replaced by FLAIR at the source).
        ratios: shares of train, val and test.
        seed: seed of the split.
        overwrite: replace slices that a prepare verb wrote there before.
        skip_bad_files: leave out bad files and list them, instead of an error.

    Returns:
        part -> counts.

    Example:
        python -m tools prepare lgg --input /data/kaggle_3m --out /data/brain2d
    """
    one_of("channels", channels, ("flair", "all"))
    folder = existing_folder(input)
    slices, problems = lgg_slices(folder)
    grades = lgg_grades(folder)
    strata = {item.patient: grades["_".join(item.patient.split("_")[:3])] for item in slices}
    split = split_by_patient(strata, ratios, seed)
    home = part_of(split)
    counts = {part: {"patients": len(split[part]), "slices": 0, "with_tumour": 0} for part in PARTS}
    kept: dict[str, set[str]] = defaultdict(set)
    with staged(out, SLICES, overwrite) as target:
        for item in progress(slices, "slices"):
            part = home[item.patient]
            try:
                tumour = _write(target / part, item, channels)
            except DataError as error:
                problems.add(item.image, error)
                continue
            counts[part]["slices"] += 1
            counts[part]["with_tumour"] += tumour
            kept[part].add(item.patient)
        problems.settle(folder, skip_bad_files, "Mend or remove them, or leave them out with --skip_bad_files True.")
        for part in PARTS:
            counts[part]["patients"] = len(kept[part])
        check_written(target)
        split = {part: sorted(kept[part]) for part in PARTS}
        write_split(
            target,
            "lgg",
            SLICES,
            split,
            counts,
            seed=seed,
            ratios=ratios,
            input=str(folder.resolve()),
            channels=channels,
        )
    print_counts(counts, out)
    return counts


def _write(part, item: LggSlice, channels: str) -> bool:
    image = read_image(item.image, 3).astype("uint8").transpose(1, 2, 0)
    mask = read_mask(item.mask, 1)[0]
    if image.shape[:2] != mask.shape:
        raise DataError(f"{item.image}: is {image.shape[:2]}, its mask {item.mask} is {mask.shape}")
    write_slice(part, item.patient, item.image.stem, image if channels == "all" else image[..., 1].copy(), mask * 255)
    return bool(mask.any())
