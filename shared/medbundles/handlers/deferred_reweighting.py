"""Tells the loss the epoch, so that it begins to weigh the classes when it should."""

from __future__ import annotations

import logging
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer

logger = logging.getLogger("medbundles")


class DeferredReweighting:
    """Calls the trainer's loss's `set_epoch` before each epoch, also the first one of a resumed run.

    The validation after the epoch uses the same module, so its loss has the same weights.
    """

    def __init__(self) -> None:
        self.on = False

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: SupervisedTrainer) -> None:
        loss: Any = engine.loss_function
        if not hasattr(loss, "set_epoch"):  # someone else's
            if engine.state.epoch == 1:
                logger.warning("%s re-weights no classes: drw_start_epoch does nothing here.", type(loss).__name__)
            return
        on = loss.set_epoch(engine.state.epoch)
        if on and not self.on:
            weights = ", ".join(f"{w:.4f}" for w in loss.weights.tolist())
            logger.info("deferred re-weighting: from epoch %d on the classes weigh %s", engine.state.epoch, weights)
        self.on = on
