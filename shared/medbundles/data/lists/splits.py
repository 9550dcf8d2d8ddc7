"""Splits by patient, and the proof that nothing stands in two sets."""

import os
import random
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

from medbundles.data.lists.near_identical import DIFFERENT_ADVICE, Pair
from medbundles.data.problems import Problems
from medbundles.data.reading.files import content_id, identical_files, paths_of
from medbundles.errors import DataError

PARTS = ("train", "val", "test")
SPLIT_ADVICE = (
    "Put all images of a patient, and all copies of a picture, into one set; "
    "'python -m tools prepare' splits raw data so."
)


def split_by_patient(
    groups: Mapping[str, Hashable], ratios: Mapping[str, float] | Sequence[float], seed: int
) -> dict[str, list[str]]:
    """Share patients (or groups of identical images) among sets; none is ever in two.

    Stratified: in each stratum every set gets its proportion, rounded, and at least one where the stratum has enough;
    what rounding takes from a set in one stratum is given back in the next, so that totals are close as well.
    The result depends on the ids, strata, ratios and the seed, not on the order of `groups`. Neither MONAI's
    partition_dataset_classes nor scikit-learn's StratifiedGroupKFold shares groups by given ratios.

    Args:
        groups: patient -> stratum (its grade, its class ...).
        ratios: set -> share, or three numbers for train, val, test; they add up to 1. A set with share 0 stays empty.
        seed: seed of the shuffling.

    Returns:
        set -> sorted patients.

    Raises:
        DataError: no groups, or ratios that are not three, are negative or do not add up to 1.
    """
    shares = _checked(ratios)
    if not groups:
        raise DataError("there are no patients to split")
    strata: dict[str, list[str]] = defaultdict(list)
    for group in sorted(groups):
        strata[str(groups[group])].append(group)
    parts: dict[str, list[str]] = {part: [] for part in shares}
    owed = dict.fromkeys(shares, 0.0)
    for stratum in sorted(strata):
        members = strata[stratum]
        random.Random(f"{seed}/{stratum}").shuffle(members)
        wanted = {part: owed[part] + share * len(members) for part, share in shares.items()}
        counts = _counts(len(members), wanted, shares)
        for part, count in counts.items():
            owed[part] = wanted[part] - count
            parts[part] += [members.pop() for _ in range(count)]
    _fill_empty(parts, shares)
    return {part: sorted(members) for part, members in parts.items()}


def _checked(ratios: Mapping[str, float] | Sequence[float]) -> dict[str, float]:
    shares = dict(ratios) if isinstance(ratios, Mapping) else dict(zip(PARTS, ratios, strict=False))
    if not isinstance(ratios, Mapping) and len(ratios) != len(PARTS):
        raise DataError(
            f"ratios {tuple(ratios)}: three numbers are wanted, the shares of {', '.join(PARTS)}; "
            "0 leaves a set empty, as in 0.8,0.2,0"
        )
    if min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise DataError(f"ratios {tuple(shares.values())} must not be negative and must add up to 1")
    return shares


def _counts(size: int, wanted: dict[str, float], shares: dict[str, float]) -> dict[str, int]:
    """Whole numbers that add up to `size`, close to `wanted`, at least 1 where a stratum of this size allows it."""
    live = [part for part, share in shares.items() if share > 0]
    floor = 1 if size >= len(live) else 0
    counts = dict.fromkeys(shares, 0) | dict.fromkeys(live, floor)
    for _ in range(size - floor * len(live)):
        counts[max(live, key=lambda part: wanted[part] - counts[part])] += 1
    return counts


def _fill_empty(parts: dict[str, list[str]], shares: dict[str, float]) -> None:
    """Strata too small for all sets may have left one without anybody: the largest set gives one away."""
    for part, share in shares.items():
        largest = max(parts.values(), key=len)
        if share > 0 and not parts[part] and len(largest) > 1:
            parts[part].append(largest.pop())


