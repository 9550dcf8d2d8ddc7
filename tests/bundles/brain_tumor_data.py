"""Knobs of the paths, the data, the loaders and the augmentation."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import chdir
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from medbundles.errors import DataError
from tests.bundles.knob_bench import Bench, handler
from tests.bundles.knob_check import Check

ROOTS = (
    "data",
    "runs",
    "models",
    "licence",
    "stages",
    "weights to evaluate",
    "weights for inference",
    "input",
    "output",
)


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


def part_to_evaluate(bench: Bench, source: str, knob: str, **turned: Any) -> dict[str, str]:
    """Where the test part comes from, and what the evaluation's report says of it."""
    report = handler(bench.workflow("evaluate", **turned), "EvaluationReport", "validate#handlers")
    return {"data": homes(bench, **turned)[f"test {source}"], "report": report.about[knob]}


def slices_to_evaluate(bench: Bench, **turned: Any) -> dict[str, str]:
    return part_to_evaluate(bench, "slices", "test_dir", **turned)


def images_to_evaluate(bench: Bench, **turned: Any) -> dict[str, str]:
    return part_to_evaluate(bench, "images", "kaggle_test_dir", **turned)


def roots(bench: Bench, **turned: Any) -> dict[str, str]:
    """The bundle's folder by everything that is read and written below it."""
    free = {"dataset_dir": ..., "output_dir": ..., "cache_dir": ..., "checkpoint": ..., "input": ..., "output": ...}
    if "bundle_root" not in turned:
        free["bundle_root"] = ...
    with chdir(bench.bundle):  # where the default, the working folder, is a bundle
        train, test, new = (bench.workflow(*f, **free, **turned) for f in ((), ("evaluate",), ("inference",)))
        publish = handler(train, "Publish")
        paths = (
            train.parser.get_parsed_content("data")["train"][0]["image"],
            train.parser.get_parsed_content("run_dir").parent,
            publish.models_dir,
            publish.data_license,
            handler(train, "InitialWeights").configs,
            handler(test, "WeightsCheckpointLoader", "validate#handlers").checkpoint,
            handler(new, "WeightsCheckpointLoader", "handlers").checkpoint,
            new.parser.get_parsed_content("data")[0]["image"],
            handler(new, "InferenceWriter", "handlers").output,
        )
    return {name: str(path)[: len(str(bench.other_bundle))] for name, path in zip(ROOTS, paths, strict=True)}


def runs_folder(bench: Bench, **turned: Any) -> dict[str, str]:
    workflow = bench.workflow(**{"cache_dir": ..., **turned})
    cache = workflow.parser.get_parsed_content("train::dataset").read.folder
    return {"runs": str(workflow.parser.get_parsed_content("run_dir").parent.parent), "cache": str(cache.parent)}


def cached(bench: Bench, **turned: Any) -> dict[str, bool]:
    """Whether an item of each part is cached in the bench's other folder."""
    workflow, found = bench.workflow(**turned), {}
    for part in ("train", "validate"):
        for path in bench.other_cache.glob("*.pt"):
            path.unlink()
        workflow.parser.get_parsed_content(f"{part}::dataset")[0]
        found[part] = any(bench.other_cache.glob("*.pt"))
    return found


def reads(bench: Bench, **turned: Any) -> dict[str, tuple[int, int]]:
    """How many files are read to prepare each part, and then to get an item twice."""
    workflow, found = bench.workflow(**{**turned, "cache_dir": ...}), {}
    for part in ("train", "validate"):
        dataset = workflow.parser.get_parsed_content(f"{part}::dataset")
        files: list[str] = []
        dataset.transform = partial(_noted, files, dataset.transform)
        dataset.prepare()
        prepared = len(files)
        dataset[0], dataset[0]
        found[part] = (prepared, len(files) - prepared)
    return found


def _noted(files: list[str], read: Any, item: dict) -> dict:
    files.append(item["image"])
    return read(item)


