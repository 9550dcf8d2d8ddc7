"""Whose an image is, as far as its name shows."""

import logging
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from medbundles.data.reading.files import paths_of, stem
from medbundles.errors import ConfigError, first_few

logger = logging.getLogger("medbundles")
# A name that ends in a number behind another one, TCGA_CS_4941_19960909_15, or behind letters, Smith_s0, "Jo slice 3".
NUMBERED = r"(?P<one>.*\d[^-_. ]*)[-_. ]+[^\W\d_]*[-_. ]*\d+|(?P<two>.+?)[-_. ]+[^\W\d_]+[-_. ]*\d+"
PATTERN_ADVICE = "Give the rule that finds the patient in a file's name: --patient_pattern '(.+)_'"


def usable_pattern(pattern: str | None) -> str | None:
    """What is wrong with a patient_pattern, or None."""
    if pattern:
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            return f"patient_pattern: {pattern!r} is no regular expression ({error})."
        if groups != 1:
            return f"patient_pattern: {pattern!r} has {groups} groups; one in brackets is wanted, the patient."
    return None


def patient_in(name: str, pattern: str) -> str:
    """The patient in a name.

    Raises:
        ConfigError: there is none.
    """
    found = re.search(pattern, name)
    if not found or not found[1]:
        raise ConfigError(f"patient_pattern: {pattern!r} finds no patient in {name}; change it, or leave it out.")
    return found[1]


def with_patients(items: Sequence[dict], pattern: str | None) -> list[dict]:
    """The items; those of which no patient is known get the one in their file's name.

    Raises:
        ConfigError: a name has none.
    """
    if not pattern:
        return list(items)
    found = []
    for item in items:
        is_known = item["patient"] != item["name"]
        found.append(item if is_known else {**item, "patient": patient_in(Path(_first_file(item)).name, pattern)})
    return found


def warn_of_patients(items: Sequence[dict], advice: str) -> None:
    """Warn where several images, each taken for a patient, seem to belong to one; see `seem_of_few`.

    Args:
        items: datalist.
        advice: how the patient is given.
    """
    if what := seem_of_few(items):
        logger.warning(
            "%s; each counts as a patient of its own, so that one patient may be in two sets and intervals are too "
            "narrow. %s", what, advice,
        )  # fmt: skip


def seem_of_few(items: Sequence[dict]) -> str | None:
    """What shows, by names or folders, that several images, each taken for a patient, belong to one; None: nothing.

    Such names end in a number of their own (`NUMBERED`), such folders have a number in their name; there must be
    several patients, because one beginning that all have says nothing. Items with a known patient are left alone.
    """
    lone = [Path(_first_file(item)) for item in items if item["patient"] == item["name"]]
    names, folders = defaultdict[tuple[Path, str], list[str]](list), defaultdict[Path, list[str]](list)
    for path in lone:
        if found := re.fullmatch(NUMBERED, stem(path)):
            names[path.parent, found["one"] or found["two"]].append(path.name)
        folders[path.parent].append(path.name)
    by_name = [group for group in names.values() if len(group) > 1]
    by_folder = [
        [f"{folder.name}/{name}" for name in group]
        for folder, group in folders.items()
        if len(group) > 1 and re.search(r"\d", folder.name)
    ]
    for groups, what in ((by_name, "names"), (by_folder, "folders")):
        if len(groups) > 1:
            count, shown = sum(map(len, groups)), first_few(groups[0], 3)
            return f"By their {what} {count} images seem to be of {len(groups)} patients, such as {shown}"
    return None


def _first_file(item: dict) -> str:
    return paths_of(item["image"])[0]
