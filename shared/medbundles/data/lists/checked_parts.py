"""The sets of a split that stands already: no patient and no picture may be in two of them."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medbundles.data.lists.fold_parts import FOLD_RULES, SELECTIONS, enough_folds, fold_exists, folds_of_parts
from medbundles.data.lists.known_pictures import KnownPictures
from medbundles.data.lists.near_identical import DIFFERENT_ADVICE, Pair, same_pictures
from medbundles.data.lists.pairs import Given, given_pairs
from medbundles.data.lists.parts import ImageParts, with_joined_patients
from medbundles.data.lists.patients import PATTERN_ADVICE, usable_pattern, warn_of_patients, with_patients
from medbundles.data.lists.shares import share_of_fold
from medbundles.data.lists.slices import slices_of_pairs
from medbundles.data.lists.split_file import SplitFiles, named_splits, read_splits
from medbundles.data.lists.splits import PARTS, check_no_leak, leaks
from medbundles.data.problems import Problems
from medbundles.errors import DataError, one_of, refuse
from medbundles.rules import EVERYWHERE, Rule, has_rules

logger = logging.getLogger("medbundles")


@has_rules(
    Rule(("patient_pattern",), usable_pattern, EVERYWHERE),
    *FOLD_RULES,
)
def checked_parts(
    *,
    channels: int = 1,
    patient_pattern: str | None = None,
    different_pictures: Sequence[Sequence[str]] | str | None = None,
    earlier_split: SplitFiles | None = None,
    run_dir: Any = None,
    cache_dir: str | Path | None = None,
    later: Mapping[str, Callable[[], list[dict]]] | None = None,
    folds: int = 0,
    fold: int = 0,
    fold_seed: int = 42,
    selection: str = "inner",
    given: Given | None = None,
    **parts: list[dict],
) -> ImageParts:
    """The sets of a split as they are, once it is certain that no patient and no picture is in two of them.

    Pictures are compared as `near_identical` does. Those of one set that are copies count as one patient, as intervals
    draw patients. Pictures that cannot be read are not compared; the dataset says what is wrong with them.

    Args:
        channels: C that pictures give.
        patient_pattern: regular expression with one group, the patient, found in the name of a file whose patient is
            not known; None: such a file is a patient of its own.
        different_pictures: pairs of names that are different pictures although they look alike, or a CSV file of them
            with the columns first and second.
        earlier_split: split.json of a training, or of several: what one trained on must not be in these sets, and what
            one was validated on is said.
        run_dir: the run directory, in which the split is kept (`records` of `medbundles.handlers.Run`).
        cache_dir: where what is found out about pictures is kept for the next start; None: nowhere.
        later: sets that are neither read nor compared unless someone asks for them: a host that looks at the training
            part of an evaluation.
        folds: number of folds of a cross-validation, into which all sets together are shared, by patient, each with its
            share of each source and class; 0: none, the sets stay as they are.
        fold: the one that is held out and tested, from 0.
        fold_seed: seed of the split into folds.
        selection: which fold validates, see `GradedFolds`.
        given: slices with masks of each set, in place of `parts`; see `given_pairs`.
        **parts: name of a set -> datalist of pictures.

    Raises:
        ConfigError: an unusable pattern, pair in different_pictures, or fold.
        DataError: a patient or a picture in two sets, or copies of one picture with different labels; all listed.
    """
    one_of("selection", selection, SELECTIONS)
    refuse([usable_pattern(patient_pattern), fold_exists(fold, folds), enough_folds(selection, folds)])
    if given:
        lists, problems = given_pairs(given)
        parts = {part: slices_of_pairs(pairs, problems) for part, pairs in lists.items()} | {"test": []}
        problems.settle("the given lists", advice="")
    if folds:  # any set may hold what this fold tests
        parts, later = _told_apart(parts | {part: read() for part, read in (later or {}).items()}), None
    parts = {part: with_patients(items, patient_pattern) for part, items in parts.items()}
    present = [item for items in parts.values() for item in items]
    warn_of_patients(present, PATTERN_ADVICE)
    earlier, before = read_splits(earlier_split) if earlier_split else ({}, {})
    gone = [item for items in earlier.values() for item in items]
    known = KnownPictures(cache_dir, channels)
    thumbnails = known.thumbnails(sorted({item["image"] for item in present}), Problems())
    ours, pairs = same_pictures(present, {**before, **thumbnails}, different_pictures, gone, known.alike)
    if folds:
        chosen = folds_of_parts(folds, fold, selection)
        parts = share_of_fold(present, ours, chosen, folds, fold_seed, _source_and_label)
    shared = folds and selection == "held_out"  # validation and test are the same fold
    check_no_leak({part: parts[part] for part in ("train", "test")} if shared else parts, ours)
    _check_labels(ours)
    if earlier_split:
        check_untrained({"test": parts["test"]} if folds else parts, earlier, named_splits(earlier_split), pairs)
    return ImageParts(with_joined_patients(parts, ours), ours, thumbnails, run_dir, later, known)


def _source_and_label(group: Sequence[dict]) -> tuple[str, int]:
    return group[0]["source"], group[0].get("label", -1)


def _told_apart(parts: Mapping[str, list[dict]]) -> dict[str, list[dict]]:
    """The sets with names of their own for images of the same name in several: they will be in one table. Whose patient
    is not known is not the same person for that."""
    count = Counter(item["name"] for items in parts.values() for item in items)

    def renamed(part: str, item: dict) -> dict:
        if count[item["name"]] == 1:
            return item
        name = f"{part}/{item['name']}"
        return {**item, "name": name, "patient": name if item["patient"] == item["name"] else item["patient"]}

    return {part: [renamed(part, item) for item in parts[part]] for part in PARTS if part in parts}


def _check_labels(pairs: Iterable[Pair]) -> None:
    problems = Problems()
    for first, second, likeness in pairs:
        labels = [item.get("label", -1) for item in (first, second)]
        if min(labels) >= 0 and labels[0] != labels[1]:
            problems.add(first["image"], f"shows the same picture as {second['image']} (likeness {likeness:.2f})")
    if problems:
        raise DataError(
            f"{len(problems)} pair(s) of copies have different classes; one of each pair is wrong:\n{problems.text()}\n"
            f"Remove the wrong ones. {DIFFERENT_ADVICE}"
        )


def check_untrained(
    parts: Mapping[str, list[dict]], earlier: Mapping[str, list[dict]], file: str, pairs: Iterable[Pair] = ()
) -> None:
    """Make sure that weights are not tested on what they were trained on; what chose their epoch is said.

    Args:
        parts: name of a set -> datalist of what is tested.
        earlier: "train" and "val" of the training, see `read_split`.
        file: where that stands, for the message.
        pairs: items that show one picture, see `near_identical`.

    Raises:
        DataError: a patient or a picture of the training is tested; all listed.
    """
    advice = f"Test images that are not in {file}; of a cross-validation, the fold that the weights' training held out."
    check_no_leak({"the training": earlier["train"], **parts}, pairs, advice)
    found = leaks({"validation": earlier["val"], **parts}, pairs)
    if found:
        logger.warning(
            "Epoch and thresholds of these weights were chosen on %d image(s) or patient(s) that are tested here, so "
            "that the figures flatter, such as %s: %s", len(found), *found.found[0],
        )  # fmt: skip
