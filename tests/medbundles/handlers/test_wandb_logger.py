from __future__ import annotations

import importlib.util
import json
import math
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.engines.utils import IterationEvents

from medbundles.errors import ConfigError, MedbundlesError
from medbundles.handlers import WandB
from medbundles.runs.checkpoints import load_checkpoint

SPEC = importlib.util.find_spec("wandb")
needs_wandb = pytest.mark.skipif(SPEC is None or SPEC.origin is None, reason="the extra wandb is not installed")


@pytest.fixture
def home(tmp_path, monkeypatch) -> Iterator[Path]:
    """An empty home and working folder, W&B offline; and its service ended, which would keep them."""
    for name in [name for name in os.environ if name.startswith(("WANDB_", "XDG_"))]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(home)
    yield home
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()


def logger(**options):
    return lambda run_dir, network, validator: [WandB(enabled=True, **options)]


def records(path: Path) -> Iterator[Any]:
    """The protobuf records of a .wandb file: LevelDB's log format behind a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    data, at, content = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:  # no piece starts in the last bytes of a block
            at += left
            continue
        _, size, kind = struct.unpack_from("<IHB", data, at)
        content += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last piece
            record = wandb_internal_pb2.Record()
            record.ParseFromString(content)
            yield record
            content = b""


class OfflineRun:
    """What an offline run holds."""

    def __init__(self, path: Path):
        self.rows: list[dict[str, Any]] = []
        self.config: dict[str, Any] = {}
        self.metrics: dict[str, str] = {}
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.run = record.run
                self._update(record.run.config)
            elif kind == "config":
                self._update(record.config)
            elif kind == "metric":
                self.metrics[record.metric.name or record.metric.glob_name] = record.metric.step_metric
            elif kind == "history":
                row: dict[str, Any] = {}
                for item in record.history.item:
                    names = list(item.nested_key) or [item.key]
                    target = row
                    for name in names[:-1]:
                        target = target.setdefault(name, {})
                    target[names[-1]] = json.loads(item.value_json)
                self.rows.append(row)
            elif kind == "exit":
                self.exit_code = record.exit.exit_code

    def _update(self, config: Any) -> None:
        self.config |= {item.key: json.loads(item.value_json) for item in config.update}


def runs(trainer) -> list[OfflineRun]:
    sys.modules["wandb"].teardown()  # offline, finish() does not wait until all is in the file; this does
    return [OfflineRun(path) for path in sorted(trainer.run_dir.folder("logs").glob("wandb/offline-run-*/run-*.wandb"))]


class Spy:
    """Notes each iteration's loss and the gradient norm of its step, apart from what is tested."""

    def __init__(self) -> None:
        self.losses: dict[int, float] = {}
        self.norms: dict[int, float] = {}

    def attach(self, engine):
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self)

    def __call__(self, engine):
        self.losses[engine.state.iteration] = float(engine.state.output["loss"].detach())
        if getattr(engine.state, "grad_norm", None) is not None:
            self.norms[engine.state.iteration] = float(engine.state.grad_norm)


@needs_wandb
def test_epochs_are_the_history_and_batches_come_every_log_frequency(tiny_training, home):
    spy = Spy()
    trainer = tiny_training(
        epochs=3, after_history=lambda run_dir, network, _: [spy, WandB(enabled=True, log_frequency=3)]
    )
    trainer.run()
    (run,) = runs(trainer)
    epochs = [row for row in run.rows if "epoch" in row]
    assert [row["_step"] for row in epochs] == [4, 8, 12]
    for row, record in zip(epochs, trainer.history.epochs, strict=True):
        assert {"train_loss", "train_seg_loss", "val_acc", "lr", "epoch_seconds", "grad_norm_mean"} <= set(record)
        for name, value in record.items():
            assert row[name] == pytest.approx(value, rel=1e-12, nan_ok=True), name
    assert math.isnan(epochs[0]["val_auc"])
    batches = [row for row in run.rows if "batch/loss" in row]
    assert [row["_step"] for row in batches] == [3, 6, 9, 12]
    for row in batches:
        assert row["batch/loss"] == spy.losses[row["_step"]]
        assert row["batch/grad_norm"] == spy.norms[row["_step"]]
    for name in ("train_*", "val_*", "lr*", "epoch_seconds"):
        assert run.metrics[name] == "epoch"
    assert run.exit_code == 0


