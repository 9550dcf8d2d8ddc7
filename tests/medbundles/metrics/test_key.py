from __future__ import annotations

import pytest

from medbundles.errors import ConfigError
from medbundles.metrics import Cases, Classes, Score, key_metric


def test_key_metric():
    cases = Cases([Classes()])
    metrics = {"val_dice": Score("dice", cases), "val_acc": Score("acc", cases)}
    assert key_metric(metrics, "val_acc") == {"val_acc": metrics["val_acc"]}
    with pytest.raises(ConfigError, match="unknown metric 'val_dise'; choose one of: val_dice, val_acc"):
        key_metric(metrics, "val_dise")
