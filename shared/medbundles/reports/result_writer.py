"""What the writers of inference share: the record, kept while it runs, bad inputs, the assigned class, heat maps."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

import medbundles
from medbundles.atomic_files import remove_leftovers, write_text_atomic
from medbundles.data.reading.checkpoint_files import Checkpoint, named_weights
from medbundles.data.reading.inference_record import FAILED, InferenceRecord
from medbundles.errors import ConfigError, DataError, first_few
from medbundles.handlers.phases import weights_of
from medbundles.inferers.autocast import precision_of
from medbundles.ranks import done_by_rank_0, gathered, is_rank_0, rank_and_world, wait_for_all
from medbundles.reports.background import Background
from medbundles.reports.evaluation import check_class_names
from medbundles.reports.failed_inputs import FailedInputs
from medbundles.reports.inference_table import inference_csv
from medbundles.reports.series_volumes import write_series
from medbundles.reports.tables import probability
from medbundles.runs.checkpoints import by_id
from medbundles.runs.lock import alone_in

logger = logging.getLogger("medbundles")
WEIGHTS = ("checkpoint", "checkpoint_id", "class_names")  # entries of predictions.json that say which weights


class ResultWriter:
    """Keeps the rows of all inputs of an inference; subclasses write what belongs to an input, then its row.

    predictions.json (everything) and predictions.csv, which has a line per input, and below it one for each entry of
    its "slices", are written at the end, and when the run breaks off. Until then the rows are in progress_<rank>.jsonl
    (see `InferenceRecord`), so that `existing: "skip"` can go on after a kill too. What a network does not give (a
    class, a mask) is left out of the JSON and empty in the CSV. What the network gives decides what is written:
    classes where the predictions have "prob".

    An input that cannot be read, or of which the network gives NaN, does not stop the others: it is listed in
    predictions.json under "failed" and in the error that ends the run. What belongs to an input is drawn and written in
    a second thread. Under torchrun each process writes what belongs to its inputs, and rank 0 the tables of all.

    Args:
        output: folder to write to, made when the first result is there.
        predictions: the engine's postprocessing (`medbundles.transforms.Predictions`): its thresholds count.
        class_names: names of the N classes.
        checkpoint: file whose weights are used, named in the tables and known again by a hash of its content; several
            of an ensemble, see `checkpoint_files`.
        grad_cam: a `GradCam`, or None for no heat maps.
        existing: what the datalist does with inputs that have results; "skip" keeps their rows.
        max_pictures: how many inputs, the first ones, get pictures; drawing takes longer than a small network.
        trained: the settings that the weights depend on, named in predictions.json.
        settings: what else decides on the results, named there, too.
        skip_bad_files: whether bad inputs are no error.

    Raises:
        ConfigError: when the rows to be kept come from other weights, thresholds or settings, or another version; or
            when another process writes to the folder.
        DataError: at the end, when inputs failed.
    """

    phase = "end"
    fields: tuple[str, ...]  # columns of predictions.csv; see `inference_csv`
    class_key: str  # entry of a row that names the assigned class
    threshold_names: tuple[str, ...] = ("class_threshold",)
    label_names: Sequence[str] = ()  # of a label map's values, the background first

    def __init__(
        self,
        output: str | Path,
        predictions: Any,
        class_names: Sequence[str],
        checkpoint: Checkpoint = "",
        grad_cam: Any = None,
        existing: str = "overwrite",
        max_pictures: int = 100,
        trained: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        skip_bad_files: bool = False,
    ):
        self.output, self.predictions, self.class_names = Path(output), predictions, list(class_names)
        self.checkpoint, self.grad_cam, self.existing = checkpoint, grad_cam, existing
        self.max_pictures, self.skip_bad_files = max_pictures, skip_bad_files
        self.settings = by_id(trained or {}) | by_id(settings or {})
        self.thresholds: dict[str, Any] = {}
        self.head: dict[str, Any] = {}
        self.alone, self.finished = ExitStack(), True

    def attach(self, engine: Engine) -> None:
        """Wire it to the evaluator that runs the inference."""
        self.checkpoint = weights_of(engine, self.checkpoint)
        if self.existing == "skip":  # here too: an engine that finds every input done does not start
            self.head = self.about()
            self._earlier_rows((*WEIGHTS, "version"))
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.GET_BATCH_COMPLETED, self._choose)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._batch)
        engine.add_event_handler(Events.COMPLETED, self.finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.break_off)

    def about(self) -> dict[str, Any]:
        """What predictions.json says of all inputs: version, weights, classes, the thresholds that decide, settings."""
        version = f"medbundles {medbundles.__version__}"
        head: dict[str, Any] = {"version": version, **named_weights(self.checkpoint)}
        if self.predictions is not None:
            self.thresholds = self.predictions.thresholds()
            head |= {"class_names": self.class_names} | {n: self.thresholds[n] for n in self.threshold_names}
            head["class_threshold"] = self.thresholds["class_threshold"] if len(self.class_names) == 2 else None
        settings = {name: value for name, value in self.settings.items() if name not in head}
        for name, value in settings.items():  # a threshold that came with the weights
            settings[name] = getattr(self.predictions, name, value) if value == "auto" else value
        return json.loads(json.dumps({**head, "settings": settings}, default=str))

    def note(self) -> str:
        """What a file's own note says, where its format has one: at most 80 characters, as NIfTI allows."""
        first, *others = [identity] if isinstance(identity := self.head["checkpoint_id"], str) else identity
        return f"{self.head['version']}, weights {first or 'unknown'}{f' and {len(others)} more' if others else ''}"

    def _earlier_rows(self, keys: Iterable[str]) -> list[dict[str, Any]]:
        """The rows of an earlier run in the same folder, which agrees with this one in `keys`.

        Raises:
            ConfigError: it does not.
        """
        earlier, rows = InferenceRecord(self.output).read()
        for key in keys if earlier else ():
            if key in self.head and earlier.get(key) != self.head[key]:
                raise ConfigError(
                    f"existing 'skip': the results in {self.output} were made with {key} {earlier.get(key)!r}, now it "
                    f"is {self.head[key]!r}. Give another output folder, or existing 'overwrite'."
                )
        return rows

    def start(self, engine: Engine) -> None:
        """Take the thresholds, and the earlier rows that stay."""
        rank = rank_and_world()[0]
        self.head = {**self.about(), "precision": precision_of(engine)}
        self.record = InferenceRecord(self.output, rank)
        self.background, self.failed, self.outside = Background(), FailedInputs(), dict[str, str]()
        earlier = done_by_rank_0(self._make_ready)
        self.rows = {row["file"]: row for row in earlier} if rank == 0 else {}
        self.record.begin(self.head, fresh=self.existing != "skip")
        self.done, self.most_shown = 0, self.max_pictures - sum(map(_has_pictures, earlier))
        self.finished = False
        if rank == 0:
            logger.info("precision: %s", self.head["precision"])
            logger.info("results go to %s; inputs that have results there: %s", self.output, self.existing)

    def _make_ready(self) -> list[dict[str, Any]]:
        """The earlier rows, out of the way of this run's progress; the folder is this run's until its end."""
        self.alone.enter_context(alone_in(self.output, "an inference"))
        remove_leftovers(self.output)
        if self.existing != "skip":
            self.record.clear()
            return []
        rows = self._earlier_rows((*WEIGHTS, "version", *self.threshold_names, "settings"))
        if rows:
            self.record.finish(self.head, rows, [])
        return rows

    def _choose(self, engine: Engine) -> None:
        """For the heat maps of the first inputs the network's features are kept."""
        batch: Any = engine.state.batch
        if self.grad_cam and any(self.is_shown(batch, i) for i in range(len(batch.get("place", [])))):
            self.grad_cam.watch(*getattr(getattr(engine, "inferer", None), "members", ()))

    def is_shown(self, batch: Any, i: int) -> bool:
        """Whether the input of an item gets pictures, as one of the first."""
        return int(batch["place"][i]) < self.most_shown

    def _batch(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        output: Any = engine.state.output
        for path, what in batch.get(FAILED, []):
            self.failed.add(path, what)
        if not output:  # nothing of the batch could be read
            return
        pred = output["pred"]
        probabilities = self._probabilities(pred, len(batch["name"]))
        heat = self._heat(pred)
        for i, prob in enumerate(probabilities):
            path = batch["image_path"][i] or batch["name"][i]
            if outside := batch.get("outside", {i: ""})[i]:
                self.outside[path] = outside
            with self.failed.noted(path):
                if not all(_is_finite(value[i]) for value in pred.values() if value.is_floating_point()):
                    raise DataError("the network gives no number for it (NaN or infinite)")
                self.write(batch, output, i, prob, None if heat is None else heat[i])

    def write(self, batch: Any, output: Any, i: int, prob: list[float] | None, heat: torch.Tensor | None) -> None:
        """Write the results of item `i` of a batch.

        Args:
            batch: as the loader gave it.
            output: of the engine.
            i: which item.
            prob: probabilities (N,), or None where there is no class.
            heat: heat map of the assigned class, shaped as the input without its channels, or None.
        """
        raise NotImplementedError

    def later(self, path: str, job: Callable[[], None]) -> None:
        """Do what belongs to an input in the second thread."""

        def noted() -> None:
            with self.failed.noted(path):
                job()

        self.background.do(noted)

    def _probabilities(self, pred: dict[str, torch.Tensor], count: int) -> list[list[float] | None]:
        """Those of a batch, (B, N), or None for each item of a network that does not classify.

        Raises:
            ConfigError: the network has another number of classes than there are names.
        """
        if "prob" not in pred:
            return [None] * count
        check_class_names(self.class_names, pred)
        return pred["prob"].tolist()

    def _heat(self, pred: dict[str, torch.Tensor]) -> torch.Tensor | None:
        """Heat maps (B, ...) of the assigned classes, from the features that the network had on its way."""
        if self.grad_cam is None or not self.grad_cam.watching:
            return None
        heat = self.grad_cam.maps(pred["cls"], pred["class"]).cpu() if "prob" in pred else None
        self.grad_cam.forget()
        pred |= {name: value.detach() for name, value in pred.items()}  # the graph is large
        return heat

    def classified(self, prob: list[float] | None) -> dict[str, Any]:
        """Entries of a row: the assigned class and the probabilities; nothing without a class."""
        return {} if prob is None else {self.class_key: self.class_names[self.class_of(prob)], "prob": prob}

    def class_of(self, prob: list[float]) -> int:
        """The assigned class."""
        return int(self.predictions.classes(torch.tensor([prob], dtype=torch.float64))[0])

    def caption(self, shown: str, row: dict[str, Any], what: str = "") -> str:
        """Text below a picture: what is shown, its class and probabilities, and a line about the picture."""
        if "prob" not in row:
            return f"{shown}\n{what}"
        known = ", ".join(f"{name} {p:.3f}" for name, p in zip(self.class_names, row["prob"], strict=True))
        if len(self.class_names) == 2:
            known += f"; {self.class_names[1]} from {probability(self.thresholds['class_threshold'])} on"
        what = what or f"heat: what speaks for {row[self.class_key]!r}"
        return f"{shown}: {row[self.class_key]} ({known})\n{what}"

    def add(self, row: dict[str, Any]) -> None:
        """Count an input as done; all its files are written. How it is unlike the training's images is added."""
        row["outside"] = self.outside.pop(row["file"], "")
        self.record.add(row)
        self.rows[row["file"]] = row
        self.done += 1

    def save(self, rows: list[dict[str, Any]], failed: Mapping[str, str]) -> None:
        """Write the tables of all inputs, in the order of their files."""
        rows = sorted(rows, key=lambda row: row["file"])
        self.write_csv(rows)
        self.record.finish(self.head, rows, [{"file": path, "reason": what} for path, what in failed.items()])

    def write_csv(self, rows: list[dict[str, Any]]) -> None:
        """Write predictions.csv."""
        text = inference_csv(
            [{**self.head, **row} for row in rows], self.fields, self.class_names, self.label_names[1:]
        )
        write_text_atomic(self.output / "predictions.csv", text)

    def finish(self, engine: Engine) -> None:
        """Write the tables, say where all is, and what failed."""
        self.background.wait()
        self.background.end()
        self.record.close()
        wait_for_all()
        parts = gathered((list(self.rows.values()), self.failed, self.done))
        rows = [row for part, _, _ in parts for row in part]
        failed = FailedInputs({path: what for _, part, _ in parts for path, what in part.items()})
        done_by_rank_0(lambda: self.save(rows, failed))
        done_by_rank_0(lambda: write_series(self.output, rows, self.note()))
        self.finished = True
        self.alone.close()
        if is_rank_0():
            self.say(rows, sum(done for *_, done in parts))
            self._say_outside(rows)
        failed.settle(len(rows), self.output, self.skip_bad_files)

    def say(self, rows: list[dict[str, Any]], done: int) -> None:
        """Tell how many inputs are done, which classes they have, and how many have no pictures."""
        count = Counter(row.get(self.class_key, "without a class") for row in rows if "prob" in row)
        found = ", ".join(f"{name} {n}" for name, n in sorted(count.items())) or str(len(rows))
        logger.info("inputs done: %d (all: %s); results in %s", done, found, self.output)
        shown = sum(map(_has_pictures, rows))
        if 0 < shown < len(rows):
            logger.info("pictures: of %d inputs, none of the other %d (max_pictures %d)", shown, len(rows) - shown,
                        self.max_pictures)  # fmt: skip

    def _say_outside(self, rows: list[dict[str, Any]]) -> None:
        outside = [f"{row['name']} ({row['outside']})" for row in rows if row.get("outside")]
        if outside:
            logger.warning(
                "%d of %d inputs are unlike the images of the training, so trust the results less: %s",
                len(outside), len(rows), first_few(outside, 3),
            )  # fmt: skip

    def break_off(self, engine: Engine, error: BaseException) -> None:
        """Keep the rows of what is complete; the error goes on."""
        with self.alone:
            if not self.finished:
                self.background.end()
                self.record.close()
                if self.grad_cam:
                    self.grad_cam.forget()
                if self.rows and rank_and_world()[1] == 1:  # other processes may still write; progress files stay
                    self.save(list(self.rows.values()), self.failed)
                if self.done:
                    logger.warning("broken off after %d inputs; existing 'skip' goes on from there", self.done)
        raise error


def _is_finite(values: torch.Tensor) -> bool:
    """Whether all are numbers; without the copies that isfinite makes of a volume's classes."""
    return bool(torch.stack(values.aminmax()).isfinite().all())


def _has_pictures(row: Mapping[str, Any]) -> bool:
    return "overlay" in row or "grad_cam" in row


def mask_names(name: str, ending: str, count: int) -> str | list[str]:
    """The file of a mask, or those of several."""
    return f"{name}{ending}" if count == 1 else [f"{name}_{k}{ending}" for k in range(1, count + 1)]