def left_over(bench: Bench, **turned: Any) -> dict[str, Any]:
    """Items of parts with a file that has no header and one that breaks off."""
    bad = {"dataset_dir": str(bench.bad_data), "cache": "none"}
    found: dict[str, Any] = {}
    for part, file, dataset in (
        ("train", (), "train::dataset"),
        ("val", (), "validate::dataset"),
        ("test", ("evaluate",), "validate::dataset"),
        ("input", ("inference",), "dataset"),
    ):
        try:
            workflow = bench.workflow(*file, **bad, **turned, input=str(bench.bad_data / "test/images"))
            read = workflow.parser.get_parsed_content(dataset)
            found[part] = len(read.data)
        except (DataError, RuntimeError):  # MONAI wraps what a component raises
            found[part] = "refused"
    return found


def labels(bench: Bench, **turned: Any) -> dict[str, Any]:
    """Label of the pictures in the folders "yes", and the names that evaluation and inference write."""
    data = bench.get("data", **turned) | bench.get("data", "evaluate", **turned)
    found: dict[str, Any] = {p: {i["label"] for i in data[p] if "/yes/" in i["image"]} for p in data}
    train, test, new = (bench.workflow(*file, **turned) for file in ((), ("evaluate",), ("inference",)))
    found["told"] = handler(train, "CheckpointSaver").trained["class_names"]
    found["validation"] = handler(train, "ValidationReport").report.class_names
    found["report"] = handler(test, "EvaluationReport", "validate#handlers").class_names
    found["tables"] = handler(new, "InferenceWriter", "handlers").class_names
    found["compared"] = handler(new, "WeightsCheckpointLoader", "handlers").trained["class_names"]
    return found


def batch_sizes(bench: Bench, **turned: Any) -> dict[str, int]:
    found = {}
    for name, file, id_ in (
        ("train", (), "train#dataloader"),
        ("validate", (), "validate#dataloader"),
        ("inference", ("inference",), "dataloader"),
    ):
        found[name] = len(next(iter(bench.get(id_, *file, **turned)))["name"])
    return found


def sources(bench: Bench, **turned: Any) -> list[dict[str, int]]:
    """How many items of each source are in each batch of an epoch."""
    workflow = bench.workflow(**turned)
    data = workflow.parser.get_parsed_content("train::dataset").data
    sampler = workflow.parser.get_parsed_content("train::sampler")
    return [dict(sorted(Counter(data[i]["source"] for _, i in batch).items())) for batch in sampler]


