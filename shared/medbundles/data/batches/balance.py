"""How many items of each class there are, and batches that hold the classes as they are or equally often."""

from collections import Counter
from collections.abc import Sequence

from medbundles.data.batches.samplers import EpochBatches, MixedBatches
from medbundles.errors import DataError, one_of

SAMPLINGS = ("natural", "balanced")


def class_counts(data: Sequence[dict], classes: Sequence[str]) -> list[int]:
    """Number of items of each class, in the order of the labels.

    Args:
        data: datalist with a "label" in each item: the training set, because validation must not set any weight.
        classes: class names.

    Raises:
        DataError: a class without items.
    """
    count = Counter(int(item["label"]) for item in data)
    missing = [name for label, name in enumerate(classes) if not count[label]]
    if missing:
        raise DataError(
            f"training set: none of its {len(data)} cases is {' or '.join(missing)}; "
            "its margins and weights need at least one of each class"
        )
    return [count[label] for label in range(len(classes))]


def class_batches(
    data: Sequence[dict], batch_size: int, sampling: str = "natural", drop_last: bool = False, seed: int = 0
) -> EpochBatches | MixedBatches:
    """The batch sampler of a training set.

    Args:
        data: datalist with a "label" in each item.
        batch_size: items per batch and process.
        sampling: "natural": every item once per epoch. "balanced": drawn with replacement so that each class is
            equally frequent; batches are then always full.
        drop_last: see `EpochBatches`.
        seed: seed of the order.

    Raises:
        ConfigError: unknown sampling, or a batch that the data cannot fill.
    """
    one_of("sampling", sampling, SAMPLINGS)
    if sampling == "natural":
        return EpochBatches(len(data), batch_size, shuffle=True, drop_last=drop_last, seed=seed)
    sources = [str(item["label"]) for item in data]
    names = sorted(set(sources))
    return MixedBatches(sources, {name: 1 / len(names) for name in names}, batch_size, "weighted", seed)
