"""Yes/no picture folders to the image-level part of the prepared layout."""

import shutil
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from medbundles.data import Problems, class_folder_datalist, read_image, slice_datalist, split_by_patient
from medbundles.data.lists.near_identical import same_pictures, table_of
from medbundles.data.lists.parts import with_joined_patients
from medbundles.data.reading.files import existing_folder, subfolders
from medbundles.data.reading.thumbnails import read_thumbnails
from medbundles.progress import progress

from .prepared import PICTURES, SLICES, prepared


def prepare_yesno(
    input: str,
    out: str,
    classes: tuple[str, ...] = ("no", "yes"),
    ratios: tuple[float, ...] = (0.7, 0.15, 0.15),
    seed: int = 42,
    different_pictures: str = "",
    overwrite: bool = False,
    skip_bad_files: bool = False,
) -> dict[str, dict[str, int]]:
    """Pictures in class folders, copied unchanged to OUT/kaggle/{train,val,test}/<class>.

    Copies of a picture, also re-encoded, re-sized or cut ones, stay together; the split's file lists them with their
    likeness. Left out, and listed, are copies that stand in several classes, and copies of slices that OUT holds. The
    set has no patient ids: other pictures of one patient cannot be recognised.

    Args:
        input: folder with a folder per class (or one folder above it).
        out: dataset folder to write; slices of 'prepare lgg' or 'prepare brats2d' may be in it already.
        classes: names of the class folders, in the order of their labels.
        ratios: shares of train, val and test.
        seed: seed of the split.
        different_pictures: CSV file with the columns first and second: names of pictures that look alike and are
            different ones.
        overwrite: replace pictures that this verb wrote there before.
        skip_bad_files: leave out bad files and list them, instead of an error.

    Returns:
        part -> counts.

    Example:
        python -m tools prepare yesno --input /data/brain_tumor_dataset --out /data/brain2d
    """
    folder = _with_classes(existing_folder(input), classes)
    items = class_folder_datalist(folder, classes, skip_bad_files=skip_bad_files)
    slices = [item for part in SLICES if Path(out, part).is_dir() for item in slice_datalist(Path(out, part))]
    thumbnails = read_thumbnails([item["image"] for item in [*items, *slices]], 1, Problems())
    pairs, _ = same_pictures([*items, *slices], thumbnails, different_pictures or None)
    groups, torn = image_groups(with_joined_patients({"all": [*items, *slices]}, pairs)["all"])
    if torn:
        print(f"note: {len(torn)} picture(s) left out:\n{torn.text()}")
    split = split_by_patient({patient: str(items[0]["label"]) for patient, items in groups.items()}, ratios, seed)
    about = {"seed": seed, "ratios": ratios, "input": str(folder.resolve()), "classes": classes}
    about |= {"left_out": [what for _, what in torn.found], "near_identical": table_of(pairs)}
    problems = Problems()
    with prepared(
        "yesno",
        out,
        split,
        ("groups", "pictures", *classes),
        problems=problems,
        overwrite=overwrite,
        skip_bad_files=skip_bad_files,
        about=about,
        entries=PICTURES,
        below="kaggle",
        read=partial(class_folder_datalist, class_names=classes),
    ) as dataset:
        for patient, items in progress(sorted(groups.items()), "pictures"):
            for item in items:
                with problems.noted(item["image"]):
                    read_image(item["image"], 1)
                    place = dataset.folder / dataset.home[patient] / item["name"]
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(item["image"], place)
                    dataset.add(patient, item["name"], **{"pictures": 1, classes[item["label"]]: 1})
    return dataset.counts


def image_groups(items: Sequence[dict]) -> tuple[dict[str, list[dict]], Problems]:
    """Pictures by patient; copies share one.

    Args:
        items: as `class_folder_datalist` gives them, and slices, of which none may be a copy of a picture.

    Returns:
        patient -> its pictures, and the groups left out because copies of one picture stand in several classes, or
        among the slices.
    """
    groups: dict[str, list[dict]] = defaultdict(list)
    for item in items:
        groups[item["patient"]].append(item)
    problems = Problems()
    for patient, members in list(groups.items()):
        names = [item["name"] for item in members if not item["has_mask"]]
        others = [item["name"] for item in members if item["has_mask"]]
        if others:
            del groups[patient]
            if names:
                problems.add(names[0], f"shows the same picture as a slice, left out: {', '.join(names)} = {others[0]}")
        elif len({item["label"] for item in members}) > 1:
            del groups[patient]
            problems.add(names[0], f"the same image stands in several classes, left out: {', '.join(names)}")
    return dict(groups), problems


def _with_classes(folder: Path, classes: tuple[str, ...]) -> Path:
    """The folder itself, or the one below it that holds the class folders (as the archive unpacks)."""
    wanted = {name.lower() for name in classes}
    places = [folder, *subfolders(folder)]
    return next((place for place in places if wanted <= {path.name.lower() for path in subfolders(place)}), folder)
