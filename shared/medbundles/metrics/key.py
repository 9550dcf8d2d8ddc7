"""Which metric decides about the best model."""

from collections.abc import Mapping

from ignite.metrics import Metric

from medbundles.errors import ConfigError


def key_metric(metrics: Mapping[str, Metric], name: str) -> dict[str, Metric]:
    """{name: metric}, as MONAI's evaluator takes its `key_val_metric`.

    Args:
        metrics: all there are.
        name: the one to choose.

    Raises:
        ConfigError: for an unknown name.
    """
    if name not in metrics:
        raise ConfigError(f"unknown metric {name!r}; choose one of: {', '.join(metrics)}")
    return {name: metrics[name]}
