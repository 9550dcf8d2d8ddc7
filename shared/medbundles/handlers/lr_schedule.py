"""Steps the learning-rate schedule after each epoch."""

from __future__ import annotations

import math
from typing import Any

from ignite.engine import Engine, Events

from medbundles.handlers.early_stopping import monitored, validated


class LrSchedule:
    """Steps an epoch-level schedule; one that follows a metric gets the monitored one after each validation.

    Args:
        scheduler: what `medbundles.optimizers.build_scheduler` returns.
        validator: the evaluator that is run by the trainer's ValidationHandler.
        monitor: name of its metric.
    """

    def __init__(self, scheduler: Any, validator: Engine, monitor: str):
        self.scheduler, self.validator, self.monitor = scheduler, validator, monitor

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer, after the ValidationHandler."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        metric = monitored(self.validator, self.monitor) if validated(engine, self.validator) else None
        self.scheduler.step(None if metric is None or math.isnan(metric) else metric)
