"""Datalists of images with maps of classes, shared among training, validation and test."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medbundles.data.lists.checked_parts import check_untrained
from medbundles.data.lists.dataset_json import listed_pairs, read_dataset_json
from medbundles.data.lists.fold_parts import FOLD_RULES, SELECTIONS, enough_folds, fold_exists, folds_of_parts
from medbundles.data.lists.known_labels import KnownLabels
from medbundles.data.lists.known_pictures import KnownPictures
from medbundles.data.lists.near_identical import same_pictures
from medbundles.data.lists.pairs import Given, find_pairs, given_pairs, patient_of_given
from medbundles.data.lists.parts import ImageParts, with_joined_patients
from medbundles.data.lists.patients import PATTERN_ADVICE, usable_pattern, warn_of_patients, with_patients
from medbundles.data.lists.regions import Regions, contradiction, one_channel_each, other_channels, regions_of
from medbundles.data.lists.shares import empty_part, share_of_fold, shared_out
from medbundles.data.lists.split_file import SplitFiles, named_splits, read_splits, say_other_test
from medbundles.data.lists.splits import check_no_leak
from medbundles.data.problems import ADVICE, Problems
from medbundles.data.reading.case_files import check_channel_files
from medbundles.data.reading.files import existing_folder, is_volume
from medbundles.data.reading.label_maps import Counts, LabelRule
from medbundles.errors import ConfigError, DataError, first_few, in_range, one_of, refuse
from medbundles.rules import EVERYWHERE, TRAINING, Rule, has_rules

logger = logging.getLogger("medbundles")
GRAY = (
    "Gray masks need the value from which a pixel counts, such as --label_threshold 128 (a half of the brightest); "
    "values that are classes need --out_channels{}, the background included."
)


def _is_tested(share: float, folds: int) -> str | None:
    return None if share or folds else "test_split: nothing is tested; give the --test_split of the training."


def _one_threshold(
    threshold: float | None, out_channels: int, ignore_label: int | bool | None, regions: Regions
) -> str | None:
    if threshold and regions:
        return f"label_threshold: {threshold:g} makes one class of a mask, and no regions; leave it out."
    if threshold and ignore_label:
        return (
            f"label_threshold: {threshold:g} makes a class of all that is bright, also of ignore_label {ignore_label}."
        )
    if threshold and out_channels > 2:
        return (
            f"label_threshold: {threshold:g} makes one class of a mask, out_channels {out_channels} wants "
            f"{out_channels - 1}; leave it out."
        )
    return None


class SegmentationParts(ImageParts):
    """The sets of a split, and what the data say of their classes.

    Args:
        *args: those of `ImageParts`, likewise by name.
        labels: what is known of the masks.
        modalities: of the channels, as a dataset.json names them; empty: not known.
    """

    def __init__(self, *args: Any, labels: KnownLabels, modalities: Sequence[str], **options: Any):
        super().__init__(*args, **options)
        self.labels, self.modalities = labels, list(modalities)

    def record(self) -> tuple[Path, dict[str, Any]] | None:
        """The split's file and what belongs in it; what the masks hold is kept, too."""
        self.labels.save()
        return super().record()


