"""Settings of the paths, the loaders and the augmentation that bundles share."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import chdir
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from monai.bundle import ConfigWorkflow

from medbundles.errors import DataError, causes
from tests.bundles.setting_bench import Bench, handler
from tests.bundles.setting_check import Check

PATHS = ("bundle_root", "dataset_dir", "output_dir", "cache_dir", "checkpoint", "input", "output")
ROOTS = (
    "data", "runs", "cache", "models", "licence", "stages", "weights to evaluate", "weights for inference", "input",
    "output",
)  # fmt: skip


def told(bench: Bench, setting: str, **turned: Any) -> Any:
    """What the evaluation's report says of a setting."""
    return handler(bench.workflow("evaluate", **turned), "EvaluationReport", "validate#handlers").about[setting]


def root_check(**more: Callable[[ConfigWorkflow], Any]) -> Check:
    """Of the bundle's folder, by everything that is read and written below it; training may have `more` of it."""
    names = (*ROOTS, *more)

    def see(bench: Bench, **turned: Any) -> dict[str, str]:
        with chdir(bench.bundle):  # where the default, the working folder, is a bundle
            train, test, new = bench.workflows(**{**dict.fromkeys(PATHS, ...), **turned})
            publish, parse = handler(train, "Publish"), train.parser.get_parsed_content
            paths = (
                parse("data")["train"][0]["image"],
                parse("run_dir").parent,
                parse("cache_dir"),
                publish.models_dir,
                publish.data_license,
                handler(train, "InitialWeights").configs,
                handler(test, "WeightsCheckpointLoader", "validate#handlers").checkpoint,
                handler(new, "WeightsCheckpointLoader", "handlers").checkpoint,
                new.parser.get_parsed_content("data")[0]["image"],
                handler(new, bench.writer, "handlers").output,
                *(find(train) for find in more.values()),
            )
        return {name: str(path)[: len(str(bench.other_bundle))] for name, path in zip(names, paths, strict=True)}

    return Check(see, other_bundle, lambda bench: dict.fromkeys(names, other_bundle(bench)))


def below_output_dir(bench: Bench, **turned: Any) -> dict[str, str]:
    """The folder of the runs, by what lies directly in it."""
    parse = bench.workflow(**{"cache_dir": ..., **turned}).parser.get_parsed_content
    return {
        "cache": str(parse("train::dataset").read.folder.parent),
        "tracking": parse("tracking_uri").removeprefix("sqlite:///").removesuffix("/tracking/mlruns.db"),
    }


def cached(bench: Bench, **turned: Any) -> dict[str, bool]:
    """Whether an item of each part is cached in the bench's other folder."""
    workflow, found = bench.workflow(**turned), {}
    for part in ("train", "validate"):
        for path in bench.other_cache.glob("*.pt"):
            path.unlink()
        workflow.parser.get_parsed_content(f"{part}::dataset")[0]
        found[part] = any(bench.other_cache.glob("*.pt"))
    return found


def reads(bench: Bench, **turned: Any) -> dict[str, tuple[int, int, int]]:
    """How many files are read to prepare each part, then to get an item twice, and to prepare it in another run."""
    folder, found = tempfile.mkdtemp(dir=bench.folder), {}
    workflows = [bench.workflow(**{**turned, "cache_dir": folder}) for _ in range(2)]
    for part in ("train", "validate"):
        files: list[str] = []
        counts = []
        for workflow in workflows:
            dataset = workflow.parser.get_parsed_content(f"{part}::dataset")
            dataset.transform = partial(_noted, files, dataset.transform)
            with patch("medbundles.parallel.core_count", lambda: 1):  # other processes' reads would not be seen
                dataset.prepare()
            counts.append(len(files))
            dataset[0], dataset[0]
            counts.append(len(files))
        found[part] = (counts[0], counts[1] - counts[0], counts[2] - counts[1])
    return found


def _noted(files: list[str], read: Any, item: dict) -> dict:
    files.append(item["image"])
    return read(item)


