"""What the writers of inference results have in common."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from medbundles.errors import ConfigError
from medbundles.ranks import rank_and_world
from medbundles.reports.inference_tables import ResultTables
from medbundles.transforms.predictions import threshold_value

logger = logging.getLogger("medbundles")


class ResultWriter:
    """Keeps the tables of an inference while it runs; subclasses write what belongs to an input, then its row.

    The tables are written every half minute, at the end, and when the run breaks off, so that `existing: "skip"` can
    go on from there.

    Args:
        output: folder to write to, made when the first result is there.
        predictions: the engine's postprocessing (`medbundles.transforms.Predictions`): its thresholds count.
        class_names: names of the N classes.
        checkpoint: file whose weights are used, told in the tables.
        grad_cam: a `GradCam`, or None for no heat maps.
        existing: "skip" keeps the rows of an earlier run.

    Raises:
        ConfigError: under torchrun; or when the rows to be kept come from other weights or thresholds.
    """

    phase = "end"
    tables: ResultTables

    def __init__(
        self,
        output: str | Path,
        predictions: Any,
        class_names: Sequence[str],
        checkpoint: str | Path = "",
        grad_cam: Any = None,
        existing: str = "overwrite",
    ):
        self.output, self.predictions, self.class_names = Path(output), predictions, list(class_names)
        self.checkpoint, self.grad_cam, self.existing = str(checkpoint), grad_cam, existing
        self.done = 0

    def attach(self, engine: Engine) -> None:
        """Wire it to the evaluator that runs the inference."""
        if self.existing == "skip":  # here too: an engine that finds every input done does not start
            tables = self.make_tables(0.5)
            tables.check_earlier(tables.weights)
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.break_off)

    def __call__(self, engine: Engine) -> None:
        """Write the results of a batch."""
        raise NotImplementedError

    def make_tables(self, class_threshold: float) -> ResultTables:
        """Empty tables of this run."""
        return ResultTables(self.output, self.class_names, self.checkpoint, class_threshold)

    def start(self, engine: Engine) -> None:
        """Take the thresholds, and the earlier rows that stay."""
        if rank_and_world()[1] > 1:
            raise ConfigError("inference runs in one process: start it without torchrun, on a part of the files each")
        self.tables = self.make_tables(threshold_value("class_threshold", self.predictions.class_threshold))
        if self.existing == "skip":
            self.tables.keep_earlier()
        self.done, self.saved = 0, time.monotonic()
        logger.info("results go to %s; inputs that have results there: %s", self.output, self.existing)

    def probabilities(self, pred: dict[str, torch.Tensor]) -> list[list[float]]:
        """Those of a batch, (B, N).

        Raises:
            ConfigError: the network has another number of classes than there are names.
        """
        classes = len(self.class_names)
        if pred["prob"].shape[1] != classes:
            raise ConfigError(f"class_names has {classes} names, the network gives {pred['prob'].shape[1]} classes")
        return pred["prob"].cpu().tolist()

    def add(self, row: dict[str, Any]) -> None:
        """Count an input as done; all its files are written."""
        self.tables.add(row)
        self.done += 1

    def save_sometimes(self) -> None:
        """Write the tables, if half a minute has passed since the last time."""
        if time.monotonic() - self.saved > 30:
            self.tables.save()
            self.saved = time.monotonic()

    def finish(self, engine: Engine) -> None:
        """Write the tables and say where all is."""
        self.tables.save()
        found = ", ".join(f"{name} {n}" for name, n in self.tables.count().items())
        logger.info("inputs done: %d (all: %s); results in %s", self.done, found, self.output)

    def break_off(self, engine: Engine, error: BaseException) -> None:
        """Keep the rows of what is complete; the error goes on."""
        if self.done:
            self.tables.save()
            logger.warning("broken off after %d inputs; existing 'skip' goes on from there", self.done)
        raise error
