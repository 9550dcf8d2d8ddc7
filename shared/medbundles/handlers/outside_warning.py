"""Says at the end of an inference which inputs are unlike the training's images."""

import logging
from typing import Any

from ignite.engine import Engine, Events

from medbundles.errors import first_few

logger = logging.getLogger("medbundles")


class OutsideWarning:
    """Counts the inputs that `medbundles.transforms.MarkOutside` marked, and warns of them when the inference ends.

    Example::

        {"_target_": "medbundles.handlers.OutsideWarning"}
    """

    phase = "watch"

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self.inputs: set[str] = set()

    def attach(self, engine: Engine) -> None:
        """Wire it to the evaluator."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.note)
        engine.add_event_handler(Events.COMPLETED, self.say)

    def start(self, engine: Engine) -> None:
        """Forget an earlier inference."""
        self.found, self.inputs = {}, set()

    def note(self, engine: Engine) -> None:
        """Keep what is said of the inputs of a batch."""
        batch: Any = engine.state.batch
        names = batch.get("name", ())  # none, where nothing of it could be read
        texts = batch.get("outside", [""] * len(names))  # no `MarkOutside` in the preprocessing: nothing is marked
        self.inputs.update(names)
        self.found |= {name: text for name, text in zip(names, texts, strict=True) if text}

    def say(self, engine: Engine) -> None:
        """Warn of those that are outside."""
        if self.found:
            shown = first_few((f"{name} ({text})" for name, text in self.found.items()), 3)
            logger.warning(
                "%d of %d inputs are unlike the images of the training, so trust the results less: %s",
                len(self.found), len(self.inputs), shown,
            )  # fmt: skip