def left_over(inputs: str = "") -> Callable[..., dict[str, Any]]:
    """How many items of each part are taken of the bench's data with bad files, of which `inputs` are given anew."""

    def see(bench: Bench, **turned: Any) -> dict[str, Any]:
        bad = {"dataset_dir": str(bench.bad_data), "cache": "none", "input": str(bench.bad_data / inputs)}
        found: dict[str, Any] = {}
        for part, file, dataset in (
            ("train", (), "train::dataset"),
            ("val", (), "validate::dataset"),
            ("test", ("evaluate",), "validate::dataset"),
        ):
            try:
                found[part] = len(bench.get(dataset, *file, **bad, **turned).data)
            except (DataError, RuntimeError):  # MONAI wraps what a component raises
                found[part] = "refused"
        try:
            found["input"] = readable_inputs(bench, **bad, **turned)
        except (DataError, RuntimeError):
            found["input"] = "refused"
        return found

    return see


def readable_inputs(bench: Bench, **turned: Any) -> int | str:
    """How many inputs of inference can be read; of the others it must only tell at the end."""
    workflow = bench.workflow("inference", **turned)
    dataset = workflow.parser.get_parsed_content("dataset")
    if not handler(workflow, bench.writer, "handlers").skip_bad_files:
        return "an error at the end"
    return sum("failed" not in dataset[i] for i in range(len(dataset)))


def batch_sizes(bench: Bench, **turned: Any) -> dict[str, int]:
    return {part: len(next(iter(loader))["name"]) for part, loader in bench.parts("dataloader", **turned).items()}


def loaders(bench: Bench, **turned: Any) -> dict[str, Any]:
    with patch("torch.cuda.is_available", return_value=True):
        return bench.parts("dataloader", **turned)


def option(name: str) -> Callable[..., dict[str, Any]]:
    """An option of the loaders of training and validation."""

    def see(bench: Bench, **turned: Any) -> dict[str, Any]:
        return {part: getattr(loader, name) for part, loader in loaders(bench, **turned).items() if part != "inference"}

    return see


def workers_of_inference(bench: Bench, **turned: Any) -> int:
    return loaders(bench, **turned)["inference"].num_workers


def augmented(bench: Bench, **turned: Any) -> list[float]:
    """How much a training item's image, and its mask if it has one, differ from the prepared ones, in 6 epochs."""
    dataset = bench.get("train#dataset", **turned)
    prepared = dataset.read(dataset.data[1])
    differences = []
    for epoch in range(1, 7):
        item = dataset[(epoch, 1)]
        each = [(item[k].float() - prepared[k].float()).abs().mean() for k in ("image", "mask") if k in item]
        differences.append(round(float(torch.stack(each).sum()), 6))
    return differences


def augmentation_checks(off: dict[str, Any]) -> dict[str, Check]:
    """`off`: the settings of its parts and what turns them off; with one part alone nothing changes once it is off."""
    return {
        "augmentation#enabled": Check(augmented, False, [0.0] * 6),
        **{
            name: Check(augmented, value, [0.0] * 6, {k: v for k, v in off.items() if k != name})
            for name, value in off.items()
        },
    }


def both(value: Any) -> dict[str, Any]:
    return {"train": value, "validate": value}


def other_bundle(bench: Bench) -> str:
    return str(bench.other_bundle)


def elsewhere(bench: Bench) -> str:
    return str(bench.folder / "elsewhere")


LOADING = {
    "cache_dir": Check(cached, lambda bench: str(bench.other_cache), both(True)),
    "cache": Check(reads, "none", both((0, 2, 0))),
    "batch_size": Check(batch_sizes, 3, {**both(3), "inference": 3}),
    "pin_memory": Check(option("pin_memory"), False, both(False)),
    "num_workers": Check(option("num_workers"), 1, both(1)),  # auto is never 1
    "num_workers (inference)": Check(workers_of_inference, 1, 1),
}


def may_be_tested(bench: Bench, **turned: Any) -> bool:
    """Whether the test set is not refused for a picture of an earlier training."""
    try:
        bench.get("validate::dataset", "evaluate", **turned)
    except RuntimeError as error:  # MONAI's around ours
        return "split.json" not in str([*causes(error)][-1])
    return True


def found_twice(bench: Any, **turned: Any) -> int:
    """How many pairs of pictures count as one, where one picture is there twice."""
    return len(bench.get("data", **turned, dataset_dir=str(bench.copies)).pairs)
