"""Writes best.pt, last.pt and periodic checkpoints, each whole or not at all."""

from __future__ import annotations

import logging
import math
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer

from medbundles.atomic_files import replace_atomic, write_json_atomic
from medbundles.handlers.early_stopping import monitored, validated
from medbundles.handlers.resume import data_fingerprints
from medbundles.handlers.stateful import stateful
from medbundles.ranks import is_rank_0
from medbundles.runs.checkpoints import load_checkpoint, plain, save_checkpoint
from medbundles.runs.directory import RunDirectory

logger = logging.getLogger("medbundles")


class CheckpointSaver:
    """Saves the state of the run after each epoch; the last of the trainer's handlers that change state.

    A NaN metric is never best. The best value is part of the state, so a worse model cannot replace best.pt after a
    restart. Beside best.pt stands trained.json, a config overlay of every setting that the weights depend on.

    Args:
        run_dir: its checkpoints folder is written to.
        network: the bare network (not wrapped for distribution).
        optimizer: saved with `save_optimizer`.
        scheduler: saved with `save_scheduler`.
        validator: its metrics decide which epoch is best.
        monitor: name of the metric; "max" or "min" is better by `mode`.
        tie_break: name of a metric (larger is better) that decides between equal values, or None.
        trained: the settings that the weights depend on, by id.
        thresholds: ids of decision thresholds and the validation metrics that choose them where they are "auto".
        save_best: write best.pt.
        save_last: write last.pt after each epoch.
        save_frequency: write epoch_NNN.pt every so many epochs; 0: never.
        keep_last_n: how many of those are kept.
        save_optimizer: without it the run cannot be resumed.
        save_scheduler: likewise.
    """

    def __init__(
        self,
        run_dir: RunDirectory,
        network: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        scheduler: Any,
        validator: Engine,
        monitor: str,
        mode: str = "max",
        tie_break: str | None = None,
        trained: dict[str, Any] | None = None,
        thresholds: dict[str, str] | None = None,
        save_best: bool = True,
        save_last: bool = True,
        save_frequency: int = 10,
        keep_last_n: int = 5,
        save_optimizer: bool = True,
        save_scheduler: bool = True,
    ):
        self.run_dir, self.network, self.optimizer, self.scheduler = run_dir, network, optimizer, scheduler
        self.validator, self.monitor, self.sign, self.tie_break = (
            validator,
            monitor,
            1 if mode == "max" else -1,
            tie_break,
        )
        self.trained, self.thresholds = trained or {}, thresholds or {}
        self.save_best, self.save_last = save_best, save_last
        self.save_frequency, self.keep_last_n = save_frequency, keep_last_n
        self.save_optimizer, self.save_scheduler = save_optimizer, save_scheduler
        self.best: list[float] = []
        self.best_epoch = 0
        self.best_metrics: dict[str, float] = {}
        self.data: dict[str, str] = {}

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer, after all handlers whose state it saves."""
        stateful(engine)["best"] = self
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def start(self, engine: SupervisedTrainer) -> None:
        """The data do not change during a run: their fingerprint is taken once. A resumed run respects its best.pt."""
        self.data = data_fingerprints(engine, self.validator)
        if engine.state.epoch > 0 and self.run_dir.started:
            self._respect(self.run_dir.folder("checkpoints") / "best.pt")

    def _respect(self, path: Path) -> None:
        """After a kill, or from an older checkpoint, best.pt may be of a later epoch than the one resumed from."""
        there = load_checkpoint(path)["parts"]["best"] if path.is_file() else None
        if there and there["best"] > self.best:
            self.load_state_dict(there)

    def state_dict(self) -> dict[str, Any]:
        """The best value, its epoch and that epoch's metrics."""
        return {"best": self.best, "best_epoch": self.best_epoch, "best_metrics": self.best_metrics}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on comparing with the best so far."""
        self.best, self.best_epoch, self.best_metrics = state["best"], state["best_epoch"], state["best_metrics"]

    def _is_best(self, engine: SupervisedTrainer) -> bool:
        """Compare this epoch with the best one, and remember it when it is better."""
        if not validated(engine, self.validator):
            return False
        names = [self.monitor] + ([self.tie_break] if self.tie_break else [])
        value = [monitored(self.validator, name) for name in names]
        value[0] *= self.sign
        if math.isnan(value[0]):
            logger.warning("%s is NaN in epoch %d: not a candidate for best.pt.", self.monitor, engine.state.epoch)
            return False
        value = [-math.inf if math.isnan(v) else v for v in value]
        if self.best and value <= self.best:
            return False
        self.best, self.best_epoch = value, engine.state.epoch
        self.best_metrics = {k: float(v) for k, v in self.validator.state.metrics.items()}
        return True

    def __call__(self, engine: SupervisedTrainer) -> None:
        best, epoch = self._is_best(engine), engine.state.epoch
        periodic = self.save_frequency > 0 and epoch % self.save_frequency == 0
        names = ["best.pt"] * (best and self.save_best) + [f"epoch_{epoch:03d}.pt"] * periodic
        names += ["last.pt"] * self.save_last  # last: killed before it, the epoch is done again and nothing is missing
        if is_rank_0() and names:
            folder = self.run_dir.folder("checkpoints")
            if best and self.save_best:
                write_json_atomic(folder / "trained.json", self._overlay())
            save_checkpoint(folder / names[0], self._content(engine))
            for name in names[1:]:
                _same_file(folder / names[0], folder / name)
            if best and self.save_best:
                logger.info("saved best.pt (epoch %d, %s: %.4f)", epoch, self.monitor, self.sign * self.best[0])
            if periodic:
                self._prune(folder)

    def _content(self, engine: SupervisedTrainer) -> dict[str, Any]:
        return {
            "run": self.run_dir.path.name,
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "settings": plain(self.run_dir.settings),
            "trained": plain(self._overlay()),
            "data": self.data,
            "metrics": {k: float(v) for k, v in self.validator.state.metrics.items()},
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict() if self.save_optimizer else None,
            "scheduler": plain(self.scheduler.state_dict()) if self.save_scheduler else None,
            "scaler": engine.scaler.state_dict() if engine.scaler is not None else None,
            "parts": {name: plain(part.state_dict()) for name, part in stateful(engine).items()},
        }

    def _overlay(self) -> dict[str, Any]:
        """The settings that the weights depend on; thresholds that are "auto" are those of this epoch's validation."""
        metrics = self.validator.state.metrics
        names = {
            setting: name for setting, name in self.thresholds.items() if self.trained.get(setting, "auto") == "auto"
        }
        chosen = {setting: float(metrics[name]) for setting, name in names.items() if name in metrics}
        return {**self.trained, **{setting: value for setting, value in chosen.items() if not math.isnan(value)}}

    def _prune(self, folder: Path) -> None:
        periodic = sorted(folder.glob("epoch_*.pt"), key=_epoch_of)
        for path in periodic[: max(0, len(periodic) - self.keep_last_n)]:
            path.unlink()


def _epoch_of(path: Path) -> int:
    return int(path.stem.removeprefix("epoch_"))


def _same_file(source: Path, target: Path) -> None:
    """Give the file a second name: costs nothing, and a later rename over the first one leaves this one alone."""
    with replace_atomic(target) as temporary:
        Path(temporary).unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:  # a file system without hard links
            shutil.copyfile(source, temporary)
