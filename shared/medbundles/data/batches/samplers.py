"""Batch samplers whose order depends on (seed, epoch) alone, so that an interrupted run goes on bit-equally."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from medbundles.errors import ConfigError, one_of, refuse
from medbundles.ranks import rank_and_world
from medbundles.rules import Rule, has_rules

# (epoch, index, draw): the dataset seeds an item's augmentation from them. The draw counts how often the item came
# before in this epoch, on all ranks: an item that is repeated is each time another one.
Key = tuple[int, int, int]


def draws_of(order: np.ndarray) -> np.ndarray:
    """How often each number stands earlier in an order (any shape, read row by row); the same shape.

    Example:
        >>> draws_of(np.array([3, 1, 3, 3])).tolist()
        [0, 0, 1, 2]
    """
    flat = order.ravel()
    place = np.argsort(flat, kind="stable")
    number = np.arange(len(flat))
    is_first = np.r_[True, flat[place][1:] != flat[place][:-1]][: len(flat)]
    draws = np.empty_like(number)
    draws[place] = number - np.maximum.accumulate(np.where(is_first, number, 0))
    return draws.reshape(order.shape)


class _Batches(Sampler[list[Key]]):
    """What the batches of one process depend on: its place among all processes, the seed and the epoch.

    Not torch's and MONAI's samplers: they yield indices without the epoch, so the augmentation of an item could not be
    seeded by it, and none keeps the ratio of two sources in every batch.
    """

    def __init__(self, batch_size: int, seed: int):
        self.rank, self.world = rank_and_world()
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch (1-based)."""
        self.epoch = epoch

    def _random(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.epoch])

    def _keys(self, order: np.ndarray, draws: np.ndarray) -> list[Key]:
        return [(self.epoch, *numbers) for numbers in zip(order.tolist(), draws.tolist(), strict=True)]


class EpochBatches(_Batches):
    """Batches of keys (see `Key`) over a whole set; under torchrun each rank gets its share.

    Args:
        size: number of items.
        batch_size: items per batch and process.
        shuffle: a new order each epoch. The ranks then get equally many batches (DistributedDataParallel needs
            that): the order is filled up by repeats. Without shuffle (validation) every item is given out exactly once.
        drop_last: leave out the last batch when it is not full.
        seed: seed of the order.

    Raises:
        ConfigError: when a shuffled set is smaller than one batch of all processes.
    """

    def __init__(self, size: int, batch_size: int, shuffle: bool = False, drop_last: bool = False, seed: int = 0):
        super().__init__(batch_size, seed)
        if shuffle and size < batch_size * self.world:
            processes = f" on each of {self.world} processes" if self.world > 1 else ""
            raise ConfigError(
                f"batch_size: one batch needs {batch_size} training items{processes}, there are {size} in all. "
                f"Use batch_size {max(1, size // self.world)} or less, or more data."
            )
        if not shuffle and 0 < size < self.world:  # a rank without any would hang the others' metrics
            raise ConfigError(
                f"{size} validation items cannot be shared by {self.world} processes: use fewer processes."
            )
        self.size, self.shuffle, self.drop_last = size, shuffle, drop_last
        self.given = math.ceil(size / self.world) * self.world if shuffle else size  # by all ranks in an epoch

    def __len__(self) -> int:
        share = len(range(self.rank, self.given, self.world))
        return share // self.batch_size if self.drop_last else math.ceil(share / self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        order = self._random().permutation(self.size) if self.shuffle else np.arange(self.size)
        order = np.resize(order, self.given)
        mine = self._keys(order[self.rank :: self.world], draws_of(order)[self.rank :: self.world])
        for b in range(len(self)):
            yield mine[b * self.batch_size : (b + 1) * self.batch_size]


def _whole_batch(*shares: float) -> str | None:
    if abs(sum(shares) - 1) > 1e-6:
        parts = " and ".join(f"{share:g}" for share in shares)
        return f"mixing: the ratios {parts} add up to {sum(shares):g}; they must add up to 1."
    return None


