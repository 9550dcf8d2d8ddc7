"""Finds images and the masks that belong to them, in the layouts that people keep them in."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from medbundles.data.lists.mask_names import folder_kind
from medbundles.data.problems import Problems
from medbundles.data.reading.files import existing_folder, list_images, name_below, stem
from medbundles.errors import DataError, first_few

UNUSED = ("imagests", "labelsts")  # nnU-Net's and the Decathlon's test images, which mostly have no masks
CHANNEL = re.compile(r"(.+)_(\d{4})")  # nnU-Net: case_0000.nii.gz is the first channel of case.nii.gz
LAYOUTS = (
    "Wanted: images/ and masks/ (or labels/, imagesTr/ and labelsTr/) with files of the same names, flat or in a "
    "folder for each patient; or x.png beside x_mask.png (--mask_ending names another ending)."
)

Given = Mapping[str, Sequence[Mapping[str, str]]]  # part -> entries of MONAI Label's datalist


class Pair(NamedTuple):
    """An image and its mask: name (path without ending, as from the images' folder), a file per channel, the mask."""

    name: str
    images: list[Path]
    mask: Path


def find_pairs(folder: str | Path, mask_ending: str = "_mask") -> tuple[list[Pair], Problems, list[Path]]:
    """Images with masks below a folder: in folders that `folder_kind` knows, or masks by their names' ending.

    Args:
        folder: holds them, flat or in folders.
        mask_ending: how a mask's name ends that lies beside its image; in a folder of masks it may be left out.

    Returns:
        Pairs sorted by name; what does not pair; the images of test sets that are not used (imagesTs, labelsTs).

    Raises:
        DataError: the folder is missing, or holds no pair.
    """
    root, problems = existing_folder(folder), Problems()
    images, masks, unused = dict[str, Path](), dict[str, Path](), list[Path]()
    for path in list_images(root):
        *folders, name = path.relative_to(root).with_name(stem(path)).parts
        if {folder.lower() for folder in folders}.intersection(UNUSED):
            unused.append(path)
            continue
        place = next((i for i, folder in enumerate(folders) if folder_kind(folder)), None)
        by_ending = bool(mask_ending) and name.lower().endswith(mask_ending.lower())
        is_mask = by_ending or (place is not None and folder_kind(folders[place]) == "masks")
        if place is not None:
            del folders[place]
        key = "/".join([*folders, name[: -len(mask_ending)] if by_ending else name])
        found = masks if is_mask else images
        if key in found:
            problems.add(path, f"is a second {'mask' if is_mask else 'image'} beside {found[key]}")
        else:
            found[key] = path
    pairs = _paired(images, masks, problems)
    if not pairs:
        counts = f"{len(images)} image(s) and {len(masks)} mask(s) by their places and names"
        some = f", such as {first_few([*images.values(), *masks.values()], 2)}" if images or masks else ""
        raise DataError(f"{folder}: no image with a mask found ({counts}{some}). {LAYOUTS}")
    return pairs, problems, unused


def given_pairs(given: Given) -> tuple[dict[str, list[Pair]], Problems]:
    """The images and masks of lists, as MONAI Label gives them; files that are not there are noted.

    Args:
        given: part -> entries {"image": path, "label": path of its mask}. An image may be in two parts, which is for
            the caller to refuse.
    """
    root = Path(os.path.commonpath([Path(entry["image"]).parent for some in given.values() for entry in some]))
    problems, parts = Problems(), dict[str, list[Pair]]()
    for part, entries in given.items():
        files = [(Path(entry["image"]), Path(entry["label"])) for entry in entries]
        named = [(name_below(image, root), image, mask) for image, mask in files]
        parts[part] = named_pairs(named, f"in the list of {part}", problems)
    return parts, problems


def named_pairs(named: Iterable[tuple[str, Path, Path]], where: str, problems: Problems) -> list[Pair]:
    """Pairs that a list names, sorted by name; files that are not there and names that come twice are noted.

    Args:
        named: name, image and mask of each.
        where: the list, for the messages, such as "named in dataset.json".
        problems: gets what is wrong.
    """
    found: dict[str, Pair] = {}
    for name, image, mask in named:
        gone = [path for path in (image, mask) if not path.is_file()]
        for path in gone:
            problems.add(path, f"is {where}, and is not there")
        if name in found:
            problems.add(image, f"is twice {where}, or {found[name].images[0]} has its name")
        elif not gone:
            found[name] = Pair(name, [image], mask)
    return sorted(found.values())


def patient_of_given(name: str) -> str:
    """The patient of an image of a list: the folder that it lies in, unless it holds "images"; else the image itself.

    Example:
        >>> patient_of_given("train/images/p1/slice_1"), patient_of_given("train/images/a")
        ('train/images/p1', 'train/images/a')
    """
    folder, _, _ = name.rpartition("/")
    return folder if folder and not folder_kind(folder.rpartition("/")[2]) else name


def _paired(images: dict[str, Path], masks: dict[str, Path], problems: Problems) -> list[Pair]:
    channels: dict[str, list[Path]] = defaultdict(list)
    for key, path in sorted(images.items()):
        several = CHANNEL.fullmatch(key)
        name = several[1] if several and key not in masks and several[1] in masks else key
        if name in masks:
            channels[name].append(path)
        else:
            problems.add(path, "image without a mask")
    for key in sorted(masks.keys() - channels.keys()):
        problems.add(masks[key], "mask without an image")
    wanted = Counter(map(len, channels.values())).most_common(1)[0][0] if channels else 0
    for name, paths in channels.items():
        if len(paths) != wanted:
            shown = ", ".join(path.name for path in paths)
            problems.add(masks[name], f"has {len(paths)} image file(s) ({shown}), the others have {wanted}")
    return [Pair(name, paths, masks[name]) for name, paths in channels.items() if len(paths) == wanted]
