"""Which items of a datalist show one picture, and what follows: they belong to one patient, in one part."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from medbundles.data.lists.copies import copies
from medbundles.data.lists.likeness import NEIGHBOURS, alike
from medbundles.data.reading.files import paths_of
from medbundles.data.reading.tables import read_table
from medbundles.errors import ConfigError, first_few

logger = logging.getLogger("medbundles")
# Likeness from which pictures of two known patients are one: slices of many heads are at times much alike (up to 0.77
# between 24 patients of the LGG set and four of BraTS 2015, more in larger sets). Of the slices of a patient that were
# re-encoded, halved, flipped, darkened or cut 59 to 100 % reach it, so that the patient is found. Of 120 chest and 60
# panoramic X-rays all do after JPEG, halving, a flip, inversion and noise, 2 to 45 % when cut at a corner.
_KNOWN = 0.95
DIFFERENT_ADVICE = (
    f"Look at pairs with a likeness below {_KNOWN}: they may be cut copies, or pictures of different people that were "
    "taken in one and the same way. Where two are different pictures, name them in different_pictures."
)


class Pair(NamedTuple):
    """Two items of a datalist that show one picture, and how much they are alike (1: equal)."""

    first: dict
    second: dict
    likeness: float

    @property
    def names(self) -> frozenset[str]:
        """Names of the two."""
        return frozenset((self.first["name"], self.second["name"]))


Compare = Callable[[Sequence[str], Sequence[int]], list[tuple[int, int, float]]]


def near_identical(items: Sequence[dict], thumbnails: Mapping[str, str], compare: Compare = alike) -> list[Pair]:
    """Pairs of pictures that are one picture: byte-identical, re-encoded, re-sized, cut ... (see `alike`).

    Pictures of one known patient are compared by their bytes alone, as are items without a thumbnail (volumes); those
    of two known patients must be more alike than others, because slices of different heads can be. Of
    many copies of one picture not every pair is listed, but `joined` gives all of them one name.

    Args:
        items: datalist with image (a path or paths), name and patient.
        thumbnails: path -> thumbnail, see `read_thumbnails`.
        compare: `alike`, or one that remembers.

    Returns:
        Pairs, most alike first.
    """
    equal = [list({id(item): item for item in group.values()}.values()) for group in copies(items)]
    pairs = [Pair(first, other, 1.0) for first, *others in equal for other in others]
    pictures = [item for item in items if isinstance(item["image"], str) and item["image"] in thumbnails]
    owners = joined(pairs, (owner_of(item) for item in items))
    while len(pictures) > 1:
        numbers = {owner: number for number, owner in enumerate(sorted(set(owners.values())))}
        found = compare(
            [thumbnails[item["image"]] for item in pictures],
            [numbers[owners[owner_of(item)]] for item in pictures],
        )
        known = [item["patient"] != item["name"] for item in pictures]
        found = [(i, j, value) for i, j, value in found if value >= _KNOWN or not (known[i] and known[j])]
        if not found:
            break
        pairs += [Pair(pictures[i], pictures[j], likeness) for i, j, likeness in found]
        owners = joined(pairs, owners)
        # Whoever has as many copies as are looked at may have more.
        heads = [owners[owner_of(item)] for item in pictures]
        sizes, having = Counter(heads), {heads[i] for i, _, _ in found}
        pictures = [
            item for item, head in zip(pictures, heads, strict=True) if head in having and sizes[head] > NEIGHBOURS
        ]
    return sorted(pairs, key=lambda pair: (-pair.likeness, pair.first["name"], pair.second["name"]))


def same_pictures(
    items: Sequence[dict],
    thumbnails: Mapping[str, str],
    different: Sequence[Sequence[str]] | str | Path | None,
    gone: Sequence[dict] = (),
    compare: Compare = alike,
) -> tuple[list[Pair], list[Pair]]:
    """The pairs of `near_identical` without those of `without_different`; those among the items are logged.

    Args:
        items: datalist.
        thumbnails: path -> thumbnail, those of `gone` included.
        different: see `without_different`.
        gone: items of an earlier split, whose files may be gone; of files that are items, too, the item counts.
        compare: see `near_identical`.

    Returns:
        The pairs among the items, and all pairs.

    Raises:
        ConfigError: an unusable entry in `different`.
    """
    paths = {str(item["image"]) for item in items}  # several files, one for each channel, are a list
    every = [*items, *(item for item in gone if str(item["image"]) not in paths)]
    pairs = without_different(near_identical(every, thumbnails, compare), different, [item["name"] for item in every])
    ours = [pair for pair in pairs if {pair.first["image"], pair.second["image"]} <= paths] if gone else pairs
    if ours:
        shown = first_few((f"{a['name']} = {b['name']} ({value:.2f})" for a, b, value in ours), 5)
        logger.info("%d pair(s) of near-identical pictures count as one patient each: %s", len(ours), shown)
    return ours, pairs


def joined(pairs: Iterable[Pair], owners: Iterable[str]) -> dict[str, str]:
    """Owner of an item (see `owner_of`) -> one of all the owners that pairs join to it, the same for all of them."""
    heads = {owner: owner for owner in owners}

    def head(owner: str) -> str:
        while heads[owner] != owner:
            heads[owner] = heads[heads[owner]]  # shorter for the next one: chains would take quadratic time
            owner = heads[owner]
        return owner

    for pair in pairs:
        both = [owner_of(item) for item in (pair.first, pair.second)]
        first, second = sorted(head(heads.setdefault(owner, owner)) for owner in both)
        heads[second] = first
    return {owner: head(owner) for owner in heads}


def owner_of(item: dict) -> str:
    """Whose the item is: its patient's where one is known (its own name is none), else that of its first file."""
    if item["patient"] != item["name"]:
        return f"patient {item['patient']}"
    return paths_of(item["image"])[0]


def without_different(
    pairs: Iterable[Pair], different: Sequence[Sequence[str]] | str | Path | None, names: Iterable[str]
) -> list[Pair]:
    """The pairs without those that a user has looked at and found to be different pictures.

    Args:
        pairs: of `near_identical`.
        different: pairs of names, or a CSV file with the columns first and second, such as a table of pairs in which
            the wrong ones are left; None or empty: there are none.
        names: of all items.

    Raises:
        ConfigError: an entry is no pair, or names no item.
        DataError: the file cannot be read.
    """
    if isinstance(different, str | Path):
        wrong: list[tuple[str, ...]] = [
            (row["first"], row["second"]) for row in read_table(different, ("first", "second"))
        ]
    else:
        wrong = [tuple(pair) if not isinstance(pair, str) else (pair,) for pair in different or ()]
    there = set(names)
    for pair in wrong:
        if len(pair) != 2 or not there.issuperset(pair):
            raise ConfigError(
                f"different_pictures: {list(pair)} must be two names of images, as the list of near-identical "
                f"pictures has them, such as {first_few(sorted(there), 2)}."
            )
    accepted = {frozenset(pair) for pair in wrong}
    return [pair for pair in pairs if pair.names not in accepted]


def table_of(pairs: Iterable[Pair]) -> list[dict]:
    """One row for each pair: first, second (names), likeness."""
    return [{"first": a["name"], "second": b["name"], "likeness": round(value, 3)} for a, b, value in pairs]
