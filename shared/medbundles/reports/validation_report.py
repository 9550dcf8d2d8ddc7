"""What the best epoch says of the validation part: metrics with intervals, plots and predictions."""

from collections.abc import Sequence
from typing import Any

from ignite.engine import Engine, Events

from medbundles.handlers.history import history_of
from medbundles.handlers.run import run_of
from medbundles.handlers.stateful import stateful
from medbundles.metrics.cases import Cases, as_columns, as_rows
from medbundles.metrics.scores import gives
from medbundles.reports.evaluation_report import EvaluationReport


class ValidationReport:
    """Keeps the best epoch's predictions on the validation part and writes their report when the run ends.

    The files are those of `EvaluationReport` with the prefix "val", without the worst cases. What is kept is part of
    the checkpoints, so a resumed run reports the same. The best epoch's precision, recall, F1 and support per class
    and its confusion matrix also stand in metrics.json, under "classes".

    Args:
        cases: what measures the validator's cases.
        class_names: names of the N classes, where there are classes.
        predictions: the postprocessing, whose thresholds are reported.
        every: write confusion_matrix_epoch_X.png, roc_curve_epoch_X.png and pr_curve_epoch_X.png of every so many-th
            epoch X, if it is validated; 0: none.
        scores: see `medbundles.metrics.scores.SCORES`; None: the usual ones of what is measured.
        channel_names: names of the K channels of the masks.
    """

    phase = "decide"

    def __init__(
        self,
        cases: Cases,
        class_names: Sequence[str] = (),
        predictions: Any = None,
        every: int = 0,
        scores: Sequence[str] | None = None,
        channel_names: Sequence[str] = (),
    ):
        self.every = every
        self.report = EvaluationReport(
            cases, class_names, "val", predictions, worst=0, on_completed=False, scores=scores,
            channel_names=channel_names,
        )  # fmt: skip
        self.best: list[dict[str, Any]] = []
        self.best_epoch = 0
        self.thresholds: dict[str, float] = {}

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        stateful(engine)["validation_report"] = self
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def start(self, engine: Engine) -> None:
        """Listen to the validator."""
        run = run_of(engine)
        self.report.directory = run.directory
        if not run.validator.has_event_handler(self.report, Events.ITERATION_COMPLETED):  # a host may run it again
            self.report.attach(run.validator)

    def state_dict(self) -> dict[str, Any]:
        """The best epoch's predictions, and the thresholds that it chose."""
        return {"best": self.best, "best_epoch": self.best_epoch, "thresholds": self.thresholds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with those of a checkpoint."""
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self.thresholds = state.get("thresholds", {})  # runs of 0.1.0 took those of the postprocessing

    def __call__(self, engine: Engine) -> None:
        run, history, epoch = run_of(engine), history_of(engine), engine.state.epoch
        if run.validation(engine) is None:
            return
        best = history.best(run.monitor)
        is_best, is_drawn = best is not None and best["epoch"] == epoch, self.every > 0 and epoch % self.every == 0
        if not is_best and not is_drawn:
            return
        columns = self.report.cases.in_reports()  # by all ranks: they see the same metrics
        if is_best:
            self.best, self.best_epoch, self.thresholds = as_rows(columns), epoch, dict(self.report.cases.thresholds)
            classes = self.report.evaluation(columns).classes()
            if classes:
                history.sections["classes"] = {"epoch": epoch, **classes}
                history.write(run)
        if is_drawn:
            self.report.write_plots(columns, epoch)

    def write(self, engine: Engine) -> None:
        """Write the report of the best epoch, on rank 0."""
        if self.best:
            columns, report = as_columns(self.best), self.report
            if report.scores:  # a best epoch of version 0.1.0 was kept without some of today's columns
                report.scores = tuple(name for name in report.scores if gives(columns, name))
            report.chosen = self.thresholds
            report.write_columns(columns, {}, about={"epoch": self.best_epoch})
