"""Settings of the paths, the split, the patches, the loaders and the augmentation."""

from __future__ import annotations

import os
from typing import Any

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
from tests.bundles.dental_settings.bench import VOLUMES
from tests.bundles.setting_bench import Bench
from tests.bundles.setting_check import Check

AMOUNTS = ("random_flip_h", "random_rotate", "random_scale", "brightness", "contrast", "gamma")


def tested(bench: Bench, **turned: Any) -> list[dict]:
    return bench.get("validate#dataset", "evaluate", **turned).data


def home(items: list[dict]) -> str:
    """The folder that items come from."""
    return os.path.commonpath([os.path.dirname(item["image"]) for item in items])


def homes(bench: Bench, **turned: Any) -> dict[str, str]:
    """Where the pictures of training, evaluation and inference come from."""
    new = bench.get("data", "inference", **turned)
    places = {**bench.get("data", **turned), "test": tested(bench, **turned), "input": new}
    return {**{name: home(items) for name, items in places.items()}, "report": told(bench, "dataset_dir", **turned)}


def validating(bench: Bench, **turned: Any) -> str:
    return home(bench.get("validate#dataset", **turned).data)


def part_to_evaluate(bench: Bench, **turned: Any) -> dict[str, str]:
    return {"data": home(tested(bench, **turned)), "report": told(bench, "test_dir", **turned)}


def runs_folder(bench: Bench, **turned: Any) -> dict[str, str]:
    runs = bench.get("run_dir", **turned).parent.parent
    return {**below_output_dir(bench, **turned), "runs": str(runs)}


def sources(bench: Bench, **turned: Any) -> dict[str, Any]:
    """The folders of the pictures in training and evaluation."""
    parts = {"train": bench.get("data", **turned)["train"], "test": tested(bench, **turned)}
    found = {name: " ".join(sorted({item["source"] for item in items})) for name, items in parts.items()}
    return {**found, "report": told(bench, "data_source", **turned)}


def number_validating(bench: Bench, **turned: Any) -> int:
    return len(bench.get("data", **turned)["val"])


def number_tested(bench: Bench, **turned: Any) -> dict[str, Any]:
    return {"tested": len(tested(bench, **turned)), "report": told(bench, "test_split", **turned)}


def patients(bench: Bench, **turned: Any) -> set[str]:
    parts = bench.get("data", **turned)
    return {item["patient"] for items in parts.values() for item in items}


def sides(bench: Bench, **turned: Any) -> list[list[int]]:
    """Sides of the training patches in four epochs."""
    dataset = bench.get("train#dataset", **{"epochs": 4, **turned})
    return [list(dataset[(epoch, 0)]["image"].shape[1:]) for epoch in range(1, 5)]


def patches(bench: Bench, **turned: Any) -> dict[str, Any]:
    """Sides of a training patch, and of the one that a validation compares with the whole image."""
    measures = bench.get("validate#cases", **turned).measures
    [compared] = [measure for measure in measures if type(measure).__name__ == "PatchAgainstWhole"]
    return {"trained": sides(bench, **turned)[0], "compared": compared.patch_size}


def patches_of_an_image(bench: Bench, **turned: Any) -> int:
    """How often each picture is drawn in an epoch."""
    workflow = bench.workflow(**turned)
    pictures = len(workflow.parser.get_parsed_content("train::dataset").data)
    drawn = [index for batch in workflow.parser.get_parsed_content("train::sampler") for _, index, _ in batch]
    return len(set(drawn)) // pictures


def augmented(bench: Bench, **turned: Any) -> list[float]:
    """How much the patches of a picture in 6 epochs differ from those without any change."""
    changed, plain = (bench.get("train#dataset", **t) for t in (turned, {**turned, "augment": False}))
    pairs = ((dataset[(epoch, 1)]["image"] for dataset in (changed, plain)) for epoch in range(1, 7))
    return [round(float((a - b).abs().mean()), 6) for a, b in pairs]


def other_part(name: str) -> Any:
    return lambda bench: str(bench.other_data / name)


def all_other(bench: Bench) -> dict[str, str]:
    return dict.fromkeys(("train", "val", "test", "input", "report"), str(bench.other_data))


def all_elsewhere(bench: Bench) -> dict[str, str]:
    return dict.fromkeys(("runs", "cache", "tracking"), elsewhere(bench))


def good_ones(bench: Any) -> dict[str, int]:
    return {**bench.readable, "input": sum(bench.readable.values())}


SMALL, LARGE = [16, 16], [24, 24]
OFF = {f"augmentation#{name}": 0.0 for name in AMOUNTS}

DATA = {
    **LOADING,
    "bundle_root": root_check(),
    "dataset_dir": Check(homes, lambda bench: str(bench.other_data), all_other),
    "val_dir": Check(validating, other_part("edente"), other_part("edente")),
    "test_dir": Check(
        part_to_evaluate,
        other_part("edente"),
        lambda bench: dict.fromkeys(("data", "report"), str(bench.other_data / "edente")),
    ),
    "output_dir": Check(runs_folder, elsewhere, all_elsewhere),
    "data_source": Check(sources, "dente", dict.fromkeys(("train", "test", "report"), "dente")),
    "train_split": Check(number_validating, 0.5, 7),
    "test_split": Check(number_tested, 0.5, {"tested": 9, "report": 0.5}),
    "patient_pattern": Check(patients, r"jaw_\d(\d)\d", {"0", "1"}, given={"test_split": 0.0}),  # one in each part
    "earlier_split": Check(may_be_tested, lambda bench: str(bench.split), False, given={"seed": 7}),
    "different_pictures": Check(found_twice, [["edente/again", "edente/jaw_001"]], 0),
    "cache (in memory)": Check(reads, "memory", {"train": (10, 0, 10), "validate": (4, 0, 4)}),
    "batch_size": Check(lambda bench, **turned: batch_sizes(bench, **turned)["train"], 2, 2),
    "skip_bad_files": Check(left_over(), True, good_ones, given=VOLUMES),
    "patch_size": Check(patches, [8, 12], {"trained": [8, 12], "compared": [8, 12]}),
    "patches_per_image": Check(patches_of_an_image, 3, 3),
    "final_patch_size": Check(sides, LARGE, [SMALL] * 2 + [LARGE] * 2, given={"final_patch_epochs": 2}),
    "final_patch_epochs": Check(sides, 3, [SMALL] + [LARGE] * 3, given={"final_patch_size": LARGE}),
    "augment": Check(augmented, True),
    **{
        name: Check(augmented, 0.0, [0.0] * 6, {"augment": True, **{k: v for k, v in OFF.items() if k != name}})
        for name in OFF
    },
}
