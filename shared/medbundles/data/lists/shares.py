"""Training, validation and test set by shares of the patients."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence

from medbundles.data.lists.near_identical import Pair, joined, owner_of
from medbundles.data.lists.splits import check_no_leak, split_by_patient


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
    heads = joined(pairs, map(owner_of, items))
    groups: dict[str, list[dict]] = defaultdict(list)
    for item in items:
        groups[heads[owner_of(item)]].append(item)
    named = {min(item["name"] for item in group): group for group in groups.values()}
    everyone = {name: stratum(group) for name, group in named.items()}
    tested = set(split_by_patient(everyone, {"rest": 1 - of_test, "test": of_test}, seed)["test"])
    rest = {name: kind for name, kind in everyone.items() if name not in tested}
    validating = set(split_by_patient(rest, {"train": 1 - of_val, "val": of_val}, seed)["val"])
    parts: dict[str, list[dict]] = {"train": [], "val": [], "test": []}
    for name, group in named.items():
        parts["test" if name in tested else "val" if name in validating else "train"] += group
    order = {id(item): number for number, item in enumerate(items)}
    return {part: sorted(chosen, key=lambda item: order[id(item)]) for part, chosen in parts.items()}


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


def check_untrained_test(
    parts: Mapping[str, Sequence[dict]], earlier: Sequence[dict], pairs: Sequence[Pair], file: object
) -> None:
    """Make sure that a test set holds nothing of an earlier training, if there is one.

    Args:
        parts: with "test".
        earlier: items of that training.
        pairs: see `near_identical`.
        file: its split, for the message.

    Raises:
        DataError: naming what is in both.
    """
    if earlier:
        advice = f"Give all settings of the split that the training had (its config is beside {file})."
        check_no_leak({"the training": earlier, "test": parts["test"]}, pairs, advice, within_source=False)