@needs_wandb
def test_config_architecture_and_system_are_logged_once(tiny_training, home):
    options = {"project": "p", "entity": "team", "name": "n", "tags": ["x", "y"], "notes": "why"}
    trainer = tiny_training(epochs=1, after_history=logger(**options))
    trainer.run()
    (run,) = runs(trainer)
    assert (run.run.project, run.run.entity, run.run.display_name, run.run.notes) == ("p", "team", "n", "why")
    assert list(run.run.tags) == ["x", "y"]
    assert run.config["lr"] == 0.1
    assert run.config["wandb#project"] == "tiny"
    assert run.config["bundle_config"] == {"epochs": "@max_epochs"}
    architecture = run.config["architecture"]
    assert architecture["text"] == str(trainer.network)
    assert architecture["class"] == "TinyNetwork"
    assert architecture["parameters"] == architecture["trainable_parameters"] == (9 + 1) + (2 + 2)
    system = run.config["system"]
    assert system["seed"] == 7
    assert system["device"] == "cpu"
    assert system["versions"]["torch"] == torch.__version__


@needs_wandb
def test_frozen_weights_are_not_trainable(tiny_training, home):
    def frozen(run_dir, network, validator):
        network.cls.requires_grad_(False)
        return [WandB(enabled=True)]

    trainer = tiny_training(epochs=1, after_history=frozen)
    trainer.run()
    architecture = runs(trainer)[0].config["architecture"]
    assert (architecture["parameters"], architecture["trainable_parameters"]) == (14, 10)


@needs_wandb
@pytest.mark.parametrize(("gradients", "weights"), [(True, False), (False, True)])
def test_gradients_and_weights_by_choice(tiny_training, home, gradients, weights):
    trainer = tiny_training(after_history=logger(log_gradients=gradients, log_weights=weights, log_frequency=1))
    trainer.run()
    (run,) = runs(trainer)
    names = set().union(*run.rows)
    assert {name for name in names if "grad_norm" in name} == (
        {"batch/grad_norm", "grad_norm_mean", "grad_norm_max"} if gradients else set()
    )
    assert {name for name in names if name.startswith("weights/")} == (
        {f"weights/{name}" for name, _ in trainer.network.named_parameters()} if weights else set()
    )
    if weights:
        histogram = run.rows[-1]["weights/seg.weight"]
        values = trainer.network.seg.weight.detach()
        assert sum(histogram["values"]) == values.numel()
        assert histogram["bins"][0] == pytest.approx(float(values.min()))
        assert histogram["bins"][-1] == pytest.approx(float(values.max()))


@needs_wandb
def test_with_accumulation_the_norm_is_that_of_the_latest_step(tiny_training, home):
    spy = Spy()
    trainer = tiny_training(
        epochs=1,
        accumulation=2,
        after_history=lambda run_dir, network, _: [spy, WandB(enabled=True, log_frequency=1)],
    )
    trainer.run()
    assert sorted(spy.norms) == [2, 4]
    norms = [row.get("batch/grad_norm") for row in runs(trainer)[0].rows]
    assert norms == [None, spy.norms[2], spy.norms[2], spy.norms[4]]


@needs_wandb
def test_nothing_is_written_elsewhere_and_the_training_is_the_same(tiny_training, home):
    off = tiny_training()
    off.run()
    on = tiny_training(after_history=logger(log_weights=True, log_frequency=1))
    on.run()
    sys.modules["wandb"].teardown()
    assert list(home.rglob("*")) == []
    assert "WANDB_CACHE_DIR" not in os.environ
    for mine, other in zip(on.network.parameters(), off.network.parameters(), strict=True):
        assert torch.equal(mine, other)


