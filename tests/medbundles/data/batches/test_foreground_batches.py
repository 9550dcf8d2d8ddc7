from __future__ import annotations

from collections import Counter

import pytest

from medbundles.data import EpochBatches, MixedBatches, foreground_batches
from medbundles.errors import ConfigError


def items(full: int, empty: int) -> list[dict]:
    return [{"foreground": n < full} for n in range(full + empty)]


def drawn(batches, epochs: int = 1) -> list[int]:
    found = []
    for epoch in range(1, epochs + 1):
        batches.set_epoch(epoch)
        found += [index for batch in batches for _, index, _ in batch]
    return found


def test_shuffled_each_comes_as_often_as_it_is_drawn():
    batches = foreground_batches(items(3, 9), 4, draws=2)
    assert isinstance(batches, EpochBatches)
    assert Counter(index % 12 for index in drawn(batches)) == dict.fromkeys(range(12), 2)


def test_oversampled_two_of_three_have_something():
    batches = foreground_batches(items(3, 9), 4, "oversample", draws=2, seed=3)
    assert isinstance(batches, MixedBatches)
    found = drawn(batches, epochs=50)
    assert len(found) == 50 * 24
    share = sum(index % 12 < 3 for index in found) / len(found)
    assert share == pytest.approx(2 / 3, abs=0.05)
    assert set(found) == set(range(24))


@pytest.mark.parametrize(("full", "empty"), [(9, 3), (12, 0)])
def test_where_most_have_something_nothing_is_drawn_twice(full, empty):
    batches = foreground_batches(items(full, empty), 4, "oversample")
    assert sorted(drawn(batches)) == list(range(12))


def test_an_unknown_sampling_is_named():
    with pytest.raises(ConfigError, match="sampling: 'balanced' is unknown"):
        foreground_batches(items(2, 2), 2, "balanced")
