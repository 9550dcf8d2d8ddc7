"""Training, validation and test set by shares of the patients, or by folds."""

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence

from medbundles.data.lists.near_identical import Pair, joined, owner_of
from medbundles.data.lists.splits import split_by_patient
from medbundles.errors import DataError


def _source(group: Sequence[dict]) -> Hashable:
    return group[0]["source"]


def shared_out(
    items: Sequence[dict],
    pairs: Sequence[Pair],
    of_test: float,
    of_val: float,
    seed: int,
    stratum: Callable[[Sequence[dict]], Hashable] = _source,
) -> dict[str, list[dict]]:
    """The sets of the items; who owns items, or copies of one picture (`pairs`), is in one of them.

    The test set is taken first, so another share of validation leaves it as it is. The result depends on names alone:
    where the data lie says nothing.

    Args:
        items: datalist.
        pairs: see `near_identical`.
        of_test: share of all that tests.
        of_val: share of the rest that validates.
        seed: seed of the split.
        stratum: of the items of an owner; each set gets its share of each stratum.

    Returns:
        "train", "val", "test" -> datalist, in the order of the items.
    """
    named = _named(items, pairs)
    everyone = {name: stratum(group) for name, group in named.items()}
    tested = set(split_by_patient(everyone, {"rest": 1 - of_test, "test": of_test}, seed)["test"])
    rest = {name: kind for name, kind in everyone.items() if name not in tested}
    validating = set(split_by_patient(rest, {"train": 1 - of_val, "val": of_val}, seed)["val"])
    home = {item["name"]: name for name, group in named.items() for item in group}
    parts: dict[str, list[dict]] = {"train": [], "val": [], "test": []}
    for item in items:
        name = home[item["name"]]
        parts["test" if name in tested else "val" if name in validating else "train"].append(item)
    return parts


def share_of_fold(
    items: Sequence[dict],
    pairs: Sequence[Pair],
    folds: Mapping[str, Collection[int]],
    count: int,
    seed: int,
    stratum: Callable[[Sequence[dict]], Hashable] = _source,
) -> dict[str, list[dict]]:
    """The same, by folds: every item is in one of them, each with its share of each stratum.

    Args:
        items: datalist.
        pairs: see `near_identical`.
        folds: set -> its folds, see `folds_of_parts`; a fold may be in two sets.
        count: number of folds.
        seed: seed of the split.
        stratum: see `shared_out`.

    Returns:
        set -> datalist, in the order of the items.

    Raises:
        DataError: fewer owners of items than folds.
    """
    named = _named(items, pairs)
    if len(named) < count:
        raise DataError(
            f"folds: {len(named)} patient(s) cannot fill {count} folds; use --folds {len(named)} or less, or more data."
        )
    everyone = {name: stratum(group) for name, group in named.items()}
    shared = split_by_patient(everyone, {str(fold): 1 / count for fold in range(count)}, seed)
    fold_of = {item["name"]: int(fold) for fold, names in shared.items() for name in names for item in named[name]}
    return {part: [item for item in items if fold_of[item["name"]] in chosen] for part, chosen in folds.items()}


def _named(items: Sequence[dict], pairs: Sequence[Pair]) -> dict[str, list[dict]]:
    """First name -> items that must stay together."""
    heads = joined(pairs, map(owner_of, items))
    groups: dict[str, list[dict]] = defaultdict(list)
    for item in items:
        groups[heads[owner_of(item)]].append(item)
    return {min(item["name"] for item in group): group for group in groups.values()}


def empty_part(parts: Mapping[str, Sequence[dict]], wanted: Sequence[str]) -> str | None:
    """What is wrong where one of the wanted sets has nothing, or None."""
    count = sum(map(len, parts.values()))
    for part in wanted:
        if not parts[part]:
            return (
                f"of {count} image(s) none is left for {part}; change train_split or test_split, or give more images "
                "(copies of one picture count once)."
            )
    return None