@has_rules(
    Rule(("patient_pattern",), usable_pattern, EVERYWHERE),
    Rule(("test_split", "folds"), _is_tested, ("evaluate",)),
    *FOLD_RULES,
    Rule(("regions", "out_channels"), one_channel_each, EVERYWHERE),
    Rule(("label_threshold", "out_channels", "ignore_label", "regions"), _one_threshold, (*TRAINING, "evaluate")),
)
def segmentation_parts(
    dataset_dir: str | Path,
    spatial_dims: int = 2,
    channels: int = 1,
    out_channels: int = 2,
    label_threshold: float | bool | None = None,
    ignore_label: int | bool | None = None,
    regions: Regions = None,
    train_split: float = 0.8,
    test_split: float = 0.2,
    folds: int = 0,
    fold: int = 0,
    fold_seed: int = 42,
    selection: str = "inner",
    patient_pattern: str | None = None,
    different_pictures: Sequence[Sequence[str]] | str | None = None,
    earlier_split: SplitFiles | None = None,
    seed: int = 42,
    skip_bad_files: bool = False,
    run_dir: Any = None,
    cache_dir: str | Path | None = None,
    given: Given | None = None,
) -> SegmentationParts:
    """Training, validation and test set of images with masks; no patient is in two of them.

    Existence, headers and pairing of all files, and what the masks hold, are checked at once. How a folder is read is
    said in `find_pairs`; where it has a Decathlon's dataset.json, its list counts. The first folder below the images is
    the patient; an image directly in it is a patient of its own. The test set is taken first, so another train_split
    leaves it as it is, and each set gets its share of the images with an empty mask.

    Args:
        dataset_dir: holds the images and masks.
        spatial_dims: 2 (pictures) or 3 (NIfTI volumes).
        channels: C of the image: of one file with so many channels (of volumes the fourth axis), or of so many files.
        out_channels: classes, background included; 1: one class with a sigmoid. Or the number of regions.
        label_threshold: see `LabelRule`; None or False: masks hold labels.
        ignore_label: value of pixels that are not labelled; None or False: there is none.
        regions: labels of each region, which may overlap; "auto": those of the dataset.json; None or False: classes.
        train_split: share of the images that are left by the test set; the others validate.
        test_split: share of all images that no training sees; 0: none.
        folds: number of folds of a cross-validation, which take the place of the shares; 0: none.
        fold: the one that is held out and tested, from 0.
        fold_seed: seed of the split into folds.
        selection: which fold validates, see `GradedFolds`.
        patient_pattern: regular expression with one group, the patient, found in the name of a file whose patient is
            not known; None: such a file is a patient of its own.
        different_pictures: pairs of names that are different pictures although they look alike.
        earlier_split: split.json of a training, or of several: their images must not be among the test set.
        seed: seed of the split.
        skip_bad_files: leave out what is bad and log it, instead of an error.
        run_dir: the run directory, in which the split is kept (`records` of `medbundles.handlers.Run`).
        cache_dir: where what is found out about images and masks is kept for the next start; None: nowhere.
        given: the images and masks of "train" and "val", which then are neither looked for nor shared out; see
            `given_pairs`.

    Returns:
        "train", "val", "test" -> one dict per image, sorted by name: image (path, or a list of one per channel), mask
        (path), foreground (whether the mask holds a class), patient, source "images", name.

    Raises:
        ConfigError: a share outside 0 to 1, an unusable pattern, or channels or regions that contradict the
            dataset.json.
        DataError: the folder is missing or holds no pairs, bad files or masks (all listed), a class that no training
            mask has, or a patient or picture in two sets.
    """
    in_range("train_split", train_split, above=0, maximum=1)
    in_range("test_split", test_split, minimum=0, below=1)
    threshold = label_threshold or None
    one_of("selection", selection, SELECTIONS)
    refuse([fold_exists(fold, folds), enough_folds(selection, folds)])
    refuse([usable_pattern(patient_pattern), _one_threshold(threshold, out_channels, ignore_label, regions)])
    existing_folder(dataset_dir, "Give the folder with images/ and labels/ (or a dataset.json) as --dataset_dir DIR.")
    about = read_dataset_json(dataset_dir)
    if threshold:  # makes one class of all labels, which has no name there
        about = replace(about, labels={}, regions={})
    refuse([other_channels(about, spatial_dims, channels)])
    refuse([contradiction(about, out_channels, ignore_label or None, regions or None)])
    rule = LabelRule(out_channels, threshold, ignore_label or None, about.labels, *regions_of(about, regions))
    labels = KnownLabels(cache_dir, rule)
    known, thumbnails = KnownPictures(cache_dir, channels), dict[str, str]()
    items, problems = _found(dataset_dir, spatial_dims, channels, given)
    if spatial_dims == 2:
        single = [item["image"] for item in items if isinstance(item["image"], str)]
        thumbnails = known.thumbnails(single, problems)
        items = [item for item in items if not isinstance(item["image"], str) or item["image"] in thumbnails]
    before = len(problems)
    held = labels.counts([item["mask"] for item in items], problems)
    counts, advice = _counts(held, rule, problems), _advice(held, rule)
    if not skip_bad_files:
        problems.settle(dataset_dir, advice=f"{advice}\n{ADVICE}" if len(problems) > before else ADVICE)
    items = [
        item | {"foreground": any(map(rule.is_foreground, counts[item["mask"]]))}
        for item in items
        if item["mask"] in counts
    ]
    items = with_patients(problems.good(items, dataset_dir, skip_bad_files, advice), patient_pattern)
    warn_of_patients(items, PATTERN_ADVICE)
    split, seen = read_splits(earlier_split) if earlier_split else ({}, {})
    earlier = [item for part in split.values() for item in part]
    ours, pairs = same_pictures(items, {**seen, **thumbnails}, different_pictures, earlier, known.alike)
    if given:
        parts = _as_given(items, given)
        check_no_leak(parts, ours)
    elif folds:
        chosen = folds_of_parts(folds, fold, selection)
        parts = share_of_fold(items, ours, chosen, folds, fold_seed, _holds_something)
    else:
        parts = shared_out(items, ours, test_split, 1 - train_split, seed, _holds_something)
    if wrong := empty_part(parts, ("train", "val", *["test"] * (not given and (test_split > 0 or folds > 0)))):
        raise DataError(f"{dataset_dir}: {wrong}")
    _check_classes(parts["train"], counts, rule)
    if earlier_split:
        check_untrained({"test": parts["test"]}, split, named_splits(earlier_split), pairs)
        if isinstance(earlier_split, (str, Path)):
            say_other_test(earlier_split, items, parts["test"])
    joined = with_joined_patients(parts, ours)
    return SegmentationParts(joined, ours, thumbnails, run_dir, known=known, labels=labels, modalities=about.modalities)


