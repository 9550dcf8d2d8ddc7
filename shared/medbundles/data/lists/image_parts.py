"""Datalists of plain images in folders, such as edente/ and dente/, shared among training, validation and test."""

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import Any

from medbundles.data.lists.input_files import results_of_runs
from medbundles.data.lists.known_pictures import KnownPictures
from medbundles.data.lists.mask_names import masks_among
from medbundles.data.lists.near_identical import same_pictures
from medbundles.data.lists.parts import ImageParts, with_joined_patients
from medbundles.data.lists.patients import PATTERN_ADVICE, usable_pattern, warn_of_patients, with_patients
from medbundles.data.lists.shares import empty_part, shared_out
from medbundles.data.lists.split_file import read_split, say_other_test
from medbundles.data.lists.splits import check_no_leak
from medbundles.data.problems import Problems
from medbundles.data.reading.case_files import check_image_file
from medbundles.data.reading.files import existing_folder, is_volume, list_images, name_below
from medbundles.errors import ConfigError, DataError, first_few, in_range, refuse
from medbundles.rules import EVERYWHERE, Rule, has_rules

logger = logging.getLogger("medbundles")
BOTH = ("edente", "dente")


def _is_tested(share: float, folder: str | Path | bool | None) -> str | None:
    if not share and not folder:
        return "test_split: nothing is tested; give the --test_split of the training, or a folder as --test_dir."
    return None


@has_rules(
    Rule(("patient_pattern",), usable_pattern, EVERYWHERE),
    Rule(("test_split", "test_dir"), _is_tested, ("evaluate",)),
)
def image_parts(
    dataset_dir: str | Path,
    data_source: str | Sequence[str] = "edente",
    spatial_dims: int = 2,
    channels: int = 1,
    train_split: float = 0.9,
    test_split: float = 0.0,
    val_dir: str | Path | None = None,
    test_dir: str | Path | None = None,
    patient_pattern: str | None = None,
    seed: int = 42,
    skip_bad_files: bool = False,
    different_pictures: Sequence[Sequence[str]] | str | None = None,
    earlier_split: str | Path | None = None,
    run_dir: Any = None,
    cache_dir: str | Path | None = None,
) -> ImageParts:
    """Training, validation and test set of the images in `dataset_dir`; no patient is in two of them.

    The test set is taken first, so another train_split leaves it as it is. Byte-identical images are one patient's,
    and so are pictures that are one picture re-encoded, re-sized or cut (see `near_identical`).

    Args:
        dataset_dir: holds a folder for each source.
        data_source: "edente", "dente", "both", or any folder's name or list of such.
        spatial_dims: 2 (pictures) or 3 (NIfTI volumes).
        channels: C that pictures must give.
        train_split: share of the images that are left by the test set; the others validate.
        test_split: share of all images that no training sees; 0: none.
        val_dir: folder that validates instead; train_split then does nothing.
        test_dir: folder that is the test set instead of test_split.
        patient_pattern: regular expression with one group, the patient, found in a file's name; None: each file is a
            patient of its own.
        seed: seed of the split.
        skip_bad_files: leave out what is bad and log it, instead of an error.
        different_pictures: pairs of names that are different pictures although they look alike, or a CSV file of them
            with the columns first and second.
        earlier_split: split.json of a training: its pictures must not be among the test set.
        run_dir: the run directory, in which the split is kept (`records` of `medbundles.handlers.Run`).
        cache_dir: where what is found out about pictures is kept for the next start; None: nowhere.

    Returns:
        "train", "val", "test" -> one dict per image, sorted by name: image (path), patient, source (the folder
        as named in data_source), name "<source>/<file>".

    Raises:
        ConfigError: a share outside 0 to 1, an empty data_source, sources that have a file in common, an unusable
            pattern or pair.
        DataError: a folder is missing or empty, bad files (all listed), or a patient or picture in two sets.
    """
    in_range("train_split", train_split, above=0, maximum=1)
    in_range("test_split", test_split, minimum=0, below=1)
    refuse([usable_pattern(patient_pattern)])
    folders = BOTH if data_source == "both" else (data_source,) if isinstance(data_source, str) else tuple(data_source)
    if not folders or not all(folders):
        raise ConfigError("data_source: names no folder; use edente, dente, both, or a list of folders' names.")
    thumbnails: dict[str, str] = {}
    known = KnownPictures(cache_dir, channels)
    more = (spatial_dims, channels, skip_bad_files, known, thumbnails)
    named = {PurePath(folder).as_posix(): Path(dataset_dir) / folder for folder in folders}
    others = "Give another --dataset_dir, or the names of its folders as --data_source."
    items = [item for name, folder in named.items() for item in _images(folder, name, others, *more)]
    _check_apart(items)
    own = {"val_dir": val_dir, "test_dir": test_dir}
    val, test = (
        _images(Path(f), Path(f).name, f"Give a folder of images as --{setting}.", *more) if f else []
        for setting, f in own.items()
    )
    items, val, test = (with_patients(some, patient_pattern) for some in (items, val, test))
    split, before = read_split(earlier_split) if earlier_split else ({}, {})
    earlier = [item for part in split.values() for item in part]
    present = [*items, *val, *test]
    warn_of_patients(present, PATTERN_ADVICE)
    _say_shared_patients(present)
    ours, pairs = same_pictures(present, {**before, **thumbnails}, different_pictures, earlier, known.alike)
    of_test, of_val = 0.0 if test_dir else test_split, 0.0 if val_dir else 1 - train_split
    parts = shared_out(items, ours, of_test, of_val, seed)
    parts = {"train": parts["train"], "val": val or parts["val"], "test": test or parts["test"]}
    if wrong := empty_part(parts, ("train", "val", *["test"] * (of_test > 0))):
        raise DataError(f"{dataset_dir}: {wrong}")
    check_no_leak(parts, ours, "Let val_dir and test_dir hold none of the other pictures.", within_source=False)
    if earlier:
        advice = f"Give all settings of the split that the training had (its config is beside {earlier_split})."
        check_no_leak({"the training": earlier, "test": parts["test"]}, pairs, advice, within_source=False)
    if earlier_split and not test:
        say_other_test(earlier_split, items, parts["test"])
    return ImageParts(with_joined_patients(parts, ours), ours, thumbnails, run_dir, known=known)


