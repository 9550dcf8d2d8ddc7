from __future__ import annotations

from collections import Counter

import pytest

from medbundles.data import class_batches, class_counts
from medbundles.errors import ConfigError, DataError


def items(*labels: int) -> list[dict]:
    return [{"label": label} for label in labels]


def test_counts_are_in_the_order_of_the_labels():
    assert class_counts(items(1, 0, 1, 1), ["LGG", "HGG"]) == [1, 3]
    with pytest.raises(DataError, match="none of its 2 cases is LGG"):
        class_counts(items(1, 1), ["LGG", "HGG"])


def test_natural_batches_hold_every_item_once():
    batches = class_batches(items(*[1] * 8, 0, 0), 4, drop_last=True, seed=3)
    batches.set_epoch(1)
    assert [len(batch) for batch in batches] == [4, 4]
    whole = class_batches(items(*[1] * 8, 0, 0), 4, seed=3)
    assert sorted(i for batch in whole for _, i, _ in batch) == list(range(10))


def test_balanced_batches_hold_the_classes_equally_often():
    data = items(*[1] * 80, *[0] * 20)
    batches = class_batches(data, 10, "balanced", seed=1)
    drawn: Counter = Counter()
    for epoch in range(1, 21):
        batches.set_epoch(epoch)
        drawn.update(data[i]["label"] for batch in batches for _, i, _ in batch)
    assert sum(drawn.values()) == 2000
    assert 900 < drawn[0] < 1100


def test_an_unknown_sampling_is_refused():
    with pytest.raises(ConfigError, match="sampling: 'equal' is unknown; use one of: natural, balanced"):
        class_batches(items(0, 1), 1, "equal")
