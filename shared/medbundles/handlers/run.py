"""Opens the run's folder, writes down what is being run, and holds what the run's handlers share."""

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from medbundles.atomic_files import cannot_write, write_json_atomic
from medbundles.errors import ConfigError, MedbundlesError
from medbundles.handlers.closing import at_end
from medbundles.handlers.effective import effective
from medbundles.handlers.first_lines import datasets, line_about_network, lines_about_data
from medbundles.handlers.monitor import Monitor
from medbundles.handlers.phases import check_order, owners
from medbundles.inferers.autocast import precision_of
from medbundles.lines import duration, say
from medbundles.ranks import is_rank_0
from medbundles.runs.directory import RunDirectory
from medbundles.runs.environment import environment

logger = logging.getLogger("medbundles")
ATTRIBUTE = "medbundles_run"  # of the engine


class Run:
    """Makes the run directory when the engine starts, logs into it, and writes config.json and environment.json.

    The other handlers find it with `run_of(engine)`, and network and optimizer on the engine itself. Before the folder
    is made, the order of all handlers is checked (see `medbundles.handlers.phases`). A new run that is refused before
    its first epoch, such as for a file that cannot be read, leaves no folder.

    The caches of the datasets are filled here, so that the first epoch's time is its own; how long it took is
    `cache_seconds`, which the history writes down. A resumed run that is finished needs none.

    Args:
        run_dir: the run directory.
        device: device of the run; None: the engine's, or cpu.
        seed: seed of the run.
        validator: the evaluator that the trainer's ValidationHandler runs; None in an evaluation.
        scheduler: the learning-rate schedule, stepped after each epoch; None in an evaluation.
        monitor: what makes an epoch better than another; None in an evaluation.
        records: objects whose `record()` gives what else is to be written down, such as the folds: the JSON file and
            its content, or None.

    Raises:
        ConfigError: at the start: handlers in a wrong order, or a validator that nothing runs.

    Example::

        {"_target_": "medbundles.handlers.Run", "run_dir": "@run_dir", "seed": "@seed",
         "validator": "@validate#evaluator", "scheduler": "@scheduler", "monitor": "@monitor"}
    """

    phase = "open"

    def __init__(
        self,
        run_dir: RunDirectory,
        device: object = None,
        seed: int = 0,
        validator: Any = None,
        scheduler: Any = None,
        monitor: Monitor | None = None,
        records: Sequence[Any] = (),
    ):
        self.directory, self.device, self.seed, self.records = run_dir, device, seed, list(records)
        self.validator, self.scheduler = validator, scheduler
        self.monitor: Any = monitor
        self.log: logging.Handler | None = None
        self.cache_seconds = 0.0
        self.closes = False

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer or, for an evaluation, to the evaluator."""
        self.share(engine)
        engine.add_event_handler(Events.STARTED, self.start)

    def share(self, engine: Engine) -> None:
        """Let the engine's handlers find it."""
        setattr(engine, ATTRIBUTE, self)

    def validation(self, engine: Engine) -> dict[str, float] | None:
        """The metrics of the validation in the trainer's current epoch; None when there was none (`val_interval`)."""
        state = self.validator.state
        is_new = state.epoch == engine.state.epoch and state.metrics
        return {name: float(value) for name, value in state.metrics.items()} if is_new else None

    def start(self, engine: Engine) -> None:
        """Open the directory and fill the caches (all ranks), and write its first files (rank 0)."""
        check_order(engine)
        self._close_last(engine)
        self.directory.start()
        for tracker in trackers(engine):  # which start after this
            tracker.experiment_param = {**(tracker.experiment_param or {}), **self._tracked()}
        parts = datasets(engine, self.validator)
        if is_rank_0():
            self._open(engine, parts)
        if engine.should_terminate:  # resumed, and finished: what is written down of it stands
            return
        begin = time.perf_counter()
        for dataset in parts.values():  # before the first epoch, whose time this is not
            if hasattr(dataset, "prepare"):
                dataset.prepare()
        self.cache_seconds = time.perf_counter() - begin
        if is_rank_0():
            if self.cache_seconds >= 1:
                say(f"caches ready after {duration(self.cache_seconds)}")
            for content in filter(None, [other.record() for other in self.records]):
                write_json_atomic(*content)

    def _open(self, engine: Engine, parts: dict[str, Any]) -> None:
        """Open the log, say what is run, and write it down."""
        self.log = open_log(self.directory.folder("logs") / "train.log")
        folder = self.directory.folder("config")
        write_json_atomic(folder / "config.json", self.directory.config)
        made_with = environment(self.device or getattr(engine.state, "device", "cpu"), self.seed)
        write_json_atomic(folder / "environment.json", self.directory.about | made_with)
        lines = [f"run directory: {self.directory.path}"]
        lines += lines_about_data(parts, self.directory.settings.get("class_names"))
        if isinstance(network := getattr(engine, "network", None), torch.nn.Module):
            lines.append(line_about_network(network))
        for line in (*lines, f"precision: {precision_of(engine)}", *effective(engine, self.scheduler)):
            say(line)

    def _close_last(self, engine: Engine) -> None:
        """Let `close` stand behind all handlers that still write or log when the run has ended: now all are there."""
        if not self.closes:  # an engine may run again
            self.closes = True
            # a function, as a method would be taken for a handler of this phase that stands last
            engine.add_event_handler(Events.COMPLETED, lambda: self._end(engine))
            at_end(engine, partial(self._give_up, engine))

    def _end(self, engine: Engine) -> None:
        """Close, and end MLflow's run: MONAI leaves that to a trainer, which an evaluation has none of."""
        self.close()
        for tracker in trackers(engine):
            tracker.close()

    def _tracked(self) -> dict[str, Any]:
        """What MLflow keeps of the settings: those that differ from the defaults, learning rate and batch size.

        Not those that may change when the run is resumed: MLflow refuses another value of a parameter.
        """
        settings, free = self.directory.settings, self.directory.free_settings
        names = [*self.directory.about.get("changed", ()), "lr", "batch_size"]
        kept = {name: settings[name] for name in names if name in settings and name not in free}
        return {name.replace("#", "."): value for name, value in kept.items()}  # MLflow's names have no '#'

    def _give_up(self, engine: Engine, error: BaseException | None) -> None:
        """After an error close and let go as well; of a new run that is refused before it begins, nothing stays."""
        if error is None:
            return
        self.close()
        for tracker in trackers(engine):
            finished, status = tracker.run_finish_status, "FAILED" if isinstance(error, Exception) else "KILLED"
            tracker.run_finish_status = status
            try:
                tracker.close()
            finally:
                tracker.run_finish_status = finished  # of its next run
        if isinstance(error, MedbundlesError) and engine.state.epoch == 0:
            self.directory.discard()

    def close(self) -> None:
        """Close the log file and let go of the folder."""
        self.directory.release()
        if self.log is not None:
            logging.getLogger().removeHandler(self.log)
            with suppress(OSError):  # of a full disk, which was said
                self.log.close()
            self.log = None


