"""What the writers of inference share: the tables, kept while it runs, the assigned class, captions and heat maps."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from medbundles.errors import ConfigError, DataError
from medbundles.ranks import rank_and_world
from medbundles.reports.inference_tables import ResultTables, class_of

logger = logging.getLogger("medbundles")


class ResultWriter:
    """Keeps the tables of an inference while it runs; subclasses write what belongs to an input, then its row.

    The tables are written every half minute, at the end, and when the run breaks off, so that `existing: "skip"` can
    go on from there. What the network gives decides what is written: classes where the predictions have "prob".

    Args:
        output: folder to write to, made when the first result is there.
        predictions: the engine's postprocessing (`medbundles.transforms.Predictions`): its thresholds count.
        class_names: names of the N classes.
        checkpoint: file whose weights are used, named in the tables.
        grad_cam: a `GradCam`, or None for no heat maps.
        existing: what the datalist does with inputs that have results; "skip" keeps their rows.

    Raises:
        ConfigError: under torchrun; or when the rows to be kept come from other weights or thresholds.
    """

    phase = "end"
    tables: ResultTables
    fields: tuple[str, ...]  # columns of predictions.csv
    class_key: str  # entry of a row that names the assigned class
    threshold_names: tuple[str, ...] = ("class_threshold",)

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
        self.thresholds: dict[str, Any] = {}
        self.done = 0

    def attach(self, engine: Engine) -> None:
        """Wire it to the evaluator that runs the inference."""
        if self.existing == "skip":  # here too: an engine that finds every input done does not start
            tables = self._empty_tables()
            tables.earlier_rows(tables.weights)
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._batch)
        engine.add_event_handler(Events.COMPLETED, self.finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.break_off)

    def _empty_tables(self) -> ResultTables:
        self.thresholds = self.predictions.thresholds()
        known = {name: self.thresholds[name] for name in self.threshold_names}
        known["class_threshold"] = self.thresholds["class_threshold"] if len(self.class_names) == 2 else None
        return ResultTables(self.output, self.fields, self.class_names, self.checkpoint, known)

    def start(self, engine: Engine) -> None:
        """Take the thresholds, and the earlier rows that stay."""
        if rank_and_world()[1] > 1:
            raise ConfigError("inference runs in one process: start it without torchrun, on a part of the files each")
        self.tables = self._empty_tables()
        if self.existing == "skip":
            self.tables.keep_earlier()
        self.done, self.saved = 0, time.monotonic()
        logger.info("results go to %s; inputs that have results there: %s", self.output, self.existing)

    def _batch(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        output: Any = engine.state.output
        probabilities = self._probabilities(output["pred"], batch["image_path"])
        for i, prob in enumerate(probabilities):
            self.write(batch, output, i, prob)
        if time.monotonic() - self.saved > 30:
            self.tables.save()
            self.saved = time.monotonic()

    def write(self, batch: Any, output: Any, i: int, prob: list[float] | None) -> None:
        """Write the results of item `i` of a batch, with its probabilities (N,) or None where there is no class."""
        raise NotImplementedError

    def _probabilities(self, pred: dict[str, torch.Tensor], paths: Sequence[str]) -> list[list[float] | None]:
        """Those of a batch, (B, N), or None for each item of a network that does not classify.

        Raises:
            ConfigError: the network has another number of classes than there are names.
            DataError: the network gives NaN.
        """
        if "prob" not in pred:
            return [None] * len(paths)
        prob, classes = pred["prob"].cpu(), len(self.class_names)
        if prob.shape[1] != classes:
            raise ConfigError(f"class_names has {classes} names, the network gives {prob.shape[1]} classes")
        for i in (~prob.isfinite().all(dim=1)).nonzero():  # NaN >= threshold is false: it would pass as class 0
            raise DataError(f"{paths[int(i)]}: the network gives no number for it (NaN); its weights are broken")
        return prob.tolist()

    def classified(self, prob: list[float] | None) -> dict[str, Any]:
        """Entries of a row: the assigned class and the probabilities; nothing without a class."""
        return {} if prob is None else {self.class_key: self.class_names[self._class(prob)], "prob": prob}

    def _class(self, prob: list[float]) -> int:
        return class_of(prob, self.thresholds["class_threshold"])

    def heat(self, image: torch.Tensor, prob: list[float] | None) -> torch.Tensor | None:
        """Heat map, shaped as the input (C, ...) without its channels, for the assigned class.

        One input at a time: the graph of a volume is large, and few inputs of a batch get a heat map at once.
        """
        if self.grad_cam is None or prob is None:
            return None
        return self.grad_cam(image[None], [self._class(prob)])[0].cpu()

    def caption(self, shown: str, row: dict[str, Any], what: str = "") -> str:
        """Text below a picture: what is shown, its class and probabilities, and a line about the picture."""
        if "prob" not in row:
            return f"{shown}\n{what}"
        known = ", ".join(f"{name} {p:.3f}" for name, p in zip(self.class_names, row["prob"], strict=True))
        if len(self.class_names) == 2:
            known += f"; {self.class_names[1]} from {self.thresholds['class_threshold']:.3f} on"
        what = what or f"heat: what speaks for {row[self.class_key]!r}"
        return f"{shown}: {row[self.class_key]} ({known})\n{what}"

    def add(self, row: dict[str, Any]) -> None:
        """Count an input as done; all its files are written."""
        self.tables.add(row)
        self.done += 1

    def finish(self, engine: Engine) -> None:
        """Write the tables and say where all is."""
        self.tables.save()
        rows = self.tables.rows.values()
        count = Counter(row[self.class_key] for row in rows if self.class_key in row)
        found = ", ".join(f"{name} {n}" for name, n in count.items()) or str(len(rows))
        logger.info("inputs done: %d (all: %s); results in %s", self.done, found, self.output)

    def break_off(self, engine: Engine, error: BaseException) -> None:
        """Keep the rows of what is complete; the error goes on."""
        if self.done:
            self.tables.save()
            logger.warning("broken off after %d inputs; existing 'skip' goes on from there", self.done)
        raise error