def mixed(slices: int, images: int) -> Any:
    """As many batches as it takes to see the source of which more are needed."""
    return lambda bench: [{"images": images, "slices": slices}] * max(-(-8 // images), -(-8 // slices))


def loaders(bench: Bench, **turned: Any) -> dict[str, Any]:
    with patch("torch.cuda.is_available", return_value=True):
        train, new = bench.workflow(**turned), bench.workflow("inference", **turned)
        found = {
            "train": train.parser.get_parsed_content("train::dataloader"),
            "validate": train.parser.get_parsed_content("validate::dataloader"),
            "inference": new.parser.get_parsed_content("dataloader"),
        }
    return found


def pinned(bench: Bench, **turned: Any) -> dict[str, bool]:
    found = loaders(bench, **turned)
    return {name: found[name].pin_memory for name in ("train", "validate")}


def workers(bench: Bench, **turned: Any) -> dict[str, int]:
    return {name: loader.num_workers for name, loader in loaders(bench, **turned).items() if name != "inference"}


def workers_of_inference(bench: Bench, **turned: Any) -> int:
    return loaders(bench, **turned)["inference"].num_workers


def augmented(bench: Bench, **turned: Any) -> list[float]:
    """How much a training slice and its mask differ from the prepared ones, in 6 epochs."""
    dataset = bench.get("train#dataset", **turned)
    prepared = dataset.read(dataset.data[1])
    differences = []
    for epoch in range(1, 7):
        item = dataset[(epoch, 1)]
        both = [(item[k].float() - prepared[k].float()).abs().mean() for k in ("image", "mask")]
        differences.append(round(float(torch.stack(both).sum()), 6))
    return differences


AMOUNTS = (
    "random_flip_h random_flip_v random_rotate random_scale gaussian_noise gaussian_blur brightness contrast gamma"
)
OFF = {f"augmentation#{name}": 0.0 for name in AMOUNTS.split()} | {"augmentation#elastic_deform": False}


def alone(knob: str) -> tuple[str, Check]:
    """With this part of the augmentation alone nothing is changed once it is off."""
    name = f"augmentation#{knob}"
    return name, Check(augmented, 0.0, [0.0] * 6, {k: v for k, v in OFF.items() if k != name})


def elastic(**given: Any) -> dict[str, Any]:
    return {**OFF, "augmentation#elastic_deform": True, **given}


def part(name: str) -> Any:
    return lambda bench: str(bench.other_data / name)


def told(name: str) -> Any:
    return lambda bench: {"data": str(bench.other_data / name), "report": str(bench.other_data / name)}


def other_bundle(bench: Bench) -> str:
    return str(bench.other_bundle)


def elsewhere(bench: Bench) -> str:
    return str(bench.folder / "elsewhere")


def all_homes(bench: Bench) -> dict[str, str]:
    """What `homes` tells of the bench's other data."""
    folders = {"slices": bench.other_data, "images": bench.other_data / "kaggle"}
    found = {f"{p} {s}": str(folders[s] / p) for p in ("train", "val", "test") for s in folders}
    return found | {"input": str(bench.other_data)}


DATA = {
    "bundle_root": Check(roots, other_bundle, lambda bench: dict.fromkeys(ROOTS, other_bundle(bench))),
    "dataset_dir": Check(homes, part(""), all_homes),
    "train_dir": Check(train_slices, part("train"), part("train")),
    "val_dir": Check(val_slices, part("val"), part("val")),
    "test_dir": Check(slices_to_evaluate, part("test"), told("test")),
    "kaggle_train_dir": Check(train_images, part("kaggle/train"), part("kaggle/train")),
    "kaggle_train_dir (off)": Check(train_images, False, ""),
    "kaggle_val_dir": Check(val_images, part("kaggle/val"), part("kaggle/val")),
    "kaggle_val_dir (off)": Check(val_images, False, ""),
    "kaggle_test_dir": Check(images_to_evaluate, part("kaggle/test"), told("kaggle/test")),
    "output_dir": Check(runs_folder, elsewhere, lambda bench: {"runs": elsewhere(bench), "cache": elsewhere(bench)}),
    "cache_dir": Check(cached, lambda bench: str(bench.other_cache), {"train": True, "validate": True}),
    "cache": Check(reads, "none", {"train": (0, 2), "validate": (0, 2)}, given={}),
    "cache (in memory)": Check(reads, "memory", {"train": (16, 0), "validate": (12, 0)}),
    "skip_bad_files": Check(left_over, True, {"train": 14, "val": 10, "test": 10, "input": 4}),
    "class_names": Check(labels, ["yes", "no"]),
    "batch_size": Check(batch_sizes, 3, {"train": 3, "validate": 3, "inference": 3}),
    "mixing#mix_datasets": Check(sources, False),
    "mixing#brats_ratio": Check(sources, 0.75, mixed(3, 1), along={"mixing#kaggle_ratio": 0.25}),
    "mixing#kaggle_ratio": Check(sources, 0.25, mixed(3, 1), along={"mixing#brats_ratio": 0.75}),
    "mixing#sampling": Check(sources, "weighted"),
    "pin_memory": Check(pinned, False, {"train": False, "validate": False}),
    "num_workers": Check(workers, 1, {"train": 1, "validate": 1}),  # auto is never 1
    "num_workers (inference)": Check(workers_of_inference, 1, 1),
    "augmentation#enabled": Check(augmented, False, [0.0] * 6),
    **dict(map(alone, AMOUNTS.split())),
    "augmentation#elastic_deform": Check(augmented, False, [0.0] * 6, elastic()),
    "augmentation#elastic_alpha": Check(augmented, 0.0, [0.0] * 6, elastic()),
    "augmentation#elastic_sigma": Check(augmented, 3.0, given=elastic()),
}
