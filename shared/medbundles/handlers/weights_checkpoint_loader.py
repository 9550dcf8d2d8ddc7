"""Loads the weights that evaluation and inference work with, and makes sure that they belong to the settings."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from medbundles.data.reading.trained_file import TRAINED
from medbundles.errors import CheckpointError
from medbundles.handlers.initial_weights import say_untrained
from medbundles.handlers.phases import check_order
from medbundles.networks import bare_network, load_weights
from medbundles.rules import AUTO
from medbundles.runs.checkpoints import by_id
from medbundles.runs.trained import trained_with
from medbundles.transforms.image_ranges import NAME

logger = logging.getLogger("medbundles")


@dataclass(eq=False)
class WeightsCheckpointLoader:
    """Loads `checkpoint` when the evaluator starts and says which run the weights come from.

    Every tensor of the network must be in the file: for an evaluation a part of the weights is of no use.

    The name holds "CheckpointLoader" because a federated client disables handlers by that. Decision thresholds that
    are "auto" get the values that were chosen on the validation set and stored with the weights.

    Args:
        checkpoint: weights file; None: nothing is loaded.
        trained: the running config's settings that weights depend on, as `CheckpointSaver` takes them.
        postprocessing: its attributes named like threshold settings get the stored values; it is told which outputs the
            weights' run has not trained.
        made_by: what to do when there are no weights yet.
        config: name of the config file for the advice in messages, such as configs/inference.json.

    Raises:
        CheckpointError: there is no such file (with the command that makes one), it is damaged, it lacks a tensor of
            the network, or the weights belong to other settings (with the command that uses theirs).
    """

    phase = "load"
    checkpoint: str | None
    trained: dict[str, Any]
    postprocessing: Any = None
    made_by: str = ""
    config: str = "configs/inference.json"

    def __post_init__(self) -> None:
        self.trained = by_id(self.trained)

    def attach(self, engine: Engine) -> None:
        """Wire it to the evaluator."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Any) -> None:
        check_order(engine)
        if not self.checkpoint:
            return
        path = Path(self.checkpoint)
        if not path.is_file():
            raise CheckpointError(f"checkpoint: {path} does not exist: there are no weights yet. {self.made_by}")
        settings, source, untrained = trained_with(path)
        self._compare(settings, path)
        load_weights(bare_network(engine.network), path, min_share=1)
        for name, value in settings.items():
            if self.trained.get(name) == AUTO and hasattr(self.postprocessing, name):
                setattr(self.postprocessing, name, value)
        if self.postprocessing is not None:
            self.postprocessing.untrained = untrained
        logger.info("weights: %s, from %s", path, source)
        say_untrained(untrained)

    def _compare(self, settings: dict[str, Any], path: Path) -> None:
        mine, theirs = (json.loads(json.dumps(which, default=str)) for which in (self.trained, settings))
        measured = ("_threshold", NAME)  # by the training; the settings of this run need not say it
        wrong = [
            f"{name} is {mine[name]!r} here, {theirs[name]!r} there"
            for name in sorted(set(mine) & set(theirs))
            if theirs[name] not in (mine[name], AUTO) and not name.endswith(measured)  # auto: they do not say
        ]
        if wrong:
            overlay = path.with_name(TRAINED)
            raise CheckpointError(
                f"checkpoint: {path} was trained with other settings: {'; '.join(wrong)}. Use the weights' own: "
                f"--config_file \"['{self.config}','{overlay}']\""
            )
