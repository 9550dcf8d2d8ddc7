"""Early stopping that can be resumed, waits for a first epoch, and knows what NaN means."""

import logging
import math
from typing import Any

from ignite.engine import Engine, Events

from medbundles.handlers.monitor import Monitor, Value
from medbundles.handlers.run import run_of
from medbundles.handlers.stateful import stateful

logger = logging.getLogger("medbundles")


class EarlyStopping:
    """Stops the trainer when the run's monitored metric has not improved for `patience` epochs.

    With the name of a metric it also makes the monitor, as its attribute `monitor`, which the config gives to `Run`, so
    that all settings of early stopping stand in one group.

    An improvement is more than the monitor's `min_delta` better than the best since the last improvement, so that many
    small gains add up. NaN is never one. All ranks see the same metrics and stop together.

    MONAI's EarlyStopHandler is not used: its counter is not part of a checkpoint, NaN counts as an improvement, and it
    has no first epoch to wait for.

    Args:
        patience: epochs without improvement.
        min_epochs: never stop before this epoch.
        enabled: False switches it off.
        monitor: the metric of the validation that is followed, as the run's monitor is to have it: see `Monitor`.
        mode: likewise.
        min_delta: likewise.
        tie_break: likewise.
        hold_until: epoch in which something begins that the training shall have its patience for, such as a
            re-weighting: never stop before `hold_until` + `patience`; False or None: nothing does.
    """

    phase = "decide"

    def __init__(
        self,
        patience: int = 50,
        min_epochs: int = 0,
        enabled: bool = True,
        hold_until: int | bool | None = None,
        monitor: str | None = None,
        mode: str = "max",
        min_delta: float = 0.0,
        tie_break: str | None = None,
    ):
        self.monitor = Monitor(monitor, mode, tie_break, min_delta) if monitor else None
        self.patience, self.enabled = patience, enabled
        self.min_epochs = max(min_epochs, hold_until + patience) if hold_until else min_epochs
        self.best: Value | None = None
        self.best_epoch = 0

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        stateful(engine)["early_stopping"] = self
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        run, epoch = run_of(engine), engine.state.epoch
        metrics, monitor = run.validation(engine), run.monitor
        if not self.enabled or metrics is None:
            return
        value = monitor.of(metrics)
        if value is None:
            logger.warning("%s is NaN in epoch %d: not an improvement.", monitor.metric, epoch)
        elif monitor.is_better(value, self.best, monitor.min_delta):
            self.best, self.best_epoch = value, epoch
        if self.is_over(epoch):
            logger.info(
                "early stopping: %s has not improved by more than %g for %d epochs (best %.4f in epoch %d).",
                monitor.metric, monitor.min_delta, epoch - self.best_epoch,
                monitor.sign * self.best[0] if self.best else math.nan, self.best_epoch,
            )  # fmt: skip
            engine.terminate()

    def is_over(self, epoch: int) -> bool:
        """Whether patience is exhausted after this epoch."""
        return self.enabled and epoch - self.best_epoch >= self.patience and epoch >= self.min_epochs

    def state_dict(self) -> dict[str, Any]:
        """The best value since the last improvement, and its epoch."""
        first, second = self.best or (-math.inf, -math.inf)
        return {"best": first, "best_second": second, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on counting from a checkpoint."""
        self.best, self.best_epoch = [state["best"], state.get("best_second", -math.inf)], state["best_epoch"]
