"""Settings of the paths, the data, the loaders and the augmentation."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from medbundles.errors import causes
from tests.bundles.common_settings.data import (
    LOADING,
    augmentation_checks,
    augmented,
    below_output_dir,
    elsewhere,
    found_twice,
    left_over,
    may_be_tested,
    reads,
    root_check,
    told,
)
from tests.bundles.common_settings.model import names_of_classes, told_by_loaders
from tests.bundles.setting_bench import Bench, handler
from tests.bundles.setting_check import Check


def home(items: list[dict], source: str) -> str:
    """The folder of a part that the items of a source come from."""
    up = 2 if source == "slices" else 1
    return " ".join(sorted({str(Path(i["image"]).parents[up]) for i in items if i["source"] == source}))


def homes(bench: Bench, **turned: Any) -> dict[str, str]:
    """Where each part of the data comes from, in training, evaluation and inference."""
    parts = bench.get("data", **turned) | bench.get("data", "evaluate", **turned)
    found = {f"{part} {source}": home(parts[part], source) for part in parts for source in ("slices", "images")}
    new = bench.get("data", "inference", **{"input": ..., **turned})
    return found | {"input": os.path.commonpath([item["image"] for item in new])}


def train_slices(bench: Bench, **turned: Any) -> str:
    return homes(bench, **turned)["train slices"]


def val_slices(bench: Bench, **turned: Any) -> str:
    return homes(bench, **turned)["val slices"]


def train_images(bench: Bench, **turned: Any) -> str:
    return homes(bench, **turned)["train images"]


def val_images(bench: Bench, **turned: Any) -> str:
    return homes(bench, **turned)["val images"]


def all_images(bench: Bench, **turned: Any) -> dict[str, str]:
    """Where the pictures without masks of each part come from."""
    return {place: folder for place, folder in homes(bench, **turned).items() if place.endswith("images")}


def pictures_of_all_parts(bench: Bench) -> dict[str, str]:
    return {f"{p} images": str(bench.other_data / "kaggle" / p) for p in ("train", "val", "test")}


def part_to_evaluate(bench: Bench, source: str, setting: str, **turned: Any) -> dict[str, str]:
    """Where the test part comes from, and what the evaluation's report says of it."""
    return {"data": homes(bench, **turned)[f"test {source}"], "report": told(bench, setting, **turned)}


def fold_parts(bench: Bench, **turned: Any) -> dict[str, Any]:
    """What each part has, of which patients, where the runs go, and what the report says."""
    tested = {"checkpoint": str(bench.folder / "none.pt")} | turned  # not the weights that another check has published
    train, test = bench.get("data", **turned), bench.get("data", "evaluate", **tested)
    return {
        "parts": [[item["name"] for item in train[part]] for part in ("train", "val", "test")],
        "tested": [item["name"] for item in test["test"]],
        "runs": bench.get("run_dir", **turned).parent.name,
        "report": [told(bench, name, **tested) for name in ("folds", "fold")],
    }


def shared_out(bench: Bench, **turned: Any) -> dict[str, Any]:
    """Sizes of the parts, how many are tested, where the runs go, and what the report says."""
    found = fold_parts(bench, **turned)
    report = found["report"][0]
    return {"parts": [*map(len, found["parts"])], "tested": found["tested"], "runs": found["runs"], "report": report}


def held_out(bench: Bench, **turned: Any) -> dict[str, Any]:
    found = fold_parts(bench, **turned)
    return {key: found[key] for key in ("tested", "runs", "report")}


def first_fold(bench: Bench, **turned: Any) -> list[list[str]]:
    found = fold_parts(bench, **turned)
    return [found["parts"][2], found["tested"]]


def chosen_by(bench: Bench, **turned: Any) -> list[bool]:
    """Whether the tested images validate, in training and evaluation."""
    tested = {"checkpoint": str(bench.folder / "none.pt")} | turned  # as in `fold_parts`
    every = [bench.get("data", **turned), bench.get("data", "evaluate", **tested)]
    return [[i["name"] for i in parts["val"]] == [i["name"] for i in parts["test"]] for parts in every]


def slices_to_evaluate(bench: Bench, **turned: Any) -> dict[str, str]:
    return part_to_evaluate(bench, "slices", "test_dir", **turned)


def images_to_evaluate(bench: Bench, **turned: Any) -> dict[str, str]:
    return part_to_evaluate(bench, "images", "kaggle_test_dir", **turned)


def runs_folder(bench: Bench, **turned: Any) -> dict[str, str]:
    runs = bench.get("run_dir", **turned).parent.parent
    return {**below_output_dir(bench, **turned), "runs": str(runs)}


def labels(bench: Bench, **turned: Any) -> dict[str, Any]:
    """Label of the pictures in the folders "yes", and the names that evaluation and inference write."""
    data = bench.get("data", **turned) | bench.get("data", "evaluate", **turned)
    found = {part: {item["label"] for item in data[part] if "/yes/" in item["image"]} for part in data}
    return {**found, **names_of_classes(bench, **turned)}


def of_slices(bench: Bench, **turned: Any) -> dict[str, set[int]]:
    """Labels of the slices, with tumour and without, in training, validation and evaluation."""
    found = {}
    for part, files, id_ in (("train", (), "train"), ("val", (), "validate"), ("test", ("evaluate",), "validate")):
        dataset = bench.workflow(*files, **turned).parser.get_parsed_content(f"{id_}::dataset")
        items = [dataset.transform(item) for item in dataset.data if item["source"] == "slices"]
        found[part] = {(bool(item["mask"].any()), item["label"]) for item in items}
    return found


