"""Draws the learning curves of a run."""

from ignite.engine import Engine, Events

from medbundles.handlers.history import history_of
from medbundles.handlers.run import run_of
from medbundles.ranks import is_rank_0


class LearningCurves:
    """Writes plots/learning_curves.png when the run ends, and if wanted learning_curves_epoch_X.png on the way.

    Args:
        every: epochs between two pictures on the way; 0: only at the end.
        loss_curve: write loss_curve.png (loss_curve_epoch_X.png) of the losses alone beside each.
    """

    phase = "end"

    def __init__(self, every: int = 0, loss_curve: bool = False):
        self.every, self.loss_curve = every, loss_curve

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        if is_rank_0():
            engine.add_event_handler(Events.COMPLETED, self)
            if self.every > 0:
                engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.every), self.on_the_way)

    def on_the_way(self, engine: Engine) -> None:
        """Draw the epochs so far."""
        self(engine, f"_epoch_{engine.state.epoch}")

    def __call__(self, engine: Engine, suffix: str = "") -> None:
        from medbundles.reports import curves

        history, run = history_of(engine), run_of(engine)
        if not history.epochs:
            return
        best, folder = history.best(run.monitor), run.directory.folder("plots")
        marked = best["epoch"] if best else None
        curves.learning_curves(history.epochs, folder / f"learning_curves{suffix}.png", best_epoch=marked)
        if self.loss_curve:
            curves.loss_curve(history.epochs, folder / f"loss_curve{suffix}.png", best_epoch=marked)