@needs_wandb
def test_a_resumed_run_keeps_its_id_and_steps(tiny_training, home):
    trainer = tiny_training(epochs=1, after_history=logger())
    trainer.run()
    resumed = tiny_training(epochs=2, resume=True, after_history=logger())
    resumed.run()
    assert resumed.run_dir.path == trainer.run_dir.path
    content = load_checkpoint(resumed.run_dir.folder("checkpoints") / "last.pt")
    both = runs(resumed)
    assert [run.run.run_id for run in both] == [content["parts"]["wandb"]["id"]] * 2
    assert [row["_step"] for run in both for row in run.rows] == [4, 8]
    assert [row["epoch"] for run in both for row in run.rows] == [1, 2]


@needs_wandb
def test_two_runs_have_different_ids(tiny_training, home):
    ids = set()
    for _ in range(2):
        torch.manual_seed(0)
        trainer = tiny_training(epochs=1, after_history=logger())
        trainer.run()
        ids.add(runs(trainer)[0].run.run_id)
    assert len(ids) == 2


@needs_wandb
@pytest.mark.parametrize("kind", [ValueError, SystemExit])
def test_a_failed_or_interrupted_run_is_not_called_finished(tiny_training, home, kind):
    def fail(engine):
        raise kind("stop")

    trainer = tiny_training(after_history=logger())
    trainer.add_event_handler(Events.EPOCH_STARTED(once=2), fail)
    with pytest.raises(kind):
        trainer.run()
    (run,) = runs(trainer)
    assert run.exit_code == 1
    assert [row["epoch"] for row in run.rows] == [1]


@needs_wandb
def test_without_login_the_message_says_what_to_do(tiny_training, home, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: SIM115 - not a terminal: W&B does not ask
    trainer = tiny_training(after_history=logger())
    with pytest.raises(MedbundlesError, match=r"wandb login.*WANDB_MODE=offline.*--wandb#enabled False"):
        trainer.run()


def test_a_missing_wandb_names_the_extra_and_leaves_no_run_directory(tiny_training, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MedbundlesError, match=r"wandb cannot be imported.*pip install -e '\.\[wandb\]'.*False"):
        tiny_training(after_history=logger())
    assert not (tmp_path / "runs").exists()


def test_a_folder_named_wandb_is_not_wandb(tiny_training, tmp_path, monkeypatch):
    """W&B itself leaves such a folder where other programs run, and Python would import it."""
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setitem(sys.modules, "wandb", None)  # so that what this test imports is forgotten at its end
    del sys.modules["wandb"]
    with pytest.raises(MedbundlesError, match=r"pip install -e '\.\[wandb\]'"):
        tiny_training(after_history=logger()).run()


def test_other_ranks_log_nothing_and_fail_with_rank_0(tiny_training, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr("medbundles.handlers.wandb_logger.done_by_rank_0", lambda action: None)
    trainer = tiny_training(after_history=logger(log_frequency=1))
    trainer.run()
    assert not (trainer.run_dir.folder("logs") / "wandb").exists()

    def fails(action):
        raise MedbundlesError("no wandb there")

    monkeypatch.setattr("medbundles.handlers.wandb_logger.done_by_rank_0", fails)
    with pytest.raises(MedbundlesError, match="no wandb there"):
        tiny_training(after_history=logger()).run()


def test_off_imports_nothing(tiny_training, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # importing it would be an error
    trainer = tiny_training(after_history=lambda run_dir, network, _: [WandB()])
    trainer.run()
    assert not (trainer.run_dir.folder("logs") / "wandb").exists()
    content = load_checkpoint(trainer.run_dir.folder("checkpoints") / "last.pt")
    assert content["parts"]["wandb"] == {"id": None}


def test_log_frequency_is_at_least_1():
    with pytest.raises(ConfigError, match=r"wandb#log_frequency: 0 is not allowed; it must be at least 1"):
        WandB(log_frequency=0)
