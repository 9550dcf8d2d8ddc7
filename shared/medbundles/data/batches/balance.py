"""How many items of each class there are, and batches that hold the classes as they are or equally often."""

from collections import Counter
from collections.abc import Sequence

from medbundles.data.batches.samplers import EpochBatches, MixedBatches
from medbundles.errors import DataError, one_of

SAMPLINGS = ("natural", "balanced")
FOREGROUND_SAMPLINGS = ("shuffle", "oversample")
MOSTLY = (
    2 / 3
)  # least share of images with foreground that "oversample" draws, as nnU-Net's batches are not all of them


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


def foreground_batches(
    data: Sequence[dict], batch_size: int, sampling: str = "shuffle", draws: int = 1, seed: int = 0
) -> EpochBatches | MixedBatches:
    """The batch sampler of a training set of which some images have nothing in their masks.

    Args:
        data: datalist with "foreground" in each item.
        batch_size: items per batch and process.
        sampling: "shuffle": every item as often as `draws` says in an epoch. "oversample": as many items, drawn with
            replacement so that at least two of three have something in the mask; where they do anyway, as "shuffle".
        draws: see `SeededDataset`.
        seed: seed of the order.

    Raises:
        ConfigError: unknown sampling, or a batch that the data cannot fill.
    """
    one_of("sampling", sampling, FOREGROUND_SAMPLINGS)
    kinds = [str(bool(item["foreground"])) for item in data] * draws
    if sampling == "shuffle" or not 0 < kinds.count("True") < MOSTLY * len(kinds):
        return EpochBatches(len(kinds), batch_size, shuffle=True, seed=seed)
    return MixedBatches(kinds, {"True": MOSTLY, "False": 1 - MOSTLY}, batch_size, "weighted", seed)
