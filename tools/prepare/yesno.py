"""Yes/no picture folders to the image-level part of the prepared layout."""

from __future__ import annotations

import shutil
from pathlib import Path

from medbundles.data import class_folder_datalist, read_image
from medbundles.data.lists.splits import PARTS, split_by_patient
from medbundles.data.problems import Problems
from medbundles.errors import DataError
from tools.prepare.copies import image_groups
from tools.prepare.prepared import (
    PICTURES,
    check_written,
    existing_folder,
    part_of,
    print_counts,
    progress,
    write_split,
)
from tools.staging import staged


def prepare_yesno(
    input: str,
    out: str,
    classes: tuple[str, ...] = ("no", "yes"),
    ratios: tuple[float, ...] = (0.7, 0.15, 0.15),
    seed: int = 42,
    overwrite: bool = False,
    skip_bad_files: bool = False,
) -> dict[str, dict[str, int]]:
    """Pictures in class folders, copied unchanged to OUT/kaggle/{train,val,test}/<class>.

    Copies of a picture (byte-identical files) stay together. The set has no patient ids: other pictures of one patient
    cannot be recognised.

    Args:
        input: folder with a folder per class (or one folder above it).
        out: dataset folder to write; slices of 'prepare lgg' or 'prepare brats2d' may be in it already.
        classes: names of the class folders, in the order of their labels.
        ratios: shares of train, val and test.
        seed: seed of the split.
        overwrite: replace pictures that this verb wrote there before.
        skip_bad_files: leave out bad files and list them, instead of an error.

    Returns:
        part -> counts.

    Example:
        python -m tools prepare yesno --input /data/brain_tumor_dataset --out /data/brain2d
    """
    folder = _with_classes(existing_folder(input), classes)
    items = class_folder_datalist(folder, classes, skip_bad_files=skip_bad_files)
    groups, torn = image_groups(items)
    if torn:
        print(f"note: {len(torn)} picture(s) left out:\n{torn.text()}")
    strata = {patient: str(members[0]["label"]) for patient, members in groups.items()}
    split = split_by_patient(strata, ratios, seed)
    home = part_of(split)
    counts = {part: {"groups": 0, "pictures": 0, **dict.fromkeys(classes, 0)} for part in PARTS}
    files: dict[str, list[list[str]]] = {part: [] for part in PARTS}
    problems = Problems()
    with staged(out, PICTURES, overwrite) as target:
        for patient, members in progress(sorted(groups.items()), "pictures"):
            part = home[patient]
            good = [item for item in members if _readable(item, problems)]
            for item in good:
                place = target / "kaggle" / part / item["name"]
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(item["image"], place)
                counts[part][classes[item["label"]]] += 1
            counts[part]["pictures"] += len(good)
            counts[part]["groups"] += bool(good)
            files[part] += [[item["name"] for item in good]] if good else []
        problems.settle(folder, skip_bad_files, "Mend or remove them, or leave them out with --skip_bad_files True.")
        check_written(target / "kaggle", classes)
        write_split(
            target,
            "yesno",
            PICTURES,
            files,
            counts,
            seed=seed,
            ratios=ratios,
            input=str(folder.resolve()),
            classes=classes,
            left_out=[what for _, what in torn.found],
        )
    print_counts(counts, Path(out) / "kaggle")
    return counts


def _with_classes(folder: Path, classes: tuple[str, ...]) -> Path:
    """The folder itself, or the one below it that holds the class folders (as the archive unpacks)."""
    for place in [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]:
        if {name.lower() for name in classes} <= {path.name.lower() for path in place.iterdir() if path.is_dir()}:
            return place
    return folder


def _readable(item: dict, problems: Problems) -> bool:
    try:
        read_image(item["image"], 1)
    except DataError as error:
        problems.add(item["image"], error)
        return False
    return True
