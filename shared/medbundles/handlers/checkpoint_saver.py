"""Writes best.pt, last.pt and periodic checkpoints, each whole or not at all."""

import logging
import math
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer

from medbundles.atomic_files import replace_atomic, write_json_atomic
from medbundles.data.reading.trained_file import TRAINED
from medbundles.errors import ConfigError
from medbundles.handlers.monitor import Value
from medbundles.handlers.resume import circumstances, data_fingerprints
from medbundles.handlers.run import Run, run_of
from medbundles.handlers.stateful import stateful
from medbundles.networks import bare_network
from medbundles.ranks import is_rank_0
from medbundles.rules import AUTO
from medbundles.runs.checkpoints import load_checkpoint, plain, save_checkpoint, with_measured
from medbundles.transforms.image_ranges import NAME, ranges_of

logger = logging.getLogger("medbundles")


@dataclass(eq=False)
class CheckpointSaver:
    """Saves the state of the run after each epoch, in its checkpoints folder.

    The run's monitor says which epoch is best; one with a NaN metric never is. The best value is part of the state, so
    a worse model cannot replace best.pt after a restart. Beside best.pt stands trained.json, a config overlay of every
    setting that the weights depend on.

    MONAI's CheckpointSaver is not used: after a restart a worse model overwrites its best one, a NaN keeps its place as
    the best for ever, and what it saves must have a state of its own, so metrics and settings could not be in the file.

    Args:
        trained: the settings that the weights depend on, by id; those of a group in a dict of their own; what the
            training's images are like is measured when a new run starts (`medbundles.transforms.image_ranges`).
        thresholds: ids of decision thresholds and the validation metrics that choose them where they are "auto"; none
            given: those of `trained` that are named x_threshold, each chosen by the metric val_x_threshold; of
            x_threshold and x_logit_threshold the latter.
        save_best: write best.pt.
        save_last: write last.pt after each epoch.
        save_frequency: write epoch_NNN.pt every so many epochs; 0: never.
        keep_last_n: how many of those are kept.
        save_optimizer: without it the run cannot be resumed.
        save_scheduler: likewise.
        save_best_only: keep best.pt alone: no periodic ones, and last.pt goes when the run is finished.
        measured: settings of `trained` and what a training measures for them where they are "auto".
    """

    phase = "save"
    trained: dict[str, Any] = field(default_factory=dict)
    thresholds: dict[str, str] = field(default_factory=dict)
    save_best: bool = True
    save_last: bool = True
    save_frequency: int = 10
    keep_last_n: int = 5
    save_optimizer: bool = True
    save_scheduler: bool = True
    save_best_only: bool = False
    measured: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.trained = with_measured(self.trained, self.measured)
        self.best: Value | None = None
        self.best_epoch = 0
        self.best_metrics: dict[str, float] = {}
        self.data: dict[str, str] = {}

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        names = [setting for setting in self.trained if setting.endswith("_threshold")]
        names = [setting for setting in names if setting.replace("_threshold", "_logit_threshold") not in names]
        self.thresholds = self.thresholds or {setting: f"val_{setting}" for setting in names}
        stateful(engine)["best"] = self
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        if self.save_best_only:
            engine.add_event_handler(Events.COMPLETED, self.keep_best)

    def keep_best(self, engine: SupervisedTrainer) -> None:
        """Remove last.pt, where there is a best.pt."""
        folder = run_of(engine).directory.folder("checkpoints")
        if is_rank_0() and (folder / "best.pt").is_file():
            (folder / "last.pt").unlink(missing_ok=True)

    def start(self, engine: SupervisedTrainer) -> None:
        """The data do not change during a run: their fingerprint is taken once. A resumed run keeps its best.pt."""
        run = run_of(engine)
        self.data = data_fingerprints(engine, run.validator)
        if self.trained.get(NAME) == AUTO and is_rank_0() and not engine.should_terminate:
            self.trained[NAME] = ranges_of(cast(Any, engine.data_loader).dataset)
        best = run.directory.folder("checkpoints") / "best.pt"
        if engine.state.epoch > 0 and best.is_file():
            # after a kill, or from an older checkpoint, best.pt may be of a later epoch than the one resumed from
            there = load_checkpoint(best)["parts"]["best"]
            if run.monitor.is_better(_value_of(there), self.best):
                self.load_state_dict(there)

    def state_dict(self) -> dict[str, Any]:
        """The best value, its epoch and that epoch's metrics; what the training's images are like."""
        best = {"best": self.best or [], "best_epoch": self.best_epoch, "best_metrics": self.best_metrics}
        return best | {NAME: self.trained.get(NAME, AUTO)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on comparing with the best so far; the images are not measured again."""
        self.best, self.best_epoch, self.best_metrics = _value_of(state), state["best_epoch"], state["best_metrics"]
        if self.trained.get(NAME) == AUTO:
            self.trained[NAME] = state.get(NAME, AUTO)  # files of 0.1.0 do not say

    def _is_best(self, engine: SupervisedTrainer, run: Run) -> bool:
        """Compare this epoch with the best one, and remember it when it is better."""
        metrics = run.validation(engine)
        if metrics is None:
            return False
        value = run.monitor.of(metrics)
        reason = getattr(run.validator.state, "undefined", {}).get(run.monitor.metric)
        if value is None and reason:
            others = [
                name for name, found in metrics.items() if math.isfinite(found) and not name.endswith("_threshold")
            ]
            defined = ", ".join(sorted(others)) or "there is none"
            raise ConfigError(
                f"early_stopping#monitor: {run.monitor.metric} is not defined on the validation data ({reason}), so no "
                f"epoch would be the best; follow one that is ({defined})."
            )
        if value is None:
            logger.warning("%s is NaN in epoch %d: it cannot be best.pt.", run.monitor.metric, engine.state.epoch)
        is_best = run.monitor.is_better(value, self.best)
        if is_best:
            self.best, self.best_epoch, self.best_metrics = value, engine.state.epoch, metrics
        return is_best

    def __call__(self, engine: SupervisedTrainer) -> None:
        run, epoch = run_of(engine), engine.state.epoch
        best = self._is_best(engine, run) and self.save_best
        periodic = not self.save_best_only and self.save_frequency > 0 and epoch % self.save_frequency == 0
        # last.pt last: killed before it, the epoch is done again and nothing is missing
        wanted = {"best.pt": best, f"epoch_{epoch:03d}.pt": periodic, "last.pt": self.save_last}
        names = [name for name, is_wanted in wanted.items() if is_wanted]
        if not is_rank_0() or not names:
            return
        folder = run.directory.folder("checkpoints")
        if best:
            write_json_atomic(folder / TRAINED, self._overlay(run))
        save_checkpoint(folder / names[0], self._content(engine, run))
        for name in names[1:]:
            _same_file(folder / names[0], folder / name)
        if best and self.best:
            value = run.monitor.sign * self.best[0]
            logger.info("saved best.pt (epoch %d, %s: %.4f)", epoch, run.monitor.metric, value)
        if periodic:
            newest_first = sorted(folder.glob("epoch_*.pt"), key=_epoch_of, reverse=True)
            for path in newest_first[self.keep_last_n :]:
                path.unlink()

    def _content(self, engine: SupervisedTrainer, run: Run) -> dict[str, Any]:
        return {
            "run": run.directory.path.name,
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "settings": plain(run.directory.settings),
            "trained": plain(self._overlay(run)),
            "data": self.data,
            **circumstances(engine),
            "metrics": {name: float(value) for name, value in run.validator.state.metrics.items()},
            "network": bare_network(engine.network).state_dict(),
            "optimizer": engine.optimizer.state_dict() if self.save_optimizer else None,
            "scheduler": plain(run.scheduler.state_dict()) if self.save_scheduler else None,
            "scaler": engine.scaler.state_dict() if engine.scaler is not None else None,
            "parts": {name: plain(part.state_dict()) for name, part in stateful(engine).items()},
        }

    def _overlay(self, run: Run) -> dict[str, Any]:
        """The settings that the weights depend on; thresholds that are "auto" are those of this epoch's validation."""
        metrics = run.validator.state.metrics
        chosen = {
            setting: float(metrics[name])
            for setting, name in self.thresholds.items()
            if self.trained.get(setting, AUTO) == AUTO and not math.isnan(metrics.get(name, math.nan))
        }
        return self.trained | chosen


def _value_of(state: dict[str, Any]) -> Value | None:
    """The best value in a state; until version 0.1 it had no tie break."""
    return [*state["best"], 0.0][:2] if state["best"] else None


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