def class_of_a_volume(bench: Bench, **turned: Any) -> dict[str, Any]:
    """What is stored with the weights, and of what class inference takes a volume with tumour to be."""
    train, test, new = bench.workflows(**turned)
    told = {"by training": handler(train, "CheckpointSaver").trained["slice_classes"]}
    told |= told_by_loaders("slice_classes", test, new)
    return {**told, "tumour": new.parser.get_parsed_content("postprocessing").tumour_class}


def sources(bench: Bench, **turned: Any) -> list[dict[str, int]]:
    """How many items of each source are in each batch of an epoch."""
    workflow = bench.workflow(**turned)
    data = workflow.parser.get_parsed_content("train::dataset").data
    sampler = workflow.parser.get_parsed_content("train::sampler")
    return [dict(sorted(Counter(data[i]["source"] for _, i, _ in batch).items())) for batch in sampler]


def mixed(slices: int, images: int) -> Any:
    """As many batches as it takes to see the source of which more are needed."""
    return lambda bench: [{"images": images, "slices": slices}] * max(-(-8 // images), -(-8 // slices))


AMOUNTS = (
    "random_flip_h", "random_flip_v", "random_rotate", "random_scale", "gaussian_noise", "gaussian_blur", "brightness",
    "contrast", "gamma",
)  # fmt: skip
OFF = {**{f"augmentation#{name}": 0.0 for name in AMOUNTS}, "augmentation#elastic_deform": False}
ELASTIC = {**OFF, "augmentation#elastic_deform": True}


def part(name: str) -> Any:
    return lambda bench: str(bench.other_data / name)


def part_and_report(name: str) -> Any:
    return lambda bench: dict.fromkeys(("data", "report"), str(bench.other_data / name))


def all_elsewhere(bench: Bench) -> dict[str, str]:
    return dict.fromkeys(("runs", "cache", "tracking"), elsewhere(bench))


def all_homes(bench: Bench) -> dict[str, str]:
    """What `homes` tells of the bench's other data."""
    folders = {"slices": bench.other_data, "images": bench.other_data / "kaggle"}
    found = {f"{p} {s}": str(folders[s] / p) for p in ("train", "val", "test") for s in folders}
    return found | {"input": str(bench.other_data)}


def patient_in_two_sets(bench: Bench, **turned: Any) -> bool:
    """Whether training is refused because the pictures' names give one patient to two sets."""
    try:
        bench.get("data", **turned)
    except RuntimeError as error:  # MONAI's around ours
        return "patient Y (images): is in test and train and val" in str([*causes(error)][-1])
    return False


FOLDS = {"folds": 3}
DATA = {
    **LOADING,
    "bundle_root": root_check(),
    "dataset_dir": Check(homes, part(""), all_homes),
    "train_dir": Check(train_slices, part("train"), part("train")),
    "val_dir": Check(val_slices, part("val"), part("val")),
    "test_dir": Check(slices_to_evaluate, part("test"), part_and_report("test")),
    "kaggle_dir": Check(all_images, part("kaggle"), pictures_of_all_parts),
    "kaggle_dir (off)": Check(all_images, False, dict.fromkeys(("train images", "val images", "test images"), "")),
    "kaggle_train_dir": Check(train_images, part("kaggle/train"), part("kaggle/train")),
    "kaggle_train_dir (off)": Check(train_images, False, ""),
    "kaggle_val_dir": Check(val_images, part("kaggle/val"), part("kaggle/val")),
    "kaggle_val_dir (off)": Check(val_images, False, ""),
    "kaggle_test_dir": Check(images_to_evaluate, part("kaggle/test"), part_and_report("kaggle/test")),
    "output_dir": Check(runs_folder, elsewhere, all_elsewhere),
    "cache (in memory)": Check(reads, "memory", {"train": (16, 0, 16), "validate": (12, 0, 12)}),
    "skip_bad_files": Check(left_over("test/images"), True, {"train": 14, "val": 10, "test": 10, "input": 4}),
    "class_names": Check(labels, ["yes", "no"]),
    "slice_classes": Check(of_slices, ["yes", "no"]),
    "slice_classes (volumes)": Check(
        class_of_a_volume,
        ["yes", "no"],
        {**{key: ["yes", "no"] for key in ("by training", "by evaluation", "by inference")}, "tumour": 0},
    ),
    "folds": Check(shared_out, 3),
    "fold": Check(held_out, 1, given=FOLDS),
    "fold_seed": Check(first_fold, 7, given=FOLDS),
    "selection": Check(chosen_by, "held_out", [True, True], given=FOLDS),
    "patient_pattern": Check(patient_in_two_sets, "^(.)", True),
    "earlier_split": Check(may_be_tested, lambda bench: str(bench.split), False),
    "different_pictures": Check(found_twice, lambda bench: [bench.pair], 0),
    "mixing#mix_datasets": Check(sources, False),
    "mixing#brats_ratio": Check(sources, 0.75, mixed(3, 1), along={"mixing#kaggle_ratio": 0.25}),
    "mixing#kaggle_ratio": Check(sources, 0.25, mixed(3, 1), along={"mixing#brats_ratio": 0.75}),
    "mixing#sampling": Check(sources, "weighted"),
    **augmentation_checks(OFF),
    "augmentation#elastic_alpha": Check(augmented, 0.0, [0.0] * 6, ELASTIC),
    "augmentation#elastic_sigma": Check(augmented, 3.0, given=ELASTIC),
}
