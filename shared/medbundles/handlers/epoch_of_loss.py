"""Gives the loss the epoch: some begin to weigh the classes, or a term of their sum, only later."""

import logging
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer

from medbundles.errors import ConfigError

logger = logging.getLogger("medbundles")


class EpochOfLoss:
    """Calls the trainer's loss's `set_epoch` before each epoch, also the first one of a resumed run; one that has none
    is left alone.

    The validation after the epoch uses the same module, so its loss has the same weights. What `set_epoch` gives is a
    line that says what is in force from then on, or an empty one; it is logged when it changes.

    Args:
        setting: id of a setting that needs a loss that follows the epochs; empty: none does.
        value: of this setting; False, None or 0: it is off, and any loss may be used.

    Raises:
        ConfigError: at the start: the setting is on, and the loss cannot follow the epochs.

    Example::

        {"_target_": "medbundles.handlers.EpochOfLoss", "setting": "drw_start_epoch", "value": "@drw_start_epoch"}
    """

    phase = "start"

    def __init__(self, setting: str = "", value: Any = None):
        self.setting, self.value, self.said = setting, value, ""

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        if self.value:
            engine.add_event_handler(Events.STARTED, self.check)
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def check(self, engine: SupervisedTrainer) -> None:
        """Refuse a loss of someone else, which would go on unchanged without a word."""
        if not hasattr(engine.loss_function, "set_epoch"):
            kind = type(engine.loss_function).__name__
            raise ConfigError(
                f"{self.setting}: {kind} cannot change from an epoch on. Go without: --{self.setting} False."
            )

    def __call__(self, engine: SupervisedTrainer) -> None:
        loss: Any = engine.loss_function
        line = loss.set_epoch(engine.state.epoch) if hasattr(loss, "set_epoch") else ""
        if line and line != self.said:
            logger.info("loss: from epoch %d on %s", engine.state.epoch, line)
        self.said = line
