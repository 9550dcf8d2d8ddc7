"""Own images and masks to the prepared layout."""

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from medbundles.data import read_image
from medbundles.data.lists import near_identical
from medbundles.data.lists.dataset_json import read_dataset_json
from medbundles.data.lists.pairs import Pair, find_pairs
from medbundles.data.lists.patients import usable_pattern
from medbundles.data.problems import ADVICE
from medbundles.data.reading.images import LUMINANCE
from medbundles.errors import ConfigError, DataError, in_range, one_of, refuse
from medbundles.lines import typed
from medbundles.progress import progress
from medbundles.rules import AUTO
from medbundles.transforms.head import LEAST_HEAD, head_shares

from .pairs_masks import mask_labels, mask_values, meaning, size_of, values_advice
from .pairs_split import paired_items, same_pairs, split_of
from .prepared import PICTURES, Dataset, prepared
from .volume_slices import compact, labelled_slices, slices_with_content


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
    values = mask_values(pairs, threshold, problems)
    meant = meaning(pairs, values, labels, read_dataset_json(input).labels, problems)
    advice = [*values_advice(problems.found[unpaired:]), ADVICE]
    pairs = [pair for pair in pairs if values.get(pair.name, {None}) <= meant.keys()]
    items = paired_items(pairs, patient_pattern)
    shown = {pair.name: any(meant[value] for value in values[pair.name]) for pair in pairs}
    same = same_pairs(items, channels, different_pictures, shown, problems)
    if not skip_bad_files:
        problems.settle(input, advice=" ".join(advice))
    split, notes, least = split_of(items, same, shown, ratios, seed), Counter[str](), min_content
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


def _read(
    pair: Pair, channels: int, colour: str, threshold: float, notes: Counter[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Channels (C, Z, H, W) and labels (Z, H, W)."""
    if len(size_of(pair.mask)) == 3:
        image, _, info = labelled_slices(pair.images, pair.mask)
        x, y, _ = info.spacing
        notes["volume(s) have axial pixels that are far from square, which training does not change"] += (
            not 0.5 <= x / y <= 2
        )
    else:
        each = channels if len(pair.images) == 1 else 1
        planes = [read_image(path, each, allow_constant=True, colour=colour) for path in pair.images]
        image = np.concatenate(planes)[:, None]
    return compact(image), mask_labels(pair.mask, threshold)


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
    more.insert(0, f"--dataset_dir {typed(out.resolve())}")
    print(f"  python -m monai.bundle run --config_file configs/train.json {' '.join(more)}")
