"""Settings of the paths, the split, the masks, the patches, the loaders and the augmentation."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from medbundles.errors import DataError, causes
from tests.bundles.common_settings.data import (
    LOADING,
    batch_sizes,
    below_output_dir,
    elsewhere,
    found_twice,
    left_over,
    may_be_tested,
    reads,
    root_check,
    told,
)
from tests.bundles.common_settings.model import told_by_loaders
from tests.bundles.medical_segmentation_settings.bench import VOLUMES
from tests.bundles.setting_bench import Bench, handler, network
from tests.bundles.setting_check import Check


def tested(bench: Bench, **turned: Any) -> list[dict]:
    return bench.get("validate#dataset", "evaluate", **turned).data


def home(items: list[dict]) -> str:
    """The folder above images/ that items come from."""
    return os.path.commonpath([os.path.dirname(os.path.dirname(item["image"])) for item in items])


def homes(bench: Bench, **turned: Any) -> dict[str, str]:
    """Where the pictures of training, evaluation and inference come from."""
    places = {"train": bench.get("data", **turned)["train"], "test": tested(bench, **turned)}
    places |= {"input": bench.get("data", "inference", **turned)}
    return {**{name: home(items) for name, items in places.items()}, "report": told(bench, "dataset_dir", **turned)}


def runs_folder(bench: Bench, **turned: Any) -> dict[str, str]:
    return {**below_output_dir(bench, **turned), "runs": str(bench.get("run_dir", **turned).parent.parent)}


def number_validating(bench: Bench, **turned: Any) -> int:
    return len(bench.get("data", **turned)["val"])


def number_tested(bench: Bench, **turned: Any) -> dict[str, Any]:
    return {"tested": len(tested(bench, **turned)), "report": told(bench, "test_split", **turned)}


def sizes(bench: Bench, **turned: Any) -> dict[str, Any]:
    """How many images are in each set, and what the evaluation says."""
    parts = {part: len(items) for part, items in bench.get("data", **turned).items()}
    runs = bench.get("run_dir", **turned).parent.name
    return {**parts, "tested": len(tested(bench, **turned)), "runs": runs, "report": told(bench, "folds", **turned)}


def held_out(bench: Bench, **turned: Any) -> dict[str, Any]:
    """What is tested, where the runs go, and what the report says."""
    names = [item["name"] for item in tested(bench, **turned)]
    return {
        "tested": names,
        "runs": bench.get("run_dir", **turned).parent.name,
        "report": told(bench, "fold", **turned),
    }


def first_fold(bench: Bench, **turned: Any) -> list[str]:
    return [item["name"] for item in tested(bench, **turned)]


def chosen_by(bench: Bench, **turned: Any) -> list[bool]:
    """Whether the tested images validate, in training and evaluation."""
    every = [bench.get("data", *file, **turned) for file in ((), ("evaluate",))]
    return [[i["name"] for i in parts["val"]] == [i["name"] for i in parts["test"]] for parts in every]


def may_be_split(bench: Bench, **turned: Any) -> bool:
    """Whether the test set of a training is not refused for a picture of an earlier one."""
    try:
        bench.get("data", **turned)
    except RuntimeError:  # MONAI's around a DataError
        return False
    return True


def of_an_earlier_training(bench: Any, **turned: Any) -> bool:
    """Whether pictures of the training that the weights come from may be tested."""
    given = {"earlier_split": False, "seed": 7, "bundle_root": str(bench.other_bundle)}  # nothing is published there
    return may_be_tested(bench, **given, **turned)


def kept_pictures(bench: Bench, **turned: Any) -> dict[str, str]:
    """Where it is kept what is found out about pictures and masks."""
    data = bench.get("data", **turned)
    return {"pictures": str(data.known.file.parent), "masks": str(data.labels.file.parent)}


def patients(bench: Bench, **turned: Any) -> int:
    parts = bench.get("data", **turned)
    return len({item["patient"] for items in parts.values() for item in items})


def label_threshold(bench: Any, **turned: Any) -> dict[str, Any]:
    """Share of the class in a mask that is a ramp of gray levels, as the list and as the loader read it."""
    workflow = bench.workflow(**turned, dataset_dir=str(bench.gray), out_channels=2)
    try:
        workflow.parser.get_parsed_content("data")
    except RuntimeError as error:  # MONAI's around ours
        listed = "refused" if any(isinstance(cause, DataError) for cause in causes(error)) else "broken"
        return dict.fromkeys(("list", "train", "validate"), listed)
    parse = workflow.parser.get_parsed_content
    masks = {part: parse(f"{part}::dataset")[0]["mask"] for part in ("train", "validate")}
    return {"list": "read", **{part: round(float(mask.float().mean()), 1) for part, mask in masks.items()}}


def ignore_label(bench: Any, **turned: Any) -> dict[str, Any]:
    """What loss, measures and patches leave out of a mask with a value beyond the classes."""
    workflow = bench.workflow(**turned, dataset_dir=str(bench.partly))
    test = bench.workflow("evaluate", **turned)
    parse = workflow.parser.get_parsed_content
    measures = [*parse("validate::cases").measures, *parse("train::cases").measures]
    measures += test.parser.get_parsed_content("validate::cases").measures
    found = {f"measure {n}": m.ignore_label for n, m in enumerate(measures) if hasattr(m, "ignore_label")}
    try:
        found["list"] = sum(map(len, parse("data").values()))
        found["mask"] = int(np.max(parse("validate::dataset")[0]["mask"].numpy()))
    except RuntimeError:  # MONAI's around a DataError
        found |= {"list": "refused", "mask": "refused"}
    return found | {"loss": parse("loss").ignore_label, "patches": parse("patches").ignore_label}


def image_size(bench: Any, **turned: Any) -> dict[str, list[int]]:
    """Sides of a picture on its way to the network, in training and inference."""
    new = bench.get("dataset", "inference", **turned, input=bench.image, modality="xray")
    found = {"train": sides(bench.get("train#dataset", **turned)), "inference": sides(new)}
    return {**found, **told_and_built(bench, "image_size", **turned)}


def told_and_built(bench: Any, setting: str, **turned: Any) -> dict[str, Any]:
    """What all tell of a setting of the weights, and the size that the networks are built for."""
    train, test, new = bench.workflows(**turned)
    told = {"told": handler(train, "CheckpointSaver").trained[setting], **told_by_loaders(setting, test, new)}
    nets = {"network": network(train), "network of inference": network(new)}
    return {**told, **{name: net.given["image_size"] for name, net in nets.items()}}


def five(value: Any) -> dict[str, Any]:
    """What `told_and_built` tells then."""
    return dict.fromkeys(("told", "by evaluation", "by inference", "network", "network of inference"), value)


def patch(bench: Any, **turned: Any) -> dict[str, Any]:
    """Sides of the patches and windows of volumes, in training and inference."""
    parse = bench.workflow(**turned, dataset_dir=str(bench.volumes)).parser.get_parsed_content
    window = bench.get("inferer", "inference", **turned).window
    return {
        "trained": sides(parse("train::dataset")),
        "validated": parse("validate::inferer").window,
        "inference": window,
    }


def sides(dataset: Any) -> list[int]:
    return list(dataset[0]["image"].shape[1:])


def patch_size(bench: Any, **turned: Any) -> dict[str, Any]:
    """Sides of a training patch and of the windows, and the size of what is validated."""
    parse = bench.workflow(**turned).parser.get_parsed_content
    return {
        "trained": sides(parse("train::dataset")),
        "validated": len(next(iter(parse("validate::dataloader")))["name"]),
        "window": parse("validate::inferer").window,
        "inference": bench.get("inferer", "inference", **turned).window,
        **told_and_built(bench, "patch_size", **turned),
    }


def patches_of_an_image(bench: Bench, **turned: Any) -> dict[str, int]:
    """How often each picture is drawn in an epoch, and stands in the dataset."""
    parse = bench.workflow(**turned).parser.get_parsed_content
    drawn = [index for batch in parse("train::sampler") for _, index, _ in batch]
    dataset = parse("train::dataset")
    return {"drawn": len(set(drawn)) // len(dataset.data), "there": len(dataset) // len(dataset.data)}


def sampling(bench: Any, **turned: Any) -> dict[str, Any]:
    """Whether images are drawn by what their masks hold, and the share of patches around a class."""
    parse = bench.workflow(**turned, dataset_dir=str(bench.few)).parser.get_parsed_content
    return {"batches": type(parse("train::sampler")).__name__, "patches": parse("patches").foreground}


def augmented(bench: Bench, **turned: Any) -> list[float]:
    """How much the images of 6 epochs differ from the prepared one."""
    dataset = bench.get("train#dataset", **turned)
    prepared = dataset.read(dataset.data[1])["image"]
    return [round(float((dataset[(epoch, 1)]["image"] - prepared).abs().mean()), 6) for epoch in range(1, 7)]


def strength(bench: Bench, **turned: Any) -> float:
    """Largest angle by which an image is turned."""
    return bench.get("patches", **turned).augmentation.random_rotate


def all_other(bench: Bench) -> dict[str, str]:
    return dict.fromkeys(("train", "test", "input", "report"), str(bench.other_data))


def all_elsewhere(bench: Bench) -> dict[str, str]:
    return dict.fromkeys(("runs", "cache", "tracking"), elsewhere(bench))


def good_ones(bench: Any) -> dict[str, int]:
    return {**bench.readable, "input": sum(bench.readable.values())}


FOLDS = {"folds": 4}
KNOWN = {"modality": "mri", "spacing": False}  # what only a training can measure

DATA = {
    **LOADING,
    "bundle_root": root_check(),
    "dataset_dir": Check(homes, lambda bench: str(bench.other_data), all_other),
    "output_dir": Check(runs_folder, elsewhere, all_elsewhere),
    "train_split": Check(number_validating, 0.5, 7),
    "test_split": Check(number_tested, 0.5, {"tested": 10, "report": 0.5}),
    "folds": Check(sizes, 5, {"train": 12, "val": 4, "test": 4, "tested": 4, "runs": "fold_0", "report": 5}),
    "fold": Check(held_out, 1, given=FOLDS),
    "fold_seed": Check(first_fold, 7, given=FOLDS),
    "selection": Check(chosen_by, "held_out", [True, True], given=FOLDS),
    "patient_pattern": Check(patients, r"scan_\d(\d)\d", 3),
    "earlier_split": Check(may_be_tested, lambda bench: str(bench.split), False, given={"seed": 7}),
    "earlier_split (training)": Check(may_be_split, lambda bench: str(bench.split), False, given={"seed": 7}),
    "checkpoint (its split)": Check(of_an_earlier_training, lambda bench: str(bench.earlier), False),
    "cache_dir (pictures)": Check(
        kept_pictures,
        lambda bench: str(bench.other_cache),
        lambda bench: dict.fromkeys(("pictures", "masks"), str(bench.other_cache)),
    ),
    "different_pictures": Check(found_twice, [["again", "scan_001"]], 0),
    "label_threshold": Check(label_threshold, 128, {"list": "read", "train": 0.5, "validate": 0.5}),
    "ignore_label": Check(ignore_label, 3),
    "image_size": Check(image_size, [32, 48], {"train": [32, 48], "inference": [32, 48], **five([32, 48])}),
    "image_size (patch)": Check(
        patch, [16, 24, 16], {key: [16, 24, 16] for key in ("trained", "validated", "inference")}, {"spatial_dims": 3}
    ),
    "patch_size": Check(
        patch_size,
        [16, 24],
        {"trained": [16, 24], "validated": 1, "window": [16, 24], "inference": [16, 24], **five([16, 24])},
    ),
    "patches_per_image": Check(patches_of_an_image, 3, {"drawn": 3, "there": 3}),
    "sampling": Check(sampling, "oversample", {"batches": "MixedBatches", "patches": 0.5}),
    "cache (in memory)": Check(reads, "memory", {"train": (10, 0, 10), "validate": (5, 0, 5)}),
    "batch_size": Check(batch_sizes, 2, dict.fromkeys(("train", "validate", "inference"), 2), KNOWN),
    "skip_bad_files": Check(left_over("images"), True, good_ones, given=VOLUMES | KNOWN),
    "augmentation": Check(augmented, False, [0.0] * 6),
    "augmentation_strength": Check(strength, "light", 5),
}
