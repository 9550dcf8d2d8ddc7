"""Builds and runs a bundle's training in seconds, so that tests can look at what a setting changes."""

from __future__ import annotations

import importlib.machinery
import json
import shutil
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow

BUNDLES = Path(__file__).parents[2] / "bundles"
Metrics = Sequence[dict[str, float]]


@dataclass
class Run:
    """What a run left behind."""

    folder: Path
    trainer: Any
    evaluator: Any
    workflow: ConfigWorkflow
    epochs: list[int]  # that were trained
    validated: list[int]  # epochs after which it was validated
    steps: int  # of the optimizer
    wandb: FakeWandB

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def checkpoints(self, folder: str = "checkpoints") -> list[str]:
        return sorted(path.name for path in (self.folder / folder).glob("*.pt"))

    def checkpoint(self, name: str) -> dict[str, Any]:
        return torch.load(self.folder / "checkpoints" / name, weights_only=True)


@dataclass
class FakeWandB:
    """Stands in for the wandb module: remembers how it was called."""

    opened: dict[str, Any] | None = None
    logged: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def imported(self) -> Iterator[None]:
        """In the place of wandb; unlike `patch.dict` it keeps other modules that are imported meanwhile."""
        before, sys.modules["wandb"] = sys.modules.get("wandb"), self.module()
        try:
            yield
        finally:
            del sys.modules["wandb"]
            if before is not None:
                sys.modules["wandb"] = before

    def module(self) -> types.ModuleType:
        module = types.ModuleType("wandb")
        module.__spec__ = importlib.machinery.ModuleSpec("wandb", None, origin="fake")
        module.Error = type("Error", (Exception,), {})  # type: ignore[attr-defined]
        module.Histogram = lambda **_: "histogram"  # type: ignore[attr-defined]
        module.init = self._init  # type: ignore[attr-defined]
        return module

    def _init(self, **options: Any) -> FakeWandB:
        self.opened = options
        return self

    def define_metric(self, *_: Any, **__: Any) -> None: ...

    def log(self, values: dict[str, Any], step: int) -> None:
        self.logged.append({"step": step, **values})

    def finish(self, exit_code: int) -> None: ...

    def names(self) -> set[str]:
        return {name.partition("/")[0] + "/" * ("/" in name) for values in self.logged for name in values}


