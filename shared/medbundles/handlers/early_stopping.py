"""Early stopping that can be resumed, waits for a first epoch, and knows what NaN means."""

from __future__ import annotations

import logging
import math
from typing import Any

from ignite.engine import Engine, Events

from medbundles.errors import ConfigError
from medbundles.handlers.stateful import stateful

logger = logging.getLogger("medbundles")


def validated(engine: Engine, validator: Engine) -> bool:
    """Whether the validator has run in the trainer's current epoch (it does every `val_interval`)."""
    return validator.state.epoch == engine.state.epoch and bool(validator.state.metrics)


def monitored(validator: Engine, name: str) -> float:
    """The value of a validation metric.

    Raises:
        ConfigError: there is no such metric; lists those there are.
    """
    metrics = validator.state.metrics
    if name not in metrics:
        there = ", ".join(sorted(metrics))
        raise ConfigError(f"early_stopping#monitor: no metric is named {name!r}; there are {there}.")
    return float(metrics[name])


class EarlyStopping:
    """Stops the trainer when the monitored validation metric has not improved for `patience` epochs.

    An improvement is more than `min_delta` better than the best since the last improvement, so that many small gains
    add up. NaN is never one. Stands in the trainer's handlers after the validation; all ranks see the same metrics
    and stop together.

    Args:
        validator: the evaluator that is run by the trainer's ValidationHandler.
        monitor: name of its metric.
        mode: "max" or "min": what is better.
        patience: epochs without improvement.
        min_delta: smallest change that counts.
        min_epochs: never stop before this epoch.
        enabled: False switches it off.
        tie_break: name of a second metric (larger is better): of equal values of the first, a larger one of this is an
            improvement too; None: there is none.
        hold_until: epoch in which something begins that the training shall have its patience for, such as a
            re-weighting: never stop before `hold_until` + `patience`; False or None: nothing does.

    Raises:
        ConfigError: unknown mode.
    """

    def __init__(
        self,
        validator: Engine,
        monitor: str,
        mode: str = "max",
        patience: int = 50,
        min_delta: float = 0.0,
        min_epochs: int = 0,
        enabled: bool = True,
        tie_break: str | None = None,
        hold_until: int | bool | None = None,
    ):
        if mode not in ("max", "min"):
            raise ConfigError(f"early_stopping#mode: {mode!r} is unknown; use 'max' or 'min'.")
        self.validator, self.monitor, self.sign = validator, monitor, 1.0 if mode == "max" else -1.0
        self.patience, self.min_delta, self.enabled, self.tie_break = patience, min_delta, enabled, tie_break
        self.min_epochs = max(min_epochs, hold_until + patience) if hold_until else min_epochs
        self.best = self.best_second = -math.inf
        self.best_epoch = 0

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer, after the ValidationHandler."""
        stateful(engine)["early_stopping"] = self
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if not self.enabled or not validated(engine, self.validator):
            return
        epoch, value = engine.state.epoch, self.sign * monitored(self.validator, self.monitor)
        if math.isnan(value):
            logger.warning("%s is NaN in epoch %d: not an improvement.", self.monitor, epoch)
        elif self._improves(value, second := self._second()):
            self.best_second = second
            self.best, self.best_epoch = value, epoch
        if self.is_over(epoch):
            logger.info(
                "early stopping: %s has not improved by more than %g for %d epochs (best %.4f in epoch %d).",
                self.monitor, self.min_delta, epoch - self.best_epoch, self.sign * self.best, self.best_epoch,
            )  # fmt: skip
            engine.terminate()

    def _second(self) -> float:
        second = monitored(self.validator, self.tie_break) if self.tie_break else -math.inf
        return -math.inf if math.isnan(second) else second

    def _improves(self, value: float, second: float) -> bool:
        """The first value always does: best starts at minus infinity."""
        by_tie = value == self.best and second > self.best_second + self.min_delta
        return value > self.best + self.min_delta or by_tie

    def is_over(self, epoch: int) -> bool:
        """Whether patience is exhausted after this epoch."""
        return self.enabled and epoch - self.best_epoch >= self.patience and epoch >= self.min_epochs

    def state_dict(self) -> dict[str, Any]:
        """The best value since the last improvement, and its epoch."""
        return {"best": self.best, "best_second": self.best_second, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on counting from a checkpoint."""
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self.best_second = state.get("best_second", -math.inf)
