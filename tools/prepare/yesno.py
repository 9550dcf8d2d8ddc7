"""Yes/no picture folders to the image-level part of the prepared layout."""

import shutil
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from medbundles.data import Problems, class_folder_datalist, read_image, split_by_patient
from medbundles.data.reading.files import existing_folder, subfolders
from tools.prepare.prepared import PICTURES, prepared, progress


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
    groups, torn = image_groups(class_folder_datalist(folder, classes, skip_bad_files=skip_bad_files))
    if torn:
        print(f"note: {len(torn)} picture(s) left out:\n{torn.text()}")
    split = split_by_patient({patient: str(items[0]["label"]) for patient, items in groups.items()}, ratios, seed)
    about = {"seed": seed, "ratios": ratios, "input": str(folder.resolve()), "classes": classes}
    about["left_out"] = [what for _, what in torn.found]
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
    """Items of a class folder by patient; byte-identical images share one.

    Args:
        items: as `class_folder_datalist` gives them.

    Returns:
        patient -> its items, and the groups left out because copies of one image stand in several classes.
    """
    groups: dict[str, list[dict]] = defaultdict(list)
    for item in items:
        groups[item["patient"]].append(item)
    problems = Problems()
    for patient, members in list(groups.items()):
        if len({item["label"] for item in members}) > 1:
            names = [item["name"] for item in groups.pop(patient)]
            problems.add(names[0], f"the same image stands in several classes, left out: {', '.join(names)}")
    return dict(groups), problems


def _with_classes(folder: Path, classes: tuple[str, ...]) -> Path:
    """The folder itself, or the one below it that holds the class folders (as the archive unpacks)."""
    wanted = {name.lower() for name in classes}
    places = [folder, *subfolders(folder)]
    return next((place for place in places if wanted <= {path.name.lower() for path in subfolders(place)}), folder)