class Bench:
    """A copy of a bundle, with small data and settings that make everything quick.

    The bench of a bundle makes what lies in `data`, `other_data` and `bad_data`, an `image` to look at, `weights`, and
    `inputs` with `results`; it names what differs between the bundles:

    * `writer`: the handler that writes what inference finds.
    * `followed`, `mode`: the metric of validation that is followed by default, and whether "max" or "min" is better.
    * `other_metric`: another one, of which larger is better.
    * `rate`: name of the head's learning rate in a run's history.

    Args:
        bundle: name of the bundle.
        folder: empty folder to work in.
        small: more overrides of every workflow; a check of one of these settings states what it expects.
    """

    writer = "CaseWriter"
    followed: str
    mode = "max"
    other_metric: str
    rate = "lr"
    image: str
    weights: str

    def __init__(self, bundle: str, folder: Path, small: dict[str, Any]):
        self.folder, self.bundle, self.other_bundle = folder, folder / "bundle", folder / "other_bundle"
        self.data, self.other_data, self.bad_data = folder / "data", folder / "other_data", folder / "bad_data"
        self.other_cache, self.inputs, self.results = folder / "other_cache", folder / "inputs", folder / "results"
        for copy in (self.bundle, self.other_bundle):
            shutil.copytree(BUNDLES / bundle, copy, ignore=shutil.ignore_patterns("models", "runs", "data"))
            (copy / "data").symlink_to(self.data)
        self.runs: dict[str, Run] = {}
        self.small = {
            "bundle_root": str(self.bundle),
            "dataset_dir": str(self.data),
            "output_dir": str(folder / "runs"),
            "cache_dir": str(folder / "cache"),
            "cache": "disk",
            "num_workers": 0,
            "device": "cpu",
            "tensorboard": False,
            "report": False,
            **small,
        }

    def metrics(self, value: float) -> dict[str, float]:
        """What a validation finds; the metric that is followed by default is the better, the larger the value is."""
        return {self.followed: value}

    def own_folds(self) -> dict[str, str]:
        """An override that lets a run write its split where nothing else looks."""
        return {}

    def save_weights(self, name: str, part: str = "", **options: Any) -> str:
        """A file of the weights with `part` in their names, all of them 0.25."""
        state = self.get("network_def", **options).state_dict()
        torch.save({k: torch.full_like(v, 0.25) for k, v in state.items() if part in k}, self.folder / name)
        return str(self.folder / name)

    def save_result(self, **files: str) -> None:
        """Two inputs, of which one has a result: these files."""
        self.inputs.mkdir()
        suffix = "".join(Path(self.image).suffixes)
        for name in ("a", "b"):
            shutil.copy(self.image, self.inputs / f"{name}{suffix}")
        for file in files.values():
            (self.results / file).parent.mkdir(parents=True)
            (self.results / file).touch()
        row = {"file": str(self.inputs / f"a{suffix}"), **files}
        (self.results / "predictions.json").write_text(json.dumps({"results": [row]}))

    def config(self, name: str) -> dict[str, Any]:
        return json.loads((self.bundle / "configs" / f"{name}.json").read_text(encoding="utf-8"))

    def workflow(self, *files: str, **overrides: Any) -> ConfigWorkflow:
        """An initialised workflow of train.json and the overlays named, or of inference.json alone."""
        names = files if "inference" in files else ("train", *files)
        kind = "train" if names == ("train",) else "infer"
        options = {**self.small, **overrides}
        if "inference" in files:
            known = self.config("inference")
            options = {k: v for k, v in options.items() if k.split("#")[0] in known}
        workflow = ConfigWorkflow(
            config_file=[str(self.bundle / "configs" / f"{name}.json") for name in names],
            meta_file=str(self.bundle / "configs" / "metadata.json"),
            logging_file=False,
            workflow_type=kind,
            **{name: value for name, value in options.items() if value is not ...},
        )
        workflow.initialize()
        return workflow

    def workflows(self, **overrides: Any) -> list[ConfigWorkflow]:
        """Those of training, evaluation and inference."""
        return [self.workflow(*files, **overrides) for files in ((), ("evaluate",), ("inference",))]

    def parts(self, id_: str, **overrides: Any) -> dict[str, Any]:
        """One component, as training, validation and inference have it."""
        train = self.workflow(**overrides).parser
        return {
            "train": train.get_parsed_content(f"train::{id_}"),
            "validate": train.get_parsed_content(f"validate::{id_}"),
            "inference": self.get(id_, "inference", **overrides),
        }

    def get(self, id_: str, *files: str, **overrides: Any) -> Any:
        """One component and what it needs, built; `...` as a value takes the bench's override back."""
        return self.workflow(*files, **overrides).parser.get_parsed_content(id_.replace("#", "::"))

    def look(self, *metrics: dict[str, float], **options: Any) -> Run:
        """As `run`, for those who only look: a run with the same overrides that was looked at before will do."""
        key = repr((metrics, sorted(options.items())))
        if key not in self.runs:
            self.runs[key] = self.run(*metrics, **options)
        return self.runs[key]

    @contextmanager
    def changed(self, name: str, config: dict[str, Any]) -> Iterator[None]:
        """Another content of a config file, for a while."""
        path = self.bundle / "configs" / f"{name}.json"
        content, runs, self.runs = path.read_text(encoding="utf-8"), self.runs, {}
        path.write_text(json.dumps(config), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(content, encoding="utf-8")
            self.runs = runs

    def run(self, *metrics: dict[str, float], whole_epochs: bool = False, **overrides: Any) -> Run:
        """Really run the workflow, one batch per epoch; the validation finds these metrics instead of working.

        Args:
            metrics: validation metrics of each epoch; they also say how many epochs there are.
            whole_epochs: train on all batches.
        """
        workflow = self.workflow(**{"epochs": len(metrics), **self.own_folds(), **overrides})
        wandb = FakeWandB()
        with wandb.imported():
            trainer = workflow.parser.get_parsed_content("train::trainer")
        evaluator = workflow.parser.get_parsed_content("validate::evaluator")
        result = Run(Path(), trainer, evaluator, workflow, [], [], 0, wandb)

        def validate(epoch: int) -> None:
            result.validated.append(epoch)
            evaluator.state.epoch, evaluator.state.metrics = epoch, dict(metrics[epoch - 1])

        def step(*args: Any, **kwargs: Any) -> None:
            result.steps += 1

        evaluator.run = validate
        trainer.optimizer.register_step_post_hook(step)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: result.epochs.append(engine.state.epoch))
        if not whole_epochs:
            trainer.state.epoch_length = 1
        # it looks at what the validation measured, and there is none
        without_warning = patch("medbundles.handlers.LatentWarning.__call__", lambda self, engine: None)
        with quick(), without_warning, wandb.imported():
            workflow.run()
        result.folder = workflow.parser.get_parsed_content("run_dir").path
        return result


@contextmanager
def quick() -> Iterator[None]:
    """Without what takes time and hangs on no setting: drawing curves, asking git, waiting for the disk."""
    with (
        patch("medbundles.reports.LearningCurves.__call__", lambda self, engine: None),
        patch("medbundles.runs.environment.git_commit", lambda: None),
        patch("os.fsync", lambda _: None),
    ):
        yield


def handler(workflow: ConfigWorkflow, name: str, where: str = "train#handlers") -> Any:
    """The handler of a class, built, from a list of handlers."""
    where = where.replace("#", "::")
    entries = [workflow.parser[e["handler"][1:]] if "handler" in e else e for e in workflow.parser[where]]
    found = [i for i, entry in enumerate(entries) if entry["_target_"].endswith(f".{name}")]
    assert len(found) == 1, f"{len(found)} handlers {name} in {where}"
    return workflow.parser.get_parsed_content(f"{where}::{found[0]}")


def network(workflow: ConfigWorkflow) -> Any:
    return workflow.parser.get_parsed_content("network_def")
