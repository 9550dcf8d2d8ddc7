"""Gives the loss the epoch, so that it begins to weigh the classes when it should."""

import logging
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer

from medbundles.errors import ConfigError

logger = logging.getLogger("medbundles")


class DeferredReweighting:
    """Calls the trainer's loss's `set_epoch` before each epoch, also the first one of a resumed run.

    The validation after the epoch uses the same module, so its loss has the same weights.

    Args:
        start_epoch: first epoch with weights, as the loss has it; False or None: never, and any loss may be used.

    Raises:
        ConfigError: at the start: the loss cannot be re-weighted.
    """

    phase = "start"

    def __init__(self, start_epoch: int | bool | None = None):
        self.start_epoch, self.on = start_epoch, False

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        if self.start_epoch:
            engine.add_event_handler(Events.STARTED, self.check)
            engine.add_event_handler(Events.EPOCH_STARTED, self)

    def check(self, engine: SupervisedTrainer) -> None:
        """Refuse a loss of someone else, which would go on unweighted without a word."""
        if not hasattr(engine.loss_function, "set_epoch"):
            kind = type(engine.loss_function).__name__
            raise ConfigError(
                f"drw_start_epoch: {kind} cannot weigh the classes from an epoch on. "
                "Go without: --drw_start_epoch False."
            )

    def __call__(self, engine: SupervisedTrainer) -> None:
        loss: Any = engine.loss_function
        on = loss.set_epoch(engine.state.epoch)
        if on and not self.on:
            weights = ", ".join(f"{w:.4f}" for w in loss.weights.tolist())
            logger.info("deferred re-weighting: from epoch %d on the classes weigh %s", engine.state.epoch, weights)
        self.on = on
