from __future__ import annotations

import math

import pytest

from medbundles.errors import ConfigError
from medbundles.handlers import Monitor

NAN = math.nan


def best(monitor, records, min_delta=0.0):
    """Numbers of the records that were better than all before."""
    found, value = [], None
    for number, record in enumerate(records):
        if monitor.is_better(monitor.value(record), value, min_delta):
            found, value = [*found, number], monitor.value(record)
    return found


def test_larger_or_smaller_is_better_and_nan_never():
    records = [{"a": value} for value in (NAN, 0.5, 0.5, 0.7, NAN, 0.6, 0.4, 0.8)]
    assert best(Monitor("a"), records) == [1, 3, 7]
    assert best(Monitor("a", "min"), records) == [1, 6]
    assert best(Monitor("a"), [{"a": NAN}, {}, {"b": 1.0}]) == []  # {}: not validated


def test_only_equal_values_are_decided_by_the_tie_break_whose_nan_is_worst():
    records = [{"a": a, "b": b} for a, b in [(0.5, NAN), (0.5, 0.2), (0.5, NAN), (0.5, 0.3), (0.4, 0.9), (0.6, NAN)]]
    assert best(Monitor("a", tie_break="b"), records) == [0, 1, 3, 5]
    assert best(Monitor("a"), records) == [0, 5]


def test_a_change_of_exactly_min_delta_is_none_for_both():
    assert best(Monitor("a"), [{"a": 0.5}, {"a": 0.75}, {"a": 1.0}], min_delta=0.25) == [0, 2]
    ties = [{"a": 1.0, "b": 0.5}, {"a": 1.0, "b": 0.75}, {"a": 1.0, "b": 1.0}]
    assert best(Monitor("a", tie_break="b"), ties, min_delta=0.25) == [0, 2]


@pytest.mark.parametrize("options", [{"metric": "dice"}, {"metric": "val", "tie_break": "dice"}])
def test_a_metric_that_no_validation_has_is_named_with_those_there_are(options):
    with pytest.raises(ConfigError, match="early_stopping#monitor: no metric is named 'dice'; there are auc, val"):
        Monitor(**options).of({"val": 0.5, "auc": 0.1})


def test_an_unknown_mode_is_refused():
    with pytest.raises(ConfigError, match="early_stopping#mode: 'best' is unknown; use one of: max, min"):
        Monitor("a", "best")
