"""Settings of the paths, the folds, the loaders and the augmentation."""

from __future__ import annotations

import os
from typing import Any

from medbundles.data import GradedFolds
from medbundles.errors import ConfigError
from tests.bundles.common_settings.data import (
    LOADING,
    augmentation_checks,
    below_output_dir,
    both,
    elsewhere,
    left_over,
    may_be_tested,
    option,
    reads,
    root_check,
    told,
)
from tests.bundles.glioma_settings.bench import CASES
from tests.bundles.setting_bench import Bench
from tests.bundles.setting_check import Check

AMOUNTS = ("random_flip", "random_rotate", "random_scale", "gaussian_noise", "brightness", "contrast", "gamma")


def split(bench: Bench, *file: str, **turned: Any) -> GradedFolds:
    return bench.get("data", *file, **turned)


def names(items: list[dict]) -> list[str]:
    return [item["name"] for item in items]


def homes(bench: Bench, **turned: Any) -> dict[str, str]:
    """Where the cases come from in training, evaluation and inference."""
    data = {
        "train": split(bench, **turned)["train"],
        "test": split(bench, "evaluate", **turned)["test"],
        "input": bench.get("data", "inference", **turned),
    }
    found = {name: os.path.commonpath([item["image"] for item in items]) for name, items in data.items()}
    return {**found, "report": told(bench, "dataset_dir", **turned)}


def runs_and_folds(bench: Bench, **turned: Any) -> dict[str, str]:
    return {
        **below_output_dir(bench, **turned),
        "runs": str(bench.get("run_dir", **turned).parent.parents[1]),
        "folds": str(split(bench, **turned).file.parents[1]),
    }


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
    return [[i for _, i, _ in batch] for batch in bench.get("train#sampler", **turned)]


def repeats(bench: Bench, **turned: Any) -> bool:
    """Whether a case is drawn more than once in an epoch."""
    drawn = [i for batch in training_batches(bench, **turned) for i in batch]
    return len(set(drawn)) < len(drawn)


def last_batch(bench: Bench, **turned: Any) -> int:
    return len(training_batches(bench, **turned)[-1])


def accepted(bench: Bench, **turned: Any) -> bool:
    """Whether a run begins at all."""
    try:
        bench.run(bench.metrics(0.5), **turned)
    except RuntimeError as error:  # MONAI's around ours
        cause: Any = error
        while not isinstance(cause, ConfigError):
            cause = cause.__cause__
        assert "allow_double_balancing" in str(cause)
        return False
    return True


def other_data(bench: Any) -> str:
    return str(bench.other_data)


def all_other(bench: Any) -> dict[str, str]:
    return dict.fromkeys(("train", "test", "input", "report"), other_data(bench))


def all_elsewhere(bench: Bench) -> dict[str, str]:
    return dict.fromkeys(("runs", "folds", "cache", "tracking"), elsewhere(bench))


WORKER = {"num_workers": 1}

DATA = {
    **LOADING,
    "bundle_root": root_check(folds=lambda train: train.parser.get_parsed_content("data").file),
    "dataset_dir": Check(homes, other_data, all_other),
    "output_dir": Check(runs_and_folds, elsewhere, all_elsewhere),
    "folds_file": Check(first_fold, lambda bench: str(bench.other_folds), lambda bench: bench.first_folds[1]),
    "cache (in memory)": Check(reads, "memory", {"train": (11, 0, 11), "validate": (3, 0, 3)}),
    "skip_bad_files": Check(left_over(), True, good_ones),
    "folds": Check(number_of_folds, 3, {"folds": 3, "report": 3}),
    "fold": Check(held_out, 1, second_fold),
    "fold_seed": Check(first_fold, 7),
    "selection": Check(chosen_by, "inner", inner_parts),
    "earlier_split": Check(may_be_tested, lambda bench: str(bench.split), False),
    "part": Check(evaluated, "all", everything),
    "sampling": Check(repeats, "balanced", True),
    "allow_double_balancing": Check(accepted, True, True, given={"sampling": "balanced"}),
    "drop_last": Check(last_batch, False, 3, given={"batch_size": 4}),
    "persistent_workers": Check(option("persistent_workers"), False, both(False), given=WORKER),
    "prefetch_factor": Check(option("prefetch_factor"), 2, both(2), given=WORKER),
    **augmentation_checks({f"augmentation#{name}": 0.0 for name in AMOUNTS}),
}