def _say_shared_patients(items: Iterable[dict]) -> None:
    """A pattern may find one name in two sources: that is one person, so that nobody is in two parts."""
    sources: dict[str, set[str]] = defaultdict(set)
    for item in items:
        sources[item["patient"]].add(item["source"])
    shared = [patient for patient, places in sources.items() if len(places) > 1]
    if shared:
        logger.warning(
            "%d patient(s) are in several sources, such as %s: each counts as one person. Where they are different "
            "people, give their files names that tell them apart.", len(shared), first_few(shared, 3),
        )  # fmt: skip


def _check_apart(items: Iterable[dict]) -> None:
    """Refuse sources that have a file in common, as it would count twice."""
    sources: dict[str, str] = {}
    for item in items:
        first = sources.setdefault(os.path.realpath(item["image"]), item["source"])
        if first != item["source"]:
            raise ConfigError(
                f"data_source: {item['image']} is one file in {first!r} and in {item['source']!r}, by a link or as "
                "they lie in each other; name folders that have none in common."
            )


def _images(
    folder: Path,
    source: str,
    advice: str,
    dims: int,
    channels: int,
    skip_bad_files: bool,
    known: KnownPictures,
    thumbnails: dict[str, str],
) -> list[dict]:
    """The items of one folder, sorted by name; `thumbnails` gets those of its pictures, a missing one the `advice`."""
    existing_folder(folder, advice)
    paths = [path for path in list_images(folder) if dims == 2 or is_volume(path)]
    if results := set(results_of_runs(paths, folder)):
        shown = first_few(sorted(path.relative_to(folder).as_posix() for path in results), 3)
        logger.warning("%s: left out are %d results of earlier runs (%s)", folder, len(results), shown)
        paths = [path for path in paths if path not in results]
    names = {path: name_below(path, folder) for path in paths}
    masks = {name for name, has_image in masks_among(names.values()).items() if has_image}
    if masks:
        logger.warning(
            "%s: left out are %d masks by their names, beside images that they could be the masks of (%s)",
            folder, len(masks), first_few(sorted(masks), 3),
        )  # fmt: skip
        paths = [path for path in paths if names[path] not in masks]
    if not paths:
        raise DataError(f"{folder}: no {'images' if dims == 2 else 'volumes (NIfTI)'} in it")
    problems, items = Problems(), []
    for path in paths:
        name = f"{source}/{names[path]}"
        if check_image_file(path, dims, channels, problems):
            items.append({"image": str(path), "name": name, "patient": name, "source": source})
    if dims == 2:
        thumbnails |= known.thumbnails([item["image"] for item in items], problems)
        items = [item for item in items if item["image"] in thumbnails]
    return problems.good(items, folder, skip_bad_files, volumes_advice(dims, paths))


def volumes_advice(dims: int, paths: Iterable[Path]) -> str:
    """What would be right where none of the files can be used, as all are volumes and pictures are wanted."""
    is_wrong = dims == 2 and all(map(is_volume, paths))
    return "Volumes need --spatial_dims 3 and what goes with it; see configs/volumes.json." if is_wrong else ""
