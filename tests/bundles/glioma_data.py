"""Knobs of the paths, the folds, the loaders and the augmentation."""

from __future__ import annotations

import os
from contextlib import chdir
from typing import Any

from medbundles.data import GradedFolds
from medbundles.errors import ConfigError, DataError
from tests.bundles.brain_tumor_data import (
    batch_sizes,
    cached,
    elsewhere,
    loaders,
    other_bundle,
    pinned,
    reads,
    workers,
    workers_of_inference,
)
from tests.bundles.glioma_bench import CASES
from tests.bundles.knob_bench import Bench, handler
from tests.bundles.knob_check import Check

ROOTS = (
    "data", "runs", "folds", "cache", "models", "licence", "stages", "weights to evaluate", "weights for inference",
    "input", "output",
)  # fmt: skip
AMOUNTS = ("random_flip", "random_rotate", "random_scale", "gaussian_noise", "brightness", "contrast", "gamma")
OFF = {f"augmentation#{name}": 0.0 for name in AMOUNTS}


def split(bench: Bench, *file: str, **turned: Any) -> GradedFolds:
    return bench.get("data", *file, **turned)


def names(items: list[dict]) -> list[str]:
    return [item["name"] for item in items]


def told(bench: Bench, knob: str, **turned: Any) -> Any:
    """What the evaluation's report says of a knob."""
    return handler(bench.workflow("evaluate", **turned), "EvaluationReport", "validate#handlers").about[knob]


def homes(bench: Bench, **turned: Any) -> dict[str, str]:
    """Where the cases come from in training, evaluation and inference."""
    data = {
        "train": split(bench, **turned)["train"],
        "test": split(bench, "evaluate", **turned)["test"],
        "input": bench.get("data", "inference", **turned),
    }
    found = {name: os.path.commonpath([item["image"] for item in items]) for name, items in data.items()}
    return {**found, "report": told(bench, "dataset_dir", **turned)}


def roots(bench: Any, **turned: Any) -> dict[str, str]:
    """The bundle's folder by everything that is read and written below it."""
    free = {"dataset_dir": ..., "output_dir": ..., "cache_dir": ..., "checkpoint": ..., "input": ..., "output": ...}
    if "bundle_root" not in turned:
        free["bundle_root"] = ...
    with chdir(bench.bundle):  # where the default, the working folder, is a bundle
        train, test, new = (bench.workflow(*f, **free, **turned) for f in ((), ("evaluate",), ("inference",)))
        publish, parse = handler(train, "Publish"), train.parser.get_parsed_content
        paths = (
            parse("data")["train"][0]["image"],
            parse("run_dir").parent,
            parse("data").file,
            parse("cache_dir"),
            publish.models_dir,
            publish.data_license,
            handler(train, "InitialWeights").configs,
            handler(test, "WeightsCheckpointLoader", "validate#handlers").checkpoint,
            handler(new, "WeightsCheckpointLoader", "handlers").checkpoint,
            new.parser.get_parsed_content("data")[0]["image"],
            handler(new, "CaseWriter", "handlers").output,
        )
    return {name: str(path)[: len(str(bench.other_bundle))] for name, path in zip(ROOTS, paths, strict=True)}


def below_output_dir(bench: Bench, **turned: Any) -> dict[str, str]:
    workflow = bench.workflow(**{"cache_dir": ..., **turned})
    parse = workflow.parser.get_parsed_content
    return {
        "runs": str(parse("run_dir").parent.parents[1]),
        "folds": str(parse("data").file.parents[1]),
        "cache": str(parse("train::dataset").read.folder.parent),
        "tracking": parse("tracking_uri").removeprefix("sqlite:///").removesuffix("/tracking/mlruns.db"),
    }


def left_over(bench: Any, **turned: Any) -> dict[str, Any]:
    """Cases of parts in which a file has no header, or holds NaN."""
    bad = {"dataset_dir": str(bench.bad_data), "cache": "none"}
    found: dict[str, Any] = {}
    for part, file, dataset in (
        ("train", (), "train::dataset"),
        ("val", (), "validate::dataset"),
        ("test", ("evaluate",), "validate::dataset"),
        ("input", ("inference",), "dataset"),
    ):
        try:
            read = bench.workflow(*file, **bad, **turned).parser.get_parsed_content(dataset)
            found[part] = len(read.data)
        except (DataError, RuntimeError):  # MONAI wraps what a component raises
            found[part] = "refused"
    return found


def good_ones(bench: Any) -> dict[str, int]:
    train, val = bench.readable["train"], bench.readable["val"]
    return {"train": train, "val": val, "test": val, "input": train + val}


def held_out(bench: Bench, **turned: Any) -> dict[str, Any]:
    """What is validated and tested, where the runs go, and what the report says."""
    return {
        "val": names(split(bench, **turned)["val"]),
        "test": names(split(bench, "evaluate", **turned)["test"]),
        "runs": bench.get("run_dir", **turned).parent.name,
        "report": told(bench, "fold", **turned),
    }


def second_fold(bench: Any) -> dict[str, Any]:
    second = bench.first_folds[1]
    return {"val": second, "test": second, "runs": "fold_1", "report": 1}


def number_of_folds(bench: Bench, **turned: Any) -> dict[str, int]:
    data = split(bench, **turned)
    return {"folds": len(set(data.assignment.values())), "report": told(bench, "folds", **turned)}


