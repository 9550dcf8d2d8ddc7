"""Loads the weights that evaluation and inference work with, and makes sure that they belong to the settings."""

import json
import logging
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ignite.engine import Engine, Events
from torch import nn

from medbundles.data.reading.checkpoint_files import Checkpoint, checkpoint_files, settings_file
from medbundles.errors import CheckpointError, ConfigError
from medbundles.handlers.initial_weights import say_untrained
from medbundles.handlers.phases import check_order
from medbundles.inferers import EnsembleInferer
from medbundles.networks import bare_network, load_weights
from medbundles.rules import AUTO
from medbundles.runs.checkpoints import with_measured
from medbundles.runs.common_settings import alike, common_settings
from medbundles.runs.trained import MEASURED, trained_with

logger = logging.getLogger("medbundles")


@dataclass(eq=False)
class WeightsCheckpointLoader:
    """Loads `checkpoint` when the evaluator starts and says which run the weights come from.

    Every tensor of the network must be in the file: for an evaluation a part of the weights is of no use.

    Several files are an ensemble: each is checked and loaded as a single one is, into a network of its own, and the
    engine's inferer gives the mean of their probabilities from then on (`medbundles.inferers.EnsembleInferer`). What
    they must have in common stands in `medbundles.runs.common_settings`.

    The name holds "CheckpointLoader" because a federated client disables handlers by that. Decision thresholds that
    are "auto" get the values that were chosen on the validation set and stored with the weights.

    Args:
        checkpoint: weights file, or several (see `checkpoint_files`); None: nothing is loaded.
        trained: the running config's settings that weights depend on, as `CheckpointSaver` takes them.
        postprocessing: its attributes named like threshold settings get the stored values; it is told which outputs the
            weights' run has not trained. An ensemble needs it (`medbundles.transforms.Predictions`): its `mask_rule`
            says what the probabilities are.
        made_by: what to do when there are no weights yet.
        config: name of the config file for the advice in messages, such as configs/inference.json.
        measured: as `CheckpointSaver` takes it: an evaluation measures what is "auto" as the training did.

    Raises:
        CheckpointError: there is no such file (with the command that makes one), it is damaged, it lacks a tensor of
            the network, the weights belong to other settings (with the command that uses theirs), or the files are no
            ensemble.
        ConfigError: several files without `postprocessing`.
    """

    phase = "load"
    checkpoint: Checkpoint | None
    trained: dict[str, Any]
    postprocessing: Any = None
    made_by: str = ""
    config: str = "configs/inference.json"
    measured: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.trained = with_measured(self.trained, self.measured)

    def attach(self, engine: Engine) -> None:
        """Wire it to the evaluator."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Any) -> None:
        check_order(engine)
        if not self.checkpoint:
            return
        files = checkpoint_files(self.checkpoint)
        for path in files:
            if not path.is_file():
                raise CheckpointError(f"checkpoint: {path} does not exist: there are no weights yet. {self.made_by}")
        found = {path: trained_with(path) for path in files}
        settings = common_settings({path: trained for path, (trained, *_) in found.items()})
        untrained = _same_untrained({path: outputs for path, (*_, outputs) in found.items()})
        self._compare(settings, files)
        network = bare_network(engine.network)
        members = [network, *(deepcopy(network) for _ in files[1:])]
        for member, path in zip(members, files, strict=True):
            load_weights(member, path, min_share=1)
        if len(members) > 1:
            self._together(engine, members)
        for name, value in settings.items():
            if self.trained.get(name) == AUTO and hasattr(self.postprocessing, name):
                setattr(self.postprocessing, name, value)
        if self.postprocessing is not None:
            self.postprocessing.untrained = untrained
        for path, (_, source, _) in found.items():
            logger.info("weights: %s, from %s", path, source)
        say_untrained(untrained)

    def _together(self, engine: Any, members: list[nn.Module]) -> None:
        if not hasattr(self.postprocessing, "mask_rule"):
            raise ConfigError("checkpoint: this network's outputs are no probabilities to average; give one file.")
        single = getattr(engine.inferer, "single", engine.inferer)  # an engine may be started again
        engine.inferer = EnsembleInferer(single, members, self.postprocessing.mask_rule)
        logger.info("the mean of the probabilities of %d networks counts", len(members))

    def _compare(self, settings: dict[str, Any], files: list[Path]) -> None:
        mine, theirs = (json.loads(json.dumps(which, default=str)) for which in (self.trained, settings))
        chosen = [name for name in theirs if name.endswith("_threshold") and mine.get(name, AUTO) != AUTO]
        other = [
            name
            for name in sorted(set(mine) & set(theirs))
            if theirs[name] not in (mine[name], AUTO) and not name.endswith(MEASURED)  # auto: they do not say
        ]
        near = [name for name in other if len(files) > 1 and alike(name, mine[name], theirs[name])]
        if len(files) > 1:
            for name in [*near, *(name for name in chosen if theirs[name] not in (mine[name], AUTO))]:
                logger.warning("%s is %s here; the checkpoints together have %s", name, mine[name], theirs[name])
        wrong = [f"{name} is {mine[name]!r} here, {theirs[name]!r} there" for name in other if name not in near]
        if wrong:
            several = f"{files[0]} and {len(files) - 1} more were" if len(files) > 1 else f"{files[0]} was"
            overlay = settings_file(cast(Checkpoint, self.checkpoint))
            raise CheckpointError(
                f"checkpoint: {several} trained with other settings: {'; '.join(wrong)}. Use the weights' own: "
                f"--config_file \"['{self.config}','{overlay}']\""
            )


def _same_untrained(each: dict[Path, list[str]]) -> list[str]:
    """The outputs that no member has trained; an ensemble of members that have trained others is refused."""
    first, untrained = next(iter(each.items()))
    for path, outputs in each.items():
        if set(outputs) != set(untrained):
            raise CheckpointError(
                f"checkpoint: these weights are no ensemble: not trained are {untrained or 'no'} outputs in {first}, "
                f"{outputs or 'none'} in {path}."
            )
    return untrained
