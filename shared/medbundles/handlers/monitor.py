"""What makes one epoch better than another."""

import math
from collections.abc import Mapping

from medbundles.errors import ConfigError, one_of

Value = list[float]  # the monitored value, negative where smaller is better, and the tie break


def check_metric(setting: str, name: str, metrics: Mapping[str, float]) -> None:
    """Refuse the name of a metric that was not measured (ConfigError), with those that were."""
    if name not in metrics:
        raise ConfigError(f"{setting}: no metric is named {name!r}; there are {', '.join(sorted(metrics))}.")


class Monitor:
    """The metric that a run follows: early stopping, the best checkpoint and the history's best epoch ask it.

    Of two values the larger is better, or with mode "min" the smaller. NaN is never better than anything. Of equal
    values a larger `tie_break` is better, whose NaN is worse than any number.

    Args:
        metric: name of a validation metric.
        mode: "max" or "min": what is better.
        tie_break: name of a second metric (larger is better), or None.
        min_delta: smallest change that early stopping counts.

    Raises:
        ConfigError: unknown mode.

    Example:
        >>> monitor = Monitor("val_auc", tie_break="val_f1")
        >>> monitor.is_better(monitor.value({"val_auc": 0.9, "val_f1": 0.5}), monitor.value({"val_auc": 0.9}))
        True
    """

    def __init__(self, metric: str, mode: str = "max", tie_break: str | None = None, min_delta: float = 0.0):
        one_of("early_stopping#mode", mode, ("max", "min"))
        self.metric, self.sign = metric, 1 if mode == "max" else -1
        self.tie_break, self.min_delta = tie_break, min_delta

    def of(self, metrics: Mapping[str, float]) -> Value | None:
        """The value of a validation; None where the metric is NaN.

        Raises:
            ConfigError: there is no such metric; lists those there are.
        """
        for name in (self.metric, self.tie_break):
            if name:
                check_metric("early_stopping#monitor", name, metrics)
        return self.value(metrics)

    def value(self, record: Mapping[str, float]) -> Value | None:
        """The value of an epoch's record; None where the metric is NaN or missing, because it was not validated."""
        first = self.sign * float(record.get(self.metric, math.nan))
        second = float(record.get(self.tie_break, math.nan)) if self.tie_break else 0.0
        return None if math.isnan(first) else [first, -math.inf if math.isnan(second) else second]

    def is_better(self, value: Value | None, best: Value | None, min_delta: float = 0.0) -> bool:
        """Whether a value is better than the best so far (None: there is none yet), by more than `min_delta`."""
        if value is None or best is None:
            return value is not None
        tie = value[0] == best[0] and value[1] > best[1] + min_delta
        return value[0] > best[0] + min_delta or tie
