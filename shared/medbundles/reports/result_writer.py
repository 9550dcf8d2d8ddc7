"""What the writers of inference share: the tables, kept while it runs, the assigned class, captions and heat maps."""

import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from medbundles.atomic_files import write_json_atomic, write_text_atomic
from medbundles.data.reading.files import content_id
from medbundles.errors import ConfigError, DataError
from medbundles.inferers.autocast import precision_of
from medbundles.ranks import rank_and_world
from medbundles.reports.evaluation import check_class_names
from medbundles.reports.tables import csv_text

logger = logging.getLogger("medbundles")
WEIGHTS = ("checkpoint", "checkpoint_id", "class_names")  # entries of predictions.json that say which weights


class ResultWriter:
    """Keeps the rows of all inputs of an inference; subclasses write what belongs to an input, then its row.

    They are written as predictions.json (everything) and predictions.csv, which has a line per input, and below it one
    for each entry of its "slices". What a network does not give (a class, a mask) is left out of the JSON and empty in
    the CSV. The tables are written every half minute, at the end, and when the run breaks off, so that `existing:
    "skip"` can go on from there. What the network gives decides what is written: classes where the predictions have
    "prob".

    Args:
        output: folder to write to, made when the first result is there.
        predictions: the engine's postprocessing (`medbundles.transforms.Predictions`): its thresholds count.
        class_names: names of the N classes.
        checkpoint: file whose weights are used, named in the tables and known again by a hash of its content.
        grad_cam: a `GradCam`, or None for no heat maps.
        existing: what the datalist does with inputs that have results; "skip" keeps their rows.

    Raises:
        ConfigError: under torchrun; or when the rows to be kept come from other weights or thresholds.
    """

    phase = "end"
    fields: tuple[str, ...]  # columns of predictions.csv; one that begins with "prob" becomes a column per class
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
        self.head: dict[str, Any] = {}
        self.rows: dict[str, dict[str, Any]] = {}
        self.done = 0

    def attach(self, engine: Engine) -> None:
        """Wire it to the evaluator that runs the inference."""
        if self.existing == "skip":  # here too: an engine that finds every input done does not start
            self.head = self.about()
            self._earlier_rows(WEIGHTS)
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._batch)
        engine.add_event_handler(Events.COMPLETED, self.finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.break_off)

    def about(self) -> dict[str, Any]:
        """What predictions.json says of all inputs: the weights, the classes, and the thresholds that decide."""
        self.thresholds = self.predictions.thresholds()
        known = {name: self.thresholds[name] for name in self.threshold_names}
        known["class_threshold"] = self.thresholds["class_threshold"] if len(self.class_names) == 2 else None
        identity = content_id(self.checkpoint) if self.checkpoint and Path(self.checkpoint).is_file() else ""
        weights = (self.checkpoint, identity, self.class_names)
        return {**dict(zip(WEIGHTS, weights, strict=True)), **known}

    def _earlier_rows(self, keys: Sequence[str]) -> list[dict[str, Any]]:
        """The rows of an earlier run in the same folder, which agrees with this one in `keys`.

        Raises:
            ConfigError: it does not.
        """
        path = self.output / "predictions.json"
        if not path.is_file():
            return []
        earlier, now = json.loads(path.read_text(encoding="utf-8")), json.loads(json.dumps(self.head))
        for key in keys:
            if earlier.get(key) != now[key]:
                raise ConfigError(
                    f"existing 'skip': the results in {self.output} were made with {key} {earlier.get(key)!r}, now it "
                    f"is {now[key]!r}. Give another output folder, or existing 'overwrite'."
                )
        return earlier["results"]

    def start(self, engine: Engine) -> None:
        """Take the thresholds, and the earlier rows that stay."""
        if rank_and_world()[1] > 1:
            raise ConfigError("inference runs in one process: start it without torchrun, on a part of the files each")
        self.head = self.about()
        earlier = self._earlier_rows((*WEIGHTS, *self.threshold_names)) if self.existing == "skip" else []
        self.rows = {row["file"]: row for row in earlier}
        self.done, self.saved = 0, time.monotonic()
        logger.info("precision: %s", precision_of(engine))
        logger.info("results go to %s; inputs that have results there: %s", self.output, self.existing)

    def _batch(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        output: Any = engine.state.output
        probabilities = self._probabilities(output["pred"], batch["image_path"])
        for i, prob in enumerate(probabilities):
            self.write(batch, output, i, prob)
        if time.monotonic() - self.saved > 30:
            self.save()
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
        check_class_names(self.class_names, pred)
        prob = pred["prob"].cpu()
        for i in (~prob.isfinite().all(dim=1)).nonzero():  # NaN >= threshold is false: it would pass as class 0
            raise DataError(f"{paths[int(i)]}: the network gives no number for it (NaN); its weights are broken")
        return prob.tolist()

    def classified(self, prob: list[float] | None) -> dict[str, Any]:
        """Entries of a row: the assigned class and the probabilities; nothing without a class."""
        return {} if prob is None else {self.class_key: self.class_names[self._class(prob)], "prob": prob}

    def _class(self, prob: list[float]) -> int:
        return int(self.predictions.classes(torch.tensor([prob], dtype=torch.float64))[0])

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
        self.rows[row["file"]] = row
        self.done += 1

    def save(self) -> None:
        """Write both tables."""
        rows = list(self.rows.values())
        write_json_atomic(self.output / "predictions.json", {**self.head, "results": rows})
        lines = []
        for row in rows:
            slices = ({**row, "kind": "slice", **part, "prob_max": None} for part in row.get("slices", []))
            for line in (row, *slices):
                values = {**self.head, **line}
                lines.append([cell for field in self.fields for cell in self._cells(field, values.get(field))])
        header = [column for field in self.fields for column in self._columns(field)]
        write_text_atomic(self.output / "predictions.csv", csv_text(header, lines))

    def _columns(self, field: str) -> list[str]:
        """The field, or its columns where it holds a number per class."""
        return [f"{field}_{name}" for name in self.class_names] if field.startswith("prob") else [field]

    def _cells(self, field: str, value: Any) -> list[Any]:
        return value if isinstance(value, list) else [value] * len(self._columns(field))

    def finish(self, engine: Engine) -> None:
        """Write the tables and say where all is."""
        self.save()
        rows = self.rows.values()
        count = Counter(row[self.class_key] for row in rows if self.class_key in row)
        found = ", ".join(f"{name} {n}" for name, n in count.items()) or str(len(rows))
        logger.info("inputs done: %d (all: %s); results in %s", self.done, found, self.output)

    def break_off(self, engine: Engine, error: BaseException) -> None:
        """Keep the rows of what is complete; the error goes on."""
        if self.done:
            self.save()
            logger.warning("broken off after %d inputs; existing 'skip' goes on from there", self.done)
        raise error