def trackers(engine: Engine) -> set[Any]:
    """The MLFlowHandlers of an engine."""
    return {owner for owner in owners(engine) if type(owner).__name__ == "MLFlowHandler"}


def run_of(engine: Engine) -> Run:
    """The run of a trainer or evaluator.

    Raises:
        ConfigError: none of its handlers is a `Run`.
    """
    run = getattr(engine, ATTRIBUTE, None)
    if run is None:
        raise ConfigError("handlers: medbundles.handlers.Run is missing; the others take the run's folder from it.")
    return run


def settings_of(engine: Engine) -> Mapping[str, Any]:
    """The settings of an engine's run, by id; none where no preflight has told them."""
    directory = getattr(getattr(engine, ATTRIBUTE, None), "directory", None)
    return directory.settings if directory is not None else {}


class RunLog(logging.FileHandler):
    """A log file; where the disk is full the run goes on without it, which is said once and without a stack trace."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Called with the error that is being handled."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        logging.getLogger().removeHandler(self)
        logger.warning("%s; the run goes on without its log.", cannot_write(self.baseFilename, error))


def open_log(path: Path) -> logging.Handler:
    """A handler on the root logger that appends everything the console shows to a file, with the time, and what it has
    shown since the start of the command.

    Not MONAI's LogfileHandler: it hears the engine's own logger only, so losses and our lines would be missing.
    """
    handler = RunLog(path, mode="a", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for kept in [each for each in logging.getLogger("medbundles").handlers if isinstance(each, MemoryHandler)]:
        kept.setTarget(handler)  # what was said before
        kept.close()
        logging.getLogger("medbundles").removeHandler(kept)
    logging.getLogger().addHandler(handler)
    return handler