def _holds_something(group: Sequence[dict]) -> bool:
    return any(item["foreground"] for item in group)


def _as_given(items: Sequence[dict], given: Given) -> dict[str, list[dict]]:
    places = {part: {entry["image"] for entry in entries} for part, entries in given.items()}
    return {part: [item for item in items if item["image"] in places.get(part, ())] for part in (*places, "test")}


def _found(folder: str | Path, dims: int, channels: int, given: Given | None) -> tuple[list[dict], Problems]:
    """Items whose headers are fine, and what is wrong with the others."""
    if given:
        lists, problems = given_pairs(given)
        pairs, unused = sorted({pair.name: pair for some in lists.values() for pair in some}.values()), list[Path]()
    else:
        listed = read_dataset_json(folder).training
        pairs, problems, unused = (*listed_pairs(folder, listed), []) if listed else find_pairs(folder)
    if unused:
        logger.info("%s: %d file(s) of a test set (imagesTs, labelsTs) are not used", folder, len(unused))
    kinds = {3 if is_volume(pair.images[0]) else 2 for pair in pairs}
    if kinds == {5 - dims}:
        what = "volumes (NIfTI)" if dims == 2 else "pictures"
        raise ConfigError(f"spatial_dims: {dims}, but {folder} holds {what}; use --spatial_dims {5 - dims}.")
    items = []
    for pair in pairs:
        if check_channel_files(pair.images, dims, channels, problems, pair.mask):
            image = [str(path) for path in pair.images]
            patient = patient_of_given(pair.name) if given else pair.name.partition("/")[0]
            item = {"image": image if len(image) > 1 else image[0], "mask": str(pair.mask)}
            items.append(item | {"patient": patient, "source": "images", "name": pair.name})
    return items, problems


def _advice(held: Mapping[str, Counts], rule: LabelRule) -> str:
    """What to do with masks that do not fit; the number of classes stands in it where all masks hold 0, 1, 2 ..."""
    values = sorted({value for counts in held.values() for value in counts if value != rule.ignored} | {0})
    return GRAY.format(f" {len(values)}" if values == [*range(len(values))] and len(values) > 1 else "")


def _counts(found: Mapping[str, Counts], rule: LabelRule, problems: Problems) -> dict[str, Counts]:
    """Mask -> what it holds, of those that fit the rule; the others are noted."""
    wrong = {path: line for path, counts in found.items() if (line := rule.problem(counts))}
    fine = {path: counts for path, counts in found.items() if path not in wrong}
    if rule.is_binary:  # one other value than 0, the same one in all masks
        held = {path: [*filter(rule.is_foreground, counts)] for path, counts in fine.items()}
        usual = Counter(value for values in held.values() for value in values).most_common(1)
        for path, values in held.items():
            others = [value for value in values if value != usual[0][0]]
            if others:
                wrong[path] = f"holds {others[0]:g} beside 0; the other masks hold {usual[0][0]:g}"
    for path, line in wrong.items():
        problems.add(path, line)
    return {path: counts for path, counts in fine.items() if path not in wrong}


def _check_classes(items: Sequence[dict], counts: Mapping[str, Counts], rule: LabelRule) -> None:
    """Refuse a class or region that no training mask has; the share of each is logged."""
    names, every = rule.class_names, 0
    pixels = Counter[int](dict.fromkeys(range(len(names)), 0))
    for item in items:
        for value, count in counts[item["mask"]].items():
            pixels.update(dict.fromkeys(rule.classes_of(value), count))
            every += count if value != rule.ignored else 0
    shown = [name if rule.regions else rule.called(label) for label, name in enumerate(names)]
    missing = [shown[label] for label in range(0 if rule.regions else 1, len(names)) if not pixels[label]]
    if missing:
        what = "region(s)" if rule.regions else "class(es)"
        raise DataError(
            f"no training mask (of {len(items)}) holds the {what} {first_few(missing)}, so that nothing could be "
            f"learnt of them; is out_channels {rule.channels} right? Another --seed or --train_split shares the images "
            "out otherwise."
        )
    each = ", ".join(f"{name}: {100 * pixels[label] / every:.3g} %" for label, name in enumerate(shown))
    logger.info("%s in the %d training masks: %s", "regions" if rule.regions else "classes", len(items), each)
