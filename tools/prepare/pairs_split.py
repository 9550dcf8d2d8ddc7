"""Whose the images of pairs are, which show one picture, and which part each goes to."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from medbundles.data import Problems, split_by_patient
from medbundles.data.lists import near_identical
from medbundles.data.lists.pairs import Pair
from medbundles.data.lists.patients import patient_in, seem_of_few
from medbundles.data.reading.files import is_volume
from medbundles.data.reading.thumbnails import read_thumbnails
from medbundles.errors import ConfigError, DataError, first_few


def paired_items(pairs: Sequence[Pair], pattern: str) -> list[dict]:
    """A datalist of the pairs, each with its patient.

    Raises:
        ConfigError: the pattern finds none in a name, or there is none and the names show that files share patients.
    """
    items = []
    for pair in pairs:
        image = [str(path) for path in pair.images]
        patient = patient_in(pair.name, pattern).replace("/", "_") if pattern else pair.name.split("/")[0]
        item = {
            "image": image if len(image) > 1 else image[0],
            "name": pair.name,
            "patient": patient,
            "source": "pairs",
        }
        items.append(item)
    what = "" if pattern else seem_of_few(items) or _nested(pairs)
    if what:
        raise ConfigError(
            f"{what}. Say how the patient is found: --patient_pattern '(.+)[_-]' takes what stands before the last _ "
            "or -; '(.+)' takes each file for a patient."
        )
    return items


def _nested(pairs: Sequence[Pair]) -> str:
    """What is unclear where images lie in folders of folders: which of these is a patient's."""
    deep = next((pair.name for pair in pairs if pair.name.count("/") > 1), "")
    return f"{deep} and others lie in folders of folders, and either may be a patient's" if deep else ""


def same_pairs(
    items: Sequence[dict], channels: int, different: str, shown: Mapping[str, bool], problems: Problems
) -> list[near_identical.Pair]:
    """Pictures, or volumes, that are one; those of which only one mask holds something are noted."""
    files = [item["image"] for item in items]
    pictures = [file for file in files if isinstance(file, str) and not is_volume(file)]
    thumbnails = read_thumbnails(pictures, channels, Problems())
    empty = set(pictures) - thumbnails.keys()  # of one value, and so equal to each other
    compared = [item for item, file in zip(items, files, strict=True) if not isinstance(file, str) or file not in empty]
    same, _ = near_identical.same_pictures(compared, thumbnails, different or None)
    for first, second, _ in same:
        if shown[first["name"]] != shown[second["name"]]:
            full, other = (first, second) if shown[first["name"]] else (second, first)
            what = f"has an empty mask, but shows the same picture as {full['name']}, whose mask is not empty"
            problems.add(other["name"], what)
    return same


def split_of(
    items: Sequence[dict],
    same: Sequence[near_identical.Pair],
    shown: Mapping[str, bool],
    ratios: tuple[float, ...],
    seed: int,
) -> dict[str, list[str]]:
    """Part -> patients, stratified by whether a mask holds anything; those who share a picture stay together."""
    heads = near_identical.joined(same, map(near_identical.owner_of, items))
    groups: dict[str, set[str]] = defaultdict(set)
    full: dict[str, bool] = defaultdict(bool)
    for item in items:
        groups[heads[near_identical.owner_of(item)]].add(item["patient"])
        full[heads[near_identical.owner_of(item)]] |= shown[item["name"]]
    named = {min(members): head for head, members in groups.items()}  # where the data lie says nothing
    parts = split_by_patient({name: full[head] for name, head in named.items()}, ratios, seed)
    empty = [part for part, share in zip(parts, ratios, strict=False) if share and not parts[part]]
    if empty:
        raise DataError(
            f"{len(named)} patient(s) found ({first_few(sorted(named))}) leave none for "
            f"{', '.join(empty)}; --patient_pattern says how a patient is found in a file's name."
        )
    return {part: [patient for name in names for patient in groups[named[name]]] for part, names in parts.items()}
