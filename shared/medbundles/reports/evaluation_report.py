"""Writes the report of an evaluation when it ends."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from medbundles.data.lists.split_file import config_of
from medbundles.data.reading.checkpoint_files import Checkpoint, named_weights
from medbundles.data.reading.files import are_phantoms
from medbundles.errors import CheckpointError, ConfigError
from medbundles.handlers.phases import weights_of
from medbundles.handlers.run import run_of
from medbundles.json_files import read_json
from medbundles.metrics.cases import Cases
from medbundles.metrics.epoch_score import metrics_of
from medbundles.metrics.scores import check_scores
from medbundles.ranks import gathered, is_rank_0
from medbundles.reports.evaluation import Evaluation, check_class_names
from medbundles.reports.grad_cam import GradCam
from medbundles.reports.tables import number
from medbundles.reports.worst_cases import Case, WorstCases, write_worst

logger = logging.getLogger("medbundles")

TITLES = {"test": "Test", "val": "Validation"}


def trained_with(checkpoint: Checkpoint) -> dict[str, Any]:
    """Under this name the settings of the weights' training that differ from the defaults, each with value and default,
    as its environment.json has them; {} where that is not there, and of an ensemble."""
    file = config_of(checkpoint, "environment.json") if checkpoint else None
    if not isinstance(file, str):
        return {}
    changed = read_json(Path(file), CheckpointError, (), "It is written anew by the next training.").get("changed")
    return {"trained_with": changed} if changed else {}


class EvaluationReport:
    """Attached to an evaluator (decollate=False), writes, at the end and on rank 0, in the run directory:

        metrics/<prefix>_metrics.json, .csv   value, 95 % interval over patients, number of images and patients
        predictions/predictions.csv, <prefix>_names.json
        with classes: plots/confusion_matrix.png, roc_curve.png, pr_curve.png, and of volumes with `grad_cam`
            worst_class_<n>.png,
            predictions/<prefix>_probs.npy, _preds.npy, _labels.npy
        with masks: plots/worst_dice_<n>.png, and with classes too worst_class_<n>.png
        with a reconstruction: plots/worst_reconstruction_<n>.png
        each with the two best ones, plots/best_<...>_<n>.png, that are none of the worst

    What there is follows from what `cases` measures; see `medbundles.reports.evaluation.Evaluation` for the scores.
    Metrics of the evaluator that are no scores of ours, such as MONAI's, stand in the metrics file under
    "other_metrics" and below the table, without an interval.

    Args:
        cases: what measures the cases of the evaluator.
        class_names: names of the N classes, where there are classes.
        prefix: "test" or "val".
        predictions: the postprocessing (`medbundles.transforms.Predictions`), whose thresholds are reported; or None.
        worst: how many pictures of the worst cases of each kind; 0: none, and then no batch waits for the device.
        bootstrap: how often patients are drawn for the intervals.
        seed: seed of the drawing.
        on_completed: write when the evaluator is done; False: only when `write` is called (by all ranks).
        about: further entries for the metrics file; of the checkpoint (see `checkpoint_files`) also its hash, and the
            settings of its training that differ from the defaults.
        scores: see `medbundles.metrics.scores.SCORES`; None: the usual ones of what is measured.
        channel_names: names of the K channels of the masks.
        grad_cam: with it volumes that only have a class are shown, with what speaks for it; or None.

    Raises:
        ConfigError: for an unknown prefix or score.

    Example::

        {"_target_": "medbundles.reports.EvaluationReport", "cases": "@validate#cases",
         "class_names": "@class_names", "prefix": "test", "about": {"checkpoint": "@checkpoint"}}
    """

    phase = "end"

    def __init__(
        self,
        cases: Cases,
        class_names: Sequence[str] = (),
        prefix: str = "test",
        predictions: Any = None,
        worst: int = 8,
        bootstrap: int = 2000,
        seed: int = 0,
        on_completed: bool = True,
        about: dict[str, Any] | None = None,
        scores: Sequence[str] | None = None,
        channel_names: Sequence[str] = (),
        grad_cam: GradCam | None = None,
    ):
        if prefix not in ("test", "val"):
            raise ConfigError(f"prefix: {prefix!r} is unknown; use 'test' or 'val'")
        self.cases, self.class_names, self.prefix = cases, list(class_names), prefix
        self.directory: Any = None  # of the run
        self.chosen: dict[str, float] = {}  # thresholds by which the cases were decided, in place of the predictions'
        self.predictions, self.channel_names = predictions, list(channel_names)
        self.bootstrap, self.seed, self.on_completed = bootstrap, seed, on_completed
        self.about, self.scores = about or {}, None if scores is None else check_scores(scores)
        self.worst = WorstCases(worst, grad_cam)

    def attach(self, engine: Engine) -> None:
        """Wire it to the evaluator."""
        if "checkpoint" in self.about:
            weights = weights_of(engine, self.about["checkpoint"])
            self.about = self.about | named_weights(weights) | trained_with(weights)
        engine.add_event_handler(Events.EPOCH_STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        if self.on_completed:
            engine.add_event_handler(Events.COMPLETED, self.write)

    def start(self, engine: Engine) -> None:
        """Forget the last evaluation."""
        self.cases.start(engine)
        self.worst.forget()

    def __call__(self, engine: Engine) -> None:
        self.cases.collect(engine)
        check_class_names(self.class_names, self.cases.latest)  # now, not when all is evaluated
        self.worst.add(engine, self.cases)

    def write(self, engine: Engine, suffix: str = "") -> Evaluation | None:
        """Write the report; all ranks must call it, rank 0 writes.

        Args:
            engine: the evaluator.
            suffix: for the names of the plots, such as "_epoch_3".

        Returns:
            What was measured, on rank 0.
        """
        self.directory = run_of(engine).directory
        columns = self.cases.in_reports()
        self.worst.heat(engine)
        state: Any = engine.state
        ours = getattr(state, "undefined", {})  # has an entry for each of our scores
        others = {n: m for n, m in metrics_of(engine).items() if n not in ours and not n.endswith("loss")}
        about = {"other_metrics": others} if others else {}
        return self.write_columns(columns, self.worst.merged(gathered(self.worst.kept)), suffix, about)

    def write_columns(
        self,
        columns: Mapping[str, np.ndarray],
        kept: Mapping[str, Sequence[Case]],
        suffix: str = "",
        about: dict[str, Any] | None = None,
    ) -> Evaluation | None:
        """Write the report of given columns and worst cases, on rank 0."""
        if not is_rank_0():
            return None
        evaluation = self.evaluation(columns)
        folder = {name: self.directory.folder(name) for name in ("metrics", "plots", "predictions")}
        if are_phantoms(columns.get("file", ())):
            about = {**(about or {}), "synthetic": True}
            logger.info("SYNTHETIC DATA: these numbers say nothing about any disease.")
        evaluation.write_metrics(folder["metrics"] / f"{self.prefix}_metrics", self.about | (about or {}))
        evaluation.write_predictions(folder["predictions"], self.prefix)
        evaluation.write_plots(folder["plots"], suffix, TITLES[self.prefix])
        rows = {(row["source"], row["name"]): row for row in evaluation.rows()} if any(kept.values()) else {}
        write_worst(folder["plots"], kept, rows, self.class_names, self.channel_names)
        more = (about or {}).get("other_metrics", {})
        others = [f"{name:<24}{'-' if np.isnan(value) else number(value):>8}" for name, value in more.items()]
        logger.info("%s", "\n".join([evaluation.table(), *others]))
        return evaluation

    def write_plots(self, columns: Mapping[str, np.ndarray], epoch: int) -> None:
        """Write the plots of given columns, with _epoch_<epoch> in their names, on rank 0."""
        if is_rank_0() and "prob" in columns:
            suffix, title = f"_epoch_{epoch}", f"{TITLES[self.prefix]}, epoch {epoch}"
            self.evaluation(columns, ["auc"]).write_plots(self.directory.folder("plots"), suffix, title)

    def evaluation(self, columns: Mapping[str, np.ndarray], scores: Sequence[str] | None = None) -> Evaluation:
        """What is measured of given columns."""
        decided = {"mask_threshold": "overlap", "class_threshold": "prob", "class_logit_threshold": "prob"}
        chosen = self.chosen or self.cases.thresholds
        known = (self.predictions.thresholds() if self.predictions else {}) | chosen
        if "class_threshold" in chosen:  # runs of 0.1.0 have not kept the log-odds
            known["class_logit_threshold"] = chosen.get("class_logit_threshold")
        there = {name: known.get(name) for name, column in decided.items() if column in columns}
        thresholds = {name: value for name, value in there.items() if value is not None}
        return Evaluation(
            columns, self.class_names, thresholds, self.bootstrap, self.seed, scores or self.scores, self.channel_names
        )
