"""Draws the learning curves of a run."""

from __future__ import annotations

from ignite.engine import Engine, Events

from medbundles.handlers.history import History
from medbundles.handlers.stateful import stateful
from medbundles.runs.directory import RunDirectory, is_rank_0


class LearningCurves:
    """Writes plots/learning_curves.png when the run ends, and every so many epochs if wanted.

    Args:
        run_dir: its plots folder is written to.
        every: epochs between two pictures on the way; 0: only at the end.
    """

    def __init__(self, run_dir: RunDirectory, every: int = 0):
        self.run_dir, self.every = run_dir, every

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer, after History."""
        if is_rank_0():
            engine.add_event_handler(Events.COMPLETED, self)
            if self.every > 0:
                engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.every), self)

    def __call__(self, engine: Engine) -> None:
        from medbundles.runs.figures import learning_curves

        history = stateful(engine)["history"]
        if isinstance(history, History) and history.epochs:
            best = history.best()
            path = self.run_dir.folder("plots") / "learning_curves.png"
            learning_curves(history.epochs, path, best_epoch=best["epoch"] if best else None)
