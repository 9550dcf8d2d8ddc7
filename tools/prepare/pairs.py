"""Own images and masks to the prepared layout."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from medbundles.data import Problems, read_image, read_volume, split_by_patient
from medbundles.data.lists import near_identical
from medbundles.data.lists.dataset_json import read_dataset_json
from medbundles.data.lists.pairs import Pair, find_pairs
from medbundles.data.lists.patients import patient_in, seem_of_few, usable_pattern
from medbundles.data.problems import ADVICE
from medbundles.data.reading.files import is_volume
from medbundles.data.reading.images import AUTO, LUMINANCE, check_header, read_labels
from medbundles.data.reading.nifti import read_header
from medbundles.data.reading.thumbnails import read_thumbnails
from medbundles.data.reading.volumes import SlicedVolume
from medbundles.errors import ConfigError, DataError, first_few, in_range, one_of, refuse
from medbundles.progress import progress
from medbundles.transforms.head import LEAST_HEAD, head_shares
from tools.prepare.prepared import PICTURES, Dataset, prepared
from tools.prepare.volume_slices import compact, labelled_slices, slices_with_content

MOST = 32  # values of a mask; what holds more is gray
OTHER_VALUES = (
    "--labels whole takes whatever is above 0, --labels classes keeps each value as a class of its own, gray masks "
    "need --threshold, such as --threshold 128."
)


def prepare_pairs(
    input: str,
    out: str,
    patient_pattern: str = "",
    mask_ending: str = "_mask",
    channels: int = 1,
    colour_channel: str = AUTO,
    labels: str = "one",
    threshold: float = 0.0,
    ratios: tuple[float, ...] = (0.7, 0.15, 0.15),
    seed: int = 42,
    min_content: float = 0.02,
    step: int = 1,
    different_pictures: str = "",
    overwrite: bool = False,
    skip_bad_files: bool = False,
) -> dict[str, dict[str, int]]:
    """Own images and masks (PNG, JPEG, TIFF, BMP, NumPy, NIfTI), split by patient.

    They lie in images/ and masks/ (or labels/), flat or in a folder for each patient; or as x.png beside x_mask.png; or
    as nnU-Net has them: imagesTr/x_0000.nii.gz, one file per channel, and labelsTr/x.nii.gz. Volumes become axial
    slices. The patient is the first folder in the images' folder, else the file (a volume is a patient).

    Args:
        input: folder with images and masks.
        out: dataset folder to write; pictures of 'prepare yesno' may be in it already.
        patient_pattern: regular expression with one group, the patient, found in the path from the images' folder
            without its ending: '^([^_]+)_' in p7_03 and p7/03_a. '(.+)' makes each file a patient.
        mask_ending: how a mask's name ends that lies beside its image.
        channels: 1 (gray) or 3 (colours are kept); what has a file for each channel keeps these.
        colour_channel: what the one channel is of a picture with three that differ: luminance, or the first, second or
            third of them (1, 2, 3); auto: such a picture is an error.
        labels: one (each mask holds 0 and one other value, the same in all), whole (whatever is above 0 counts), or
            classes (each value is a class of its own).
        threshold: gray masks: from this value on a pixel counts; 0: masks are not gray.
        ratios: shares of train, val and test.
        seed: seed of the split.
        min_content: slices of volumes with an empty mask are kept if what is not background fills this share of them.
        step: keep every step-th slice of a volume.
        different_pictures: CSV file with the columns first and second: names of pictures that look alike and are
            different ones.
        overwrite: replace slices that a prepare verb wrote there before.
        skip_bad_files: leave out bad files and list them, instead of an error.

    Returns:
        part -> counts.

    Example:
        python -m tools prepare pairs --input /data/lungs --out /data/lungs2d --patient_pattern '^([^_]+)_'
    """
    refuse([usable_pattern(patient_pattern)])
    one_of("--labels", labels, ("one", "whole", "classes"))
    one_of("--channels", channels, (1, 3))
    one_of("--colour_channel", colour_channel, (AUTO, LUMINANCE, "1", "2", "3"))
    if channels > 1 and colour_channel != AUTO:
        raise ConfigError(
            f"--colour_channel: {colour_channel} does nothing with --channels {channels}, which keeps all."
        )
    in_range("--min_content", min_content, minimum=0, maximum=1)
    in_range("--step", step, minimum=1)
    in_range("--threshold", threshold, minimum=0)
    if threshold and labels == "classes":
        raise ConfigError("--threshold: gives one kind of mask; it does not go with --labels classes.")
    pairs, problems, unused = find_pairs(input, mask_ending)
    unpaired = len(problems)
    values = _mask_values(pairs, threshold, problems)
    meant = _meaning(pairs, values, labels, read_dataset_json(input).labels, problems)
    advice = f"{OTHER_VALUES} {ADVICE}" if len(problems) > unpaired else ADVICE
    pairs = [pair for pair in pairs if values.get(pair.name, {None}) <= meant.keys()]
    items = _items(pairs, patient_pattern)
    shown = {pair.name: any(meant[value] for value in values[pair.name]) for pair in pairs}
    same = _same_pictures(items, channels, different_pictures, shown, problems)
    if not skip_bad_files:
        problems.settle(input, advice=advice)
    split, notes, least = _split(items, same, shown, ratios, seed), Counter[str](), min_content
    notes["file(s) of a test set (imagesTs, labelsTs) are not used"] = len(unused)
    notes["pair(s) of near-identical pictures stay in one part (split_pairs.json lists them)"] = len(same)
    about = {"seed": seed, "ratios": ratios, "input": str(Path(input).resolve()), "patient_pattern": patient_pattern}
    about |= {
        "labels": labels,
        "threshold": threshold,
        "mask_values": meant,
        "channels": channels,
        "colour_channel": colour_channel,
    }
    about |= {"min_content": min_content, "step": step, "near_identical": near_identical.table_of(same)}
    with prepared(
        "pairs", out, split, problems=problems, overwrite=overwrite, skip_bad_files=skip_bad_files, about=about
    ) as dataset:
        for pair, item in progress([*zip(pairs, items, strict=True)], "images"):
            with problems.noted(pair.images[0]):
                image, held = _read(pair, channels, colour_channel, threshold, notes)
                mask = np.zeros(held.shape, np.uint8)
                for value, code in meant.items():
                    mask[held == value] = code
                chosen = _chosen(image, mask, min_content, notes)[::step]
                least = min([least, *(head_shares(image[0])[chosen] if len(mask) > 1 else [])])
                for z in chosen:
                    ending = f"_z{z:03d}" if len(mask) > 1 else ""
                    _add(dataset, item["patient"], pair.name + ending, image[:, z], mask[z])
    for what, count in notes.items():
        if count:
            print(f"note: {count} {what}")
    classes = len(meant) if labels == "classes" else 1
    more = [] if colour_channel == AUTO else [f"--colour_channel {colour_channel}"]
    more += [] if least == LEAST_HEAD else [f"--min_head {math.floor(1000 * least) / 1000:g}"]
    _say_next(Path(out), dataset.counts, max(channels, len(pairs[0].images)), classes, more)
    return dataset.counts


def _mask_values(pairs: Sequence[Pair], threshold: float, problems: Problems) -> dict[str, set[float]]:
    """Name -> what its mask holds; masks that cannot be read, are gray or have another size are noted instead."""
    found = {}
    for pair in progress(pairs, "masks"):
        with problems.noted(pair.mask):
            values, size = np.unique(_labels(pair.mask, threshold)), _size(pair.mask)
            for path in pair.images:
                if (other := _size(path)) != size:
                    raise DataError(f"{pair.mask}: is {_in_words(size)}, its image {path} is {_in_words(other)}")
            if len(values) > MOST:
                raise DataError(f"{pair.mask}: is gray: {len(values)} values from {values[0]:g} to {values[-1]:g}")
            found[pair.name] = set(values.tolist())
    return found


def _labels(mask: Path, threshold: float) -> np.ndarray:
    """(Z, H, W); nothing but 0 and the threshold, where one is given."""
    held = SlicedVolume.of(*read_volume(mask, True)).slices if is_volume(mask) else read_labels(mask)[None]
    return np.where(held >= threshold, threshold, 0) if threshold else held


def _size(path: Path) -> tuple[int, ...]:
    """(H, W) of a picture, (X, Y, Z) of a volume."""
    shape = read_header(path)[1].canonical_shape if is_volume(path) else (1,)
    return check_header(path) if 1 in shape else shape


def _in_words(size: tuple[int, ...]) -> str:
    return f"{'x'.join(map(str, size))} ({'HxW' if len(size) == 2 else 'XxYxZ'})"


def _meaning(
    pairs: Sequence[Pair], values: Mapping[str, set[float]], labels: str, names: Mapping[int, str], problems: Problems
) -> dict[float, int]:
    """Value of a mask -> what is written for it: 0, 255 for the object, or a class; masks of other values are noted."""
    count = Counter(value for held in values.values() for value in held if value > 0)
    known = {0.0, *map(float, names)} if names else {0.0, *count}
    if not count and len(values) == len(pairs):
        raise DataError(f"{pairs[0].mask.parent}: every mask is empty")
    usual = max(count, key=lambda value: (count[value], value), default=0.0)
    allowed = sorted({0.0, usual} & known if labels == "one" else known)
    wanted = first_few(_value(value, names) for value in allowed)
    for pair in pairs:
        held = values.get(pair.name, set())
        if not held <= set(allowed):
            problems.add(pair.mask, f"holds {first_few(_value(v, names) for v in sorted(held))}; wanted: {wanted}")
    return {value: number if labels == "classes" else 255 * (value > 0) for number, value in enumerate(allowed)}


def _value(value: float, names: Mapping[int, str]) -> str:
    return f"{value:g}" + (f" ({names[int(value)]})" if value in names else "")


def _items(pairs: Sequence[Pair], pattern: str) -> list[dict]:
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


def _same_pictures(
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


def _split(
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


def _read(
    pair: Pair, channels: int, colour: str, threshold: float, notes: Counter[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Channels (C, Z, H, W) and labels (Z, H, W)."""
    if len(_size(pair.mask)) == 3:
        image, _, info = labelled_slices(pair.images, pair.mask)
        x, y, _ = info.spacing
        notes["volume(s) have axial pixels that are far from square, which training does not change"] += (
            not 0.5 <= x / y <= 2
        )
    else:
        each = channels if len(pair.images) == 1 else 1
        planes = [read_image(path, each, allow_constant=True, colour=colour) for path in pair.images]
        image = np.concatenate(planes)[:, None]
    return compact(image), _labels(pair.mask, threshold)


