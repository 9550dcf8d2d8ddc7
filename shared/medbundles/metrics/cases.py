"""The measured cases of an epoch, of all ranks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine

from medbundles.errors import ConfigError
from medbundles.losses.per_image import at_least_float32
from medbundles.metrics.chosen import at_chosen_thresholds
from medbundles.metrics.measures import UNTRAINED
from medbundles.ranks import gathered

Columns = Mapping[str, np.ndarray]
Row = dict[str, Any]
ITEM = {"name": "name", "patient": "patient", "source": "source", "image_path": "file"}  # key of the batch -> column


class Cases:
    """Collects what measures say of each case of an epoch, once per batch, however many scores and reports ask.

    The columns stay on the device while the epoch runs. When the first one asks they are gathered over all ranks, each
    case once, so all ranks must ask. The next epoch starts anew. Metrics and reports that are given the object drive
    it; it needs not be attached itself.

    Args:
        measures: see `medbundles.metrics.measures`; each gives other columns.
        choose_for: the postprocessing (`medbundles.transforms.Predictions`): thresholds of it that are "auto" are
            chosen on the cases, whose masks and classes are then decided by them. None: as the network's output says.
            Only for validation: what chooses is not to be tested.

    Attributes:
        thresholds: mask_threshold and class_threshold as chosen on the cases, once their columns were asked for.
        untrained: the network's outputs that no training has touched, and that are not measured therefore.

    Raises:
        ConfigError: without a measure.

    Example::

        "cases": {"_target_": "medbundles.metrics.Cases",
                  "measures": [{"_target_": "medbundles.metrics.Classes"}, {"_target_": "medbundles.metrics.Masks"}]}
    """

    def __init__(
        self, measures: Sequence[Callable[[Mapping[str, Any]], dict[str, torch.Tensor]]], choose_for: Any = None
    ):
        if not measures:
            raise ConfigError("Cases needs at least one measure, such as medbundles.metrics.Classes")
        self.measures, self.choose_for = list(measures), choose_for
        self.latest: dict[str, torch.Tensor] = {}
        self.start()

    def start(self, engine: Engine | None = None) -> None:
        """Forget the last epoch; for Events.EPOCH_STARTED."""
        self._batches: list[dict[str, Any]] = []
        self._unreported: set[str] = set()
        self._seen: tuple[int, int] | None = None
        self._columns: dict[str, np.ndarray] | None = None
        self._chosen: dict[str, np.ndarray] | None = None
        self.thresholds: dict[str, float] = {}
        self.untrained: list[str] = []

    @torch.no_grad()
    def collect(self, engine: Engine) -> None:
        """Measure the batch, unless that is done already; for Events.ITERATION_COMPLETED."""
        now = (id(engine), engine.state.iteration)
        if now == self._seen:
            return
        self._seen, self._columns, self._chosen, self.latest = now, None, None, {}
        output: Any = engine.state.output
        self.untrained = output.get(UNTRAINED, []) if isinstance(output, Mapping) else []
        for measure in self.measures:
            columns = measure(output)
            self.latest |= columns
            if not getattr(measure, "in_reports", True):
                self._unreported |= set(columns)
        batch: Any = engine.state.batch
        items = {
            column: list(batch[key]) for key, column in ITEM.items() if isinstance(batch, Mapping) and key in batch
        }
        self._batches.append({**items, **self.latest})

    def columns(self) -> dict[str, np.ndarray]:
        """name -> (n,) or (n, K) of all cases of all ranks, at the chosen thresholds; all ranks must call it."""
        if self.choose_for is None:
            return self.measured()
        if self._chosen is None:
            self._chosen, self.thresholds = at_chosen_thresholds(self.measured(), self.choose_for.undecided())
        return self._chosen

    def measured(self) -> dict[str, np.ndarray]:
        """The same as the network's output says, in the order of the ranks; all ranks must call it."""
        if self._columns is None:
            names = self._batches[0] if self._batches else {}
            mine = {name: _joined([batch[name] for batch in self._batches]) for name in names}
            parts = [part for part in gathered(mine) if part]
            self._columns = {name: np.concatenate([part[name] for part in parts]) for name in (parts or [{}])[0]}
        return self._columns

    def in_reports(self) -> dict[str, np.ndarray]:
        """The columns that reports show, sorted by source and name; all ranks must call it.

        Raises:
            ConfigError: the batches do not say of which patient a case is.
        """
        columns = {name: values for name, values in self.columns().items() if name not in self._unreported}
        missing = [name for name in ("name", "patient") if columns and name not in columns]
        if missing:
            raise ConfigError(f"a report needs {' and '.join(map(repr, missing))} in each item of the data")
        count = len(next(iter(columns.values()), ()))
        columns = {name: columns.get(name, np.full(count, "")) for name in ITEM.values()} | columns
        order = np.lexsort((columns["name"], columns["source"]))
        return {name: values[order] for name, values in columns.items()}


def _joined(values: Sequence[Any]) -> np.ndarray:
    if torch.is_tensor(values[0]):
        return torch.cat([at_least_float32(value.detach()) for value in values]).cpu().numpy()
    return np.array([str(value) for part in values for value in part])


def as_rows(columns: Columns) -> list[Row]:
    """A dict of plain values per case, as checkpoints hold them."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*(v.tolist() for v in columns.values()), strict=True)]


def as_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """The inverse of `as_rows`."""
    return {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else {})}
