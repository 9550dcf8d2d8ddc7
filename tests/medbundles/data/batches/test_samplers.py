from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from medbundles.data import EpochBatches, MixedBatches, training_batches
from medbundles.data.batches import samplers
from medbundles.errors import ConfigError

RATIOS = {"slices": 0.3, "images": 0.7}


def indices(sampler):
    return [[index for _, index, _ in batch] for batch in sampler]


def mixed(slices=60, images=200, **options):
    options = {"ratios": RATIOS, "batch_size": 32, "seed": 5, **options}
    return MixedBatches(["slices"] * slices + ["images"] * images, **options)


def on_ranks(monkeypatch, world, build):
    """What `build()` yields on each of `world` processes."""
    out = []
    for rank in range(world):
        monkeypatch.setattr(samplers, "rank_and_world", lambda rank=rank: (rank, world))
        sampler = build()
        sampler.set_epoch(3)
        batches = indices(sampler)
        assert len(batches) == len(sampler)
        out.append(batches)
    return out


def test_every_balanced_batch_holds_exactly_10_and_22_of_32():
    sampler = mixed()
    for epoch in (1, 2):
        sampler.set_epoch(epoch)
        for batch in indices(sampler):
            assert sum(i < 60 for i in batch) == 10
            assert sum(i >= 60 for i in batch) == 22


