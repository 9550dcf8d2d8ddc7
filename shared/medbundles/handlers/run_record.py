"""Opens the run directory and writes down what is being run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from medbundles.atomic_files import write_json_atomic
from medbundles.ranks import is_rank_0
from medbundles.runs.directory import RunDirectory
from medbundles.runs.environment import environment


class RunRecord:
    """Makes the run directory at the trainer's start, logs into it, and writes config.json and environment.json.

    Stands after the handlers that may refuse to start, so that a refused run leaves nothing behind.

    Args:
        run_dir: the run directory.
        device: device of the run.
        seed: seed of the run.
        records: objects whose `record()` tells what else is to be written down, such as the folds: the JSON file and
            its content, or None.
    """

    def __init__(self, run_dir: RunDirectory, device: object, seed: int, records: Sequence[Any] = ()):
        self.run_dir, self.device, self.seed, self.records = run_dir, device, seed, list(records)
        self.log: logging.Handler | None = None

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer or, for an evaluation, to the evaluator."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.STARTED, self.close_last)

    def start(self, engine: Engine) -> None:
        """Open the directory (all ranks) and write its first files (rank 0)."""
        self.run_dir.start()
        if not is_rank_0():
            return
        self.log = open_log(self.run_dir.folder("logs") / "train.log")
        folder = self.run_dir.folder("config")
        write_json_atomic(folder / "config.json", self.run_dir.config)
        write_json_atomic(folder / "environment.json", environment(self.device, self.seed))
        for content in filter(None, [other.record() for other in self.records]):
            write_json_atomic(*content)
        logging.getLogger("medbundles").info("run directory: %s", self.run_dir.path)

    def close_last(self, engine: Engine) -> None:
        """Let `close` stand behind all handlers that still write or log when the run has ended: now all are there."""
        if not engine.has_event_handler(self.close, Events.COMPLETED):  # an engine may run again
            engine.add_event_handler(Events.COMPLETED, self.close)

    def close(self, engine: Engine) -> None:
        """Close the log file and let go of the folder."""
        self.run_dir.release()
        if self.log is not None:
            logging.getLogger().removeHandler(self.log)
            self.log.close()
            self.log = None


def open_log(path: Path) -> logging.Handler:
    """A handler on the root logger that appends everything the console shows to a file, with the time."""
    handler = logging.FileHandler(path, mode="a", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    return handler