def first_fold(bench: Bench, **turned: Any) -> list[str]:
    return names(split(bench, **turned)["val"])


def chosen_by(bench: Bench, **turned: Any) -> dict[str, Any]:
    """Which part chooses the epoch, and how much is left for training."""
    data = split(bench, **turned)
    return {"val": names(data["val"]), "train": len(data["train"])}


def inner_parts(bench: Any) -> dict[str, Any]:
    held_out, choosing = bench.first_folds
    return {"val": choosing, "train": sum(CASES.values()) - len(held_out) - len(choosing)}


def evaluated(bench: Bench, **turned: Any) -> dict[str, Any]:
    workflow = bench.workflow("evaluate", **turned)
    data = workflow.parser.get_parsed_content("validate::dataset").data
    return {"cases": len(data), "report": told(bench, "part", **turned)}


def everything(bench: Any) -> dict[str, Any]:
    return {"cases": sum(CASES.values()), "report": "all"}


def training_batches(bench: Bench, **turned: Any) -> list[list[int]]:
    return [[i for _, i in batch] for batch in bench.get("train#sampler", **turned)]


def repeats(bench: Bench, **turned: Any) -> bool:
    """Whether a case is drawn more than once in an epoch."""
    drawn = [i for batch in training_batches(bench, **turned) for i in batch]
    return len(set(drawn)) < len(drawn)


def last_batch(bench: Bench, **turned: Any) -> int:
    return len(training_batches(bench, **turned)[-1])


def accepted(bench: Bench, **turned: Any) -> bool:
    """Whether a run begins at all."""
    try:
        bench.run({"val_auc": 0.5, "val_f1": 0.5}, **turned)
    except RuntimeError as error:  # MONAI's around ours
        cause: Any = error
        while not isinstance(cause, ConfigError):
            cause = cause.__cause__
        assert "allow_double_balancing" in str(cause)
        return False
    return True


def option(name: str) -> Any:
    """An option of the loaders of training and validation, which needs a worker."""

    def see(bench: Bench, **turned: Any) -> dict[str, Any]:
        found = loaders(bench, **turned)
        return {part: getattr(found[part], name) for part in ("train", "validate")}

    return see


def augmented(bench: Bench, **turned: Any) -> list[float]:
    """How much a training volume differs from the prepared one, in 6 epochs."""
    dataset = bench.get("train#dataset", **turned)
    prepared = dataset.read(dataset.data[1])["image"]
    return [round(float((dataset[(epoch, 1)]["image"] - prepared).abs().mean()), 6) for epoch in range(1, 7)]


def alone(knob: str) -> tuple[str, Check]:
    """With this part of the augmentation alone nothing is changed once it is off."""
    name = f"augmentation#{knob}"
    return name, Check(augmented, 0.0, [0.0] * 6, {k: v for k, v in OFF.items() if k != name})


def both(value: Any) -> dict[str, Any]:
    return {"train": value, "validate": value}


def other_data(bench: Any) -> str:
    return str(bench.other_data)


def all_other(bench: Any) -> dict[str, str]:
    return dict.fromkeys(("train", "test", "input", "report"), other_data(bench))


def all_elsewhere(bench: Bench) -> dict[str, str]:
    return dict.fromkeys(("runs", "folds", "cache", "tracking"), elsewhere(bench))


WORKER = {"num_workers": 1}

DATA = {
    "bundle_root": Check(roots, other_bundle, lambda bench: dict.fromkeys(ROOTS, other_bundle(bench))),
    "dataset_dir": Check(homes, other_data, all_other),
    "output_dir": Check(below_output_dir, elsewhere, all_elsewhere),
    "folds_file": Check(first_fold, lambda bench: str(bench.other_folds), lambda bench: bench.first_folds[1]),
    "cache_dir": Check(cached, lambda bench: str(bench.other_cache), both(True)),
    "cache": Check(reads, "none", both((0, 2))),
    "cache (in memory)": Check(reads, "memory", {"train": (11, 0), "validate": (3, 0)}),
    "skip_bad_files": Check(left_over, True, good_ones),
    "folds": Check(number_of_folds, 3, {"folds": 3, "report": 3}),
    "fold": Check(held_out, 1, second_fold),
    "fold_seed": Check(first_fold, 7),
    "selection": Check(chosen_by, "inner", inner_parts),
    "part": Check(evaluated, "all", everything),
    "batch_size": Check(batch_sizes, 3, {**both(3), "inference": 3}),
    "sampling": Check(repeats, "balanced", True),
    "allow_double_balancing": Check(accepted, True, True, given={"sampling": "balanced"}),
    "drop_last": Check(last_batch, False, 3, given={"batch_size": 4}),
    "pin_memory": Check(pinned, False, both(False)),
    "num_workers": Check(workers, 1, both(1)),  # auto is never 1
    "num_workers (inference)": Check(workers_of_inference, 1, 1),
    "persistent_workers": Check(option("persistent_workers"), False, both(False), given=WORKER),
    "prefetch_factor": Check(option("prefetch_factor"), 2, both(2), given=WORKER),
    "augmentation#enabled": Check(augmented, False, [0.0] * 6),
    **dict(map(alone, AMOUNTS)),
}