def check_no_leak(
    parts: Mapping[str, Sequence[dict]],
    pairs: Iterable[Pair] = (),
    advice: str = SPLIT_ADVICE,
    within_source: bool = True,
) -> None:
    """Make sure that no patient and no picture is in two sets; see `leaks`.

    Args:
        parts: name of a set -> datalist.
        pairs: items that show one picture, see `near_identical`.
        advice: what would be right, for the error.
        within_source: whether a patient counts within its source alone.

    Raises:
        DataError: leaks, all listed.
    """
    found = leaks(parts, pairs, within_source)
    if found:
        more = f"\n{DIFFERENT_ADVICE}" if any("shows the same picture" in what for _, what in found.found) else ""
        raise DataError(
            f"{len(found)} leak(s) between {', '.join(parts)}; results would be too good to be true:\n"
            f"{found.text()}\n{advice}{more}"
        )


def leaks(parts: Mapping[str, Sequence[dict]], pairs: Iterable[Pair] = (), within_source: bool = True) -> Problems:
    """The patients, the byte-identical and the near-identical images that are in two sets.

    An image that is a patient only by its own name (no patient folder, no patient column) is compared by its bytes: the
    same file name in two folders says nothing. The images of a patient who is in two sets are not listed beside the
    patient.

    Args:
        parts: name of a set -> datalist.
        pairs: items that show one picture, see `near_identical`.
        within_source: a patient of the same name in another source is another one.
    """
    problems, files = Problems(), set[str]()
    homes: dict[str, set[str]] = defaultdict(set)  # a patient or a file -> the sets it is in
    owners: dict[str, set[str]] = defaultdict(set)  # a file -> its patient, or itself where none is known
    recorded: dict[str, list[str]] = defaultdict(list)  # content -> the files of an earlier split that had it
    for part, items in parts.items():
        for item in items:
            paths = paths_of(item["image"])
            files.update(paths)
            patient = f"patient {item['patient']}" + (f" ({item['source']})" if within_source else "")
            known = [patient] if item["patient"] != item["name"] else []
            for one in (*known, *paths):
                homes[one].add(part)
            for path in paths:
                owners[path].update(known or [path])
            for content, place in zip(paths_of(item.get("content", ())), paths, strict=False):
                recorded[content].append(place)  # of an earlier split: the file may lie elsewhere today

    def of_one(*some: str) -> bool:
        """Whether the files are of one patient, who is listed; of files of no known patient each is one's own."""
        return len(set[str]().union(*(owners[path] for path in some))) == 1

    for one, where in sorted(homes.items()):
        if len(where) > 1 and not (owners.get(one, {one}) != {one} and of_one(one)):
            problems.add(one, f"is in {' and '.join(sorted(where))}")
    equal: dict[str, str] = {}
    for group in identical_files(path for path in files if os.path.isfile(path)):  # of an earlier split some are gone
        equal |= dict.fromkeys(group, group[0])
        first, *others = (f"({', '.join(sorted(homes[path]))})" for path in group)
        if len(set().union(*(homes[path] for path in group))) > 1 and not of_one(*group):
            shown = ", ".join(f"{path} {where}" for path, where in zip(group[1:], others, strict=True))
            problems.add(group[0], f"{first} is byte-identical to {shown}")
    for path in sorted(files) if recorded else ():
        for before in recorded.get(content_id(path), ()) if os.path.isfile(path) else ():
            is_told = before == path or equal.get(path, path) == equal.get(before, before) or of_one(path, before)
            if not is_told and homes[path] != homes[before]:
                shown = f"{before} ({', '.join(sorted(homes[before]))})"
                problems.add(path, f"({', '.join(sorted(homes[path]))}) is byte-identical to what was {shown}")
    for first_item, second_item, likeness in pairs:
        path, twin = (str(item["image"]) for item in (first_item, second_item))
        where, elsewhere = homes.get(path, set()), homes.get(twin, set())
        is_told = equal.get(path, path) == equal.get(twin, twin) or of_one(path, twin)
        if where and elsewhere and len(where | elsewhere) > 1 and not is_told:
            shown = f"{twin} ({', '.join(sorted(elsewhere))}), likeness {likeness:.2f}"
            problems.add(path, f"({', '.join(sorted(where))}) shows the same picture as {shown}")
    return problems