@pytest.mark.parametrize(("slices", "images", "longer"), [(61, 60, "slices"), (10, 201, "images")])
def test_the_source_that_needs_more_batches_is_seen_whole_and_only_its_last_batch_repeats(slices, images, longer):
    sampler = mixed(slices, images)
    sampler.set_epoch(1)
    first, count, share = (0, slices, 10) if longer == "slices" else (slices, images, 22)
    assert len(sampler) == -(-count // share)
    drawn = [[i for i in batch if first <= i < first + count] for batch in indices(sampler)]
    before_last = [i for batch in drawn[:-1] for i in batch]
    assert len(before_last) == len(set(before_last))
    assert {i for batch in drawn for i in batch} == set(range(first, first + count))
    assert sum(map(len, drawn)) == len(sampler) * share


def test_the_other_source_repeats_evenly_and_each_time_in_a_new_order():
    sampler = mixed(slices=13, images=440)  # 20 batches: 200 draws from 13 slices
    sampler.set_epoch(1)
    drawn = Counter(i for batch in indices(sampler) for i in batch if i < 13)
    assert sum(drawn.values()) == 200
    assert set(drawn.values()) == {200 // 13, 200 // 13 + 1}
    batches = [tuple(sorted(i for i in batch if i < 13)) for batch in indices(sampler)]
    assert len(set(batches)) > 15


@pytest.mark.parametrize("build", [mixed, lambda **o: EpochBatches(50, 8, shuffle=True, seed=o.get("seed", 5))])
def test_order_depends_on_seed_and_epoch_alone(build):
    first, second = build(), build()
    first.set_epoch(4)
    wanted = list(first)
    np.random.seed(1)
    np.random.rand(7)
    second.set_epoch(9)
    list(second)
    second.set_epoch(4)
    assert list(second) == wanted
    assert {epoch for batch in wanted for epoch, *_ in batch} == {4}
    second.set_epoch(5)
    assert indices(second) != indices(first)
    other = build(seed=6)
    other.set_epoch(4)
    assert indices(other) != indices(first)


@pytest.mark.parametrize("world", [1, 3])
@pytest.mark.parametrize("sampling", ["balanced", "weighted"])
def test_an_item_that_comes_again_in_an_epoch_is_another_draw_on_whatever_rank(monkeypatch, world, sampling):
    keys = []
    for rank in range(world):
        monkeypatch.setattr(samplers, "rank_and_world", lambda rank=rank: (rank, world))
        sampler = mixed(13, 440, sampling=sampling)
        sampler.set_epoch(3)
        keys += [key for batch in sampler for key in batch]
    assert len(set(keys)) == len(keys)
    assert {epoch for epoch, *_ in keys} == {3}
    for index in range(13):
        draws = sorted(draw for _, i, draw in keys if i == index)
        assert draws == list(range(len(draws)))
        assert len(draws) > 1


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_a_shuffled_set_with_equal_lengths_and_cover_it(monkeypatch, world):
    parts = on_ranks(monkeypatch, world, lambda: EpochBatches(50, 8, shuffle=True, seed=1))
    assert len({tuple(map(len, part)) for part in parts}) == 1  # DistributedDataParallel waits for each batch
    drawn = Counter(i for part in parts for batch in part for i in batch)
    assert set(drawn) == set(range(50))
    assert sum(drawn.values()) - 50 == -50 % world  # only the fill-up repeats


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("sampling", ["balanced", "weighted"])
def test_ranks_get_equally_many_mixed_batches(monkeypatch, world, sampling):
    parts = on_ranks(monkeypatch, world, lambda: mixed(60, 440, sampling=sampling))
    assert {len(part) for part in parts} == {
        -(-440 // (22 * world)) if sampling == "balanced" else -(-500 // (32 * world))
    }
    assert {len(batch) for part in parts for batch in part} == {32}
    if sampling == "balanced":
        long = Counter(i for part in parts for batch in part for i in batch if i >= 60)
        assert set(long) == set(range(60, 500))
        assert sum(long.values()) - 440 == len(parts[0]) * world * 22 - 440
        assert all(a != b for a, b in zip(parts[0], parts[1], strict=True))


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("size", [7, 12])
def test_validation_gives_every_item_out_exactly_once(monkeypatch, world, size):
    parts = on_ranks(monkeypatch, world, lambda: EpochBatches(size, 4))
    assert sorted(i for part in parts for batch in part for i in batch) == list(range(size))


def test_drop_last_leaves_out_the_batch_that_is_not_full():
    assert [len(b) for b in EpochBatches(50, 8, shuffle=True)] == [8] * 6 + [2]
    assert [len(b) for b in EpochBatches(50, 8, shuffle=True, drop_last=True)] == [8] * 6


def test_a_set_smaller_than_a_batch_says_which_batch_size_fits(monkeypatch):
    with pytest.raises(ConfigError, match=r"needs 8 training items, there are 7 in all\. Use batch_size 7 or less"):
        EpochBatches(7, 8, shuffle=True)
    monkeypatch.setattr(samplers, "rank_and_world", lambda: (0, 2))
    with pytest.raises(ConfigError, match=r"8 training items on each of 2 processes.*batch_size 7 or less"):
        EpochBatches(15, 8, shuffle=True)
    with pytest.raises(ConfigError, match="1 validation items cannot be shared by 2 processes"):
        EpochBatches(1, 8)
    with pytest.raises(ConfigError, match="32 per process is more than the 40 training items allow"):
        mixed(20, 20)


def test_mixing_refuses_what_cannot_be_mixed():
    with pytest.raises(ConfigError, match="'even' is unknown; use one of: balanced, weighted"):
        mixed(sampling="even")
    with pytest.raises(ConfigError, match=r"add up to 1\.1; they must add up to 1"):
        mixed(ratios={"slices": 0.4, "images": 0.7})
    with pytest.raises(ConfigError, match=r"'slices' has the share 0\.3 of a batch, but there are no such items"):
        mixed(slices=0)
    with pytest.raises(ConfigError, match="1 cannot hold a share of each of slices, images"):
        mixed(batch_size=1)


def test_a_small_share_has_at_least_one_item_and_a_share_of_0_none():
    assert mixed(ratios={"slices": 0.01, "images": 0.99}).counts == {"slices": 1, "images": 31}
    assert mixed(ratios={"slices": 0.0, "images": 1.0}).counts == {"images": 32}


def test_weighted_sampling_draws_each_source_with_its_share():
    sampler = mixed(slices=500, images=500, sampling="weighted", ratios={"slices": 0.3, "images": 0.7})
    drawn = []
    for epoch in range(40):
        sampler.set_epoch(epoch)
        drawn += [i for batch in indices(sampler) for i in batch]
    deviation = (0.3 * 0.7 / len(drawn)) ** 0.5
    assert abs(np.mean(np.array(drawn) < 500) - 0.3) < 4 * deviation
    counts = [sum(i < 500 for i in batch) for batch in indices(sampler)]
    assert len(set(counts)) > 3  # not fixed per batch


def test_training_batches_mixes_only_two_sources():
    both = [{"source": "slices"}] * 20 + [{"source": "images"}] * 40
    assert isinstance(training_batches(both, 8, mix=True, ratios=RATIOS), MixedBatches)
    assert isinstance(training_batches(both, 8, mix=False, ratios=RATIOS), EpochBatches)
    alone = training_batches(both[:20], 8, mix=True, ratios=RATIOS)  # the pictures are switched off
    assert isinstance(alone, EpochBatches)
    assert alone.shuffle