def _chosen(image: np.ndarray, mask: np.ndarray, min_content: float, notes: Counter[str]) -> list[int]:
    """The slices that show something.

    Raises:
        DataError: one shows nothing, but its mask does.
    """
    chosen = [0] if len(mask) == 1 else slices_with_content(image[0], mask, min_content)
    notes["slice(s) with hardly anything in them are left out (--min_content)"] += len(mask) - len(chosen)
    is_constant = (image.min(axis=(2, 3)) == image.max(axis=(2, 3))).all(axis=0)
    wrong = [z for z in chosen if is_constant[z] and mask[z].any()]
    if wrong:
        where = f" (slice {wrong[0]})" if len(mask) > 1 else ""
        raise DataError(f"the image is constant{where}, but its mask is not empty")
    notes["picture(s) or slice(s) of one value are left out: they show nothing"] += int(is_constant[chosen].sum())
    return [z for z in chosen if not is_constant[z]]


def _add(dataset: Dataset, patient: str, name: str, image: np.ndarray, mask: np.ndarray) -> None:
    """Write a slice (C, H, W)."""
    if image.dtype == np.uint8:  # PNG has one channel or three
        image = {1: image[0], 3: np.moveaxis(image, 0, -1)}.get(len(image), image.astype(np.int16))
    dataset.add_slice(patient, name.removeprefix(f"{patient}/").replace("/", "_"), image, mask)


def _say_next(
    out: Path, counts: Mapping[str, Mapping[str, int]], channels: int, classes: int, colour: list[str]
) -> None:
    """The training of what was written, as typed."""
    more = ([] if Path(out, *PICTURES).is_dir() else ["--kaggle_dir False"]) + colour
    more += [f"--in_channels {channels}"] * (channels > 1) + [f"--seg_out_channels {classes}"] * (classes > 1)
    if any(part["with_tumour"] == part["slices"] for part in counts.values() if part["slices"]):
        print("note: in some part no mask is empty, so that there is one class there: follow the masks alone")
        more.append("--early_stopping#monitor val_dice")
    print("train on it, in bundles/brain_tumor_multitask_unet:")
    print(
        f"  python -m monai.bundle run --config_file configs/train.json --dataset_dir {out.resolve()} {' '.join(more)}"
    )
