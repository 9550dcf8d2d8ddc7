"""What the dataset.json of nnU-Net or of the Medical Segmentation Decathlon says of the files beside it."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medbundles.data.lists.pairs import Pair
from medbundles.data.problems import Problems
from medbundles.data.reading.files import name_below
from medbundles.errors import DataError

FILE, IGNORED = "dataset.json", "ignore"


@dataclass(frozen=True)
class DatasetJson:
    """The entries that are used; empty where there is no file, or no such entry.

    Args:
        labels: value in a mask -> what it means; those of regions have no meaning of their own.
        regions: name -> labels that it consists of, as nnU-Net has them; the label that stands for the region in a map
            of labels, by regions_class_order, comes first.
        modalities: of the channels in their order, such as ["MRI"].
        training: the Decathlon's list of (image, mask), relative to the file.
    """

    labels: dict[int, str] = field(default_factory=dict)
    regions: dict[str, list[int]] = field(default_factory=dict)
    modalities: list[str] = field(default_factory=list)
    training: list[tuple[str, str]] = field(default_factory=list)


def read_dataset_json(folder: str | Path) -> DatasetJson:
    """What the dataset.json in a folder says; an empty one where there is none.

    Both forms of "labels" are read, {"1": "liver"} of the Decathlon and {"liver": 1} of nnU-Net v2, "modality" of the
    former and "channel_names" of the latter.

    Raises:
        DataError: the file is broken.
    """
    file = Path(folder) / FILE
    if not file.is_file():
        return DatasetJson()
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        pairs = [(key, value) if str(key).isdigit() else (value, key) for key, value in content["labels"].items()]
        labels, regions = _classes_and_regions(pairs, content.get("regions_class_order"))
        channels: dict[str, Any] = content.get("channel_names", content.get("modality", {}))
        modalities = [str(channels[key]) for key in sorted(channels, key=int)]
        training = [(entry["image"], entry["label"]) for entry in content.get("training", [])]
        return DatasetJson(labels, regions, modalities, training)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file}: cannot be read as a dataset.json ({type(error).__name__}: {error})") from error


def _classes_and_regions(
    pairs: list[tuple[Any, str]], order: list[int] | None
) -> tuple[dict[int, str], dict[str, list[int]]]:
    """Value -> name of classes; and name -> labels of regions, where an entry has several labels: then all are regions
    but the background (0) and what is ignored."""
    each = {str(name): [int(n) for n in (value if isinstance(value, list) else [value])] for value, name in pairs}
    if all(len(values) == 1 for values in each.values()):
        return {int(values[0]): name for name, values in each.items()}, {}
    plain = {name: values for name, values in each.items() if values == [0] or name == IGNORED}
    regions = {name: values for name, values in each.items() if name not in plain}
    for name, first in zip(regions, order or [values[0] for values in regions.values()], strict=True):
        if first not in regions[name]:
            raise ValueError(f"regions_class_order: {first} is no label of {name}")
        regions[name] = [first, *(value for value in regions[name] if value != first)]
    return {values[0]: name for name, values in plain.items()}, regions


def listed_pairs(folder: str | Path, training: list[tuple[str, str]]) -> tuple[list[Pair], Problems]:
    """The images and masks that a dataset.json lists, sorted by name; files that are not there are noted."""
    root, problems, found = Path(folder), Problems(), dict[str, Pair]()
    for image, mask in ((root / image, root / mask) for image, mask in training):
        gone = [path for path in (image, mask) if not path.is_file()]
        name = name_below(image, root)
        name = name.partition("/")[2] or name
        for path in gone:
            problems.add(path, f"is named in {root / FILE}, and is not there")
        if name in found:
            problems.add(image, f"is named twice in {root / FILE}")
        elif not gone:
            found[name] = Pair(name, [image], mask)
    return sorted(found.values()), problems
