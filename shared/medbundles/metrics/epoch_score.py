"""Scores as metrics of the engines."""

import math
from typing import Any

from ignite.engine import Engine
from ignite.metrics import Metric

from medbundles.errors import ConfigError
from medbundles.metrics.cases import Cases
from medbundles.metrics.chosen import decided
from medbundles.metrics.classification import NAN
from medbundles.metrics.scores import gives, known_score, loss_terms, score
from medbundles.metrics.weighted import value_of

NOT_TRAINED = "that output of the network is not trained"


def metrics_of(engine: Engine) -> dict[str, float]:
    """The engine's metrics as numbers, without those of an output of the network that is not trained."""
    state: Any = engine.state
    reasons = getattr(state, "undefined", {})
    return {name: float(value) for name, value in state.metrics.items() if reasons.get(name) != NOT_TRAINED}


class Score(Metric):
    """A score of all cases of an epoch and of all ranks, as an Ignite metric for MONAI's engines.

    The score "loss" of a loss with several terms also writes the mean of each term, before it is multiplied: attached
    as "val_loss" it writes "val_seg_loss" and "val_cls_loss" ("loss" in the name is replaced).

    Args:
        name: one of `medbundles.metrics.scores.SCORES`; empty: that of the metric without its first word, so that
            "val_dice" is "dice".
        cases: what measures the cases, see `Cases`.
        channel: of masks with several channels this one alone, counted from 0; None: their mean.
        at_half: the postprocessing (`medbundles.transforms.Predictions`): masks and classes are decided anew at 0.5,
            where it decides by thresholds; None: as they are decided.

    Raises:
        ConfigError: for an unknown name, when it is built or attached; without cases.

    Example::

        "val_dice": {"_target_": "medbundles.metrics.Score", "cases": "@validate#cases"}
        "val_recall": {"_target_": "medbundles.metrics.Score", "name": "recall_macro", "cases": "@validate#cases"}
    """

    def __init__(self, name: str = "", cases: Cases | None = None, channel: int | None = None, at_half: Any = None):
        if cases is None:
            raise ConfigError('Score needs "cases", such as "@validate#cases"')
        self.name, self.cases, self.channel = known_score(name) if name else "", cases, channel
        self.at_half = at_half
        super().__init__()

    def attach(self, engine: Engine, name: str, *args: Any, **options: Any) -> None:
        """Wire it to an engine, as the metric of this name."""
        self.name = self.name or known_score(name.partition("_")[2])
        super().attach(engine, name, *args, **options)

    def reset(self) -> None:
        """Nothing: the cases know when an epoch starts."""

    def update(self, output: Any) -> None:
        """Nothing: the cases are measured once for all scores."""

    def started(self, engine: Engine) -> None:
        """Start anew."""
        self.cases.start(engine)

    def iteration_completed(self, engine: Engine) -> None:
        """Measure the batch, unless another score has."""
        self.cases.collect(engine)

    def compute(self) -> float:
        """The score at weight 1; all ranks must ask.

        Raises:
            ConfigError: what is measured does not give it.
        """
        return self._value(self.name)[0]

    def _value(self, name: str) -> tuple[float, str]:
        """The score, and why it is not defined on these data, where that is so."""
        columns = self.cases.columns()
        if self.at_half is not None:
            kinds = self.at_half.by_threshold()
            columns = decided(columns, 0.5 if "mask" in kinds else None, 0.0 if "class" in kinds else None)
        if self.cases.untrained and name != "loss" and name not in loss_terms(columns) and not gives(columns, name):
            return math.nan, NOT_TRAINED
        found = score(name, columns, self.channel)
        value, reason = value_of(found, len(next(iter(columns.values()), ()))), getattr(found, "undefined", NAN)
        return value, reason if math.isnan(value) and reason != NAN else ""

    def completed(self, engine: Engine, name: str) -> None:
        """Write it into the engine's metrics, and into its `state.undefined` why it is none on these data."""
        engine.state.metrics[name], reason = self._value(self.name)
        state: Any = engine.state
        state.undefined = {**getattr(state, "undefined", {}), name: reason}
        if self.name == "loss":
            for term in loss_terms(self.cases.columns()):
                if term != "loss":
                    engine.state.metrics[name.replace("loss", term)] = self._value(term)[0]