class MixedBatches(_Batches):
    """Batches that hold two sources in a fixed ratio.

    `balanced`: exact counts in every batch (0.3 of 32: 10 and 22). The source that needs more batches is seen whole
    once per epoch, its last batch filled by repeats; the other one starts over as often as needed, each time in a new
    order. `weighted`: each item is drawn, with replacement, with its source's share as weight.

    Args:
        sources: the source name of every item, in the order of the dataset.
        ratios: share of each source in a batch; they must add up to 1.
        batch_size: items per batch and process.
        sampling: "balanced" or "weighted".
        seed: seed of the order.

    Raises:
        ConfigError: unknown sampling, ratios that do not add up to 1, a source that has a share but no items, a batch
            too small to hold every source.
    """

    def __init__(
        self,
        sources: Sequence[str],
        ratios: dict[str, float],
        batch_size: int,
        sampling: str = "balanced",
        seed: int = 0,
    ):
        super().__init__(batch_size, seed)
        one_of("mixing#sampling", sampling, ("balanced", "weighted"))
        refuse([_whole_batch(*ratios.values())])
        self.ratios = {name: share for name, share in ratios.items() if share > 0}
        self.items = {name: np.flatnonzero(np.asarray(sources) == name) for name in self.ratios}
        for name, items in self.items.items():
            if len(items) == 0:
                raise ConfigError(
                    f"mixing: {name!r} has the share {ratios[name]:g} of a batch, but there are no such items."
                )
        self.sampling, self.counts = sampling, self._counts()
        total = sum(len(items) for items in self.items.values())
        if batch_size * self.world > total:
            raise ConfigError(f"batch_size: {batch_size} per process is more than the {total} training items allow.")
        if sampling == "balanced":
            self.steps = max(math.ceil(len(self.items[n]) / (self.counts[n] * self.world)) for n in self.items)
        else:
            self.steps = math.ceil(total / (batch_size * self.world))

    def _counts(self) -> dict[str, int]:
        """Items of each source in a batch: rounded shares, at least one each, the largest source takes the rest."""
        names = sorted(self.ratios, key=self.ratios.__getitem__)
        counts = {name: max(1, round(self.ratios[name] * self.batch_size)) for name in names[:-1]}
        counts[names[-1]] = self.batch_size - sum(counts.values())
        if counts[names[-1]] < 1:
            raise ConfigError(f"batch_size: {self.batch_size} cannot hold a share of each of {', '.join(names)}.")
        return counts

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[Key]]:
        rng = self._random()
        batches = self._balanced(rng) if self.sampling == "balanced" else self._weighted(rng)
        for mine in zip(batches[self.rank :: self.world], draws_of(batches)[self.rank :: self.world], strict=True):
            yield self._keys(*mine)

    def _balanced(self, rng: np.random.Generator) -> np.ndarray:
        """(all ranks' batches, batch_size)."""
        parts = []
        for name, items in self.items.items():
            needed = self.steps * self.world * self.counts[name]
            rounds = [rng.permutation(items) for _ in range(math.ceil(needed / len(items)))]
            parts.append(np.concatenate(rounds)[:needed].reshape(-1, self.counts[name]))
        return np.stack([rng.permutation(batch) for batch in np.concatenate(parts, axis=1)])

    def _weighted(self, rng: np.random.Generator) -> np.ndarray:
        items = np.concatenate(list(self.items.values()))
        weights = np.concatenate([np.full(len(i), self.ratios[n] / len(i)) for n, i in self.items.items()])
        return rng.choice(items, size=(self.steps * self.world, self.batch_size), p=weights)


@has_rules(Rule(("mixing#brats_ratio", "mixing#kaggle_ratio"), _whole_batch))
def training_batches(
    data: Sequence[dict],
    batch_size: int,
    mix: bool = False,
    ratios: dict[str, float] | None = None,
    sampling: str = "balanced",
    drop_last: bool = False,
    seed: int = 0,
) -> EpochBatches | MixedBatches:
    """The sampler of a training set: mixed when asked for and there is more than one source, else plain shuffling.

    Args:
        data: the datalist, each item with a "source".
        batch_size: items per batch and process.
        mix: fix the ratio of the sources in a batch.
        ratios: share of each source.
        sampling: see `MixedBatches`.
        drop_last: see `EpochBatches`; mixed batches are always full.
        seed: seed of the order.
    """
    sources = [item["source"] for item in data]
    if mix and len(set(sources)) > 1:
        return MixedBatches(sources, ratios or {}, batch_size, sampling, seed)
    return EpochBatches(len(data), batch_size, shuffle=True, drop_last=drop_last, seed=seed)
