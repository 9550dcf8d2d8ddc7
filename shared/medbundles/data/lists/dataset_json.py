"""What the dataset.json of nnU-Net or of the Medical Segmentation Decathlon says of the files beside it."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medbundles.data.lists.pairs import Pair, named_pairs
from medbundles.data.problems import Problems
from medbundles.data.reading.files import name_below
from medbundles.errors import DataError

FILE, IGNORED = "dataset.json", "ignore"
_NUMBER = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\d+$"}]}
_NAMES = {"type": "object", "propertyNames": {"pattern": r"^\d+$"}, "additionalProperties": {"type": "string"}}
_PAIR = {
    "type": "object",
    "required": ["image", "label"],
    "properties": {"image": {"type": "string"}, "label": {"type": "string"}},
}
WANTED = {  # entry -> what it may be, and an example
    "labels": (
        {
            "type": "object",
            "patternProperties": {
                r"^\d+$": {"type": "string"},
                r"\D": {"anyOf": [_NUMBER, {"type": "array", "items": _NUMBER, "minItems": 1}]},
            },
        },
        '{"0": "background", "1": "liver"} or {"background": 0, "liver": 1}',
    ),
    "regions_class_order": ({"type": "array", "items": _NUMBER}, "[1, 2, 3]"),
    "modality": (_NAMES, '{"0": "MRI"}'),
    "channel_names": (_NAMES, '{"0": "MRI"}'),
    "training": (
        {"type": "array", "items": _PAIR},
        '[{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}]',
    ),
}


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
        content = _checked(json.loads(file.read_text(encoding="utf-8-sig")), file)
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
    for name, first in zip(regions, map(int, order or [values[0] for values in regions.values()]), strict=True):
        if first not in regions[name]:
            raise ValueError(f"regions_class_order: {first} is no label of {name}")
        regions[name] = [first, *(value for value in regions[name] if value != first)]
    return {values[0]: name for name, values in plain.items()}, regions


def _checked(content: Any, file: Path) -> dict[str, Any]:
    """The content of a file, if its entries are what they may be.

    Raises:
        DataError: they are not; all of them are named.
    """
    from jsonschema import Draft202012Validator

    if not isinstance(content, dict) or "labels" not in content:
        raise DataError(f'{file}: has no "labels"; wanted: "labels": {WANTED["labels"][1]}')
    wrong = []
    for name, (schema, example) in WANTED.items():
        for error in Draft202012Validator(schema).iter_errors(content[name]) if name in content else ():
            wrong.append(f"  {'/'.join(map(str, (name, *error.path)))}: {error.message[:200]}; wanted: {example}")
    if wrong:
        raise DataError("\n".join([f"{file}: cannot be read as a dataset.json:", *wrong[:10]]))
    return content


def _stays_inside(path: Path, root: Path) -> bool:
    """Whether a path, as it is written, does not leave a folder."""
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(root))


def listed_pairs(folder: str | Path, training: list[tuple[str, str]]) -> tuple[list[Pair], Problems]:
    """The images and masks that a dataset.json lists, sorted by name; missing or foreign files are noted."""
    root, problems, named = Path(folder), Problems(), list[tuple[str, Path, Path]]()
    for image, mask in ((root / image, root / mask) for image, mask in training):
        if outside := [path for path in (image, mask) if not _stays_inside(path, root)]:
            for path in outside:
                problems.add(path, f"is named in {root / FILE}, and is not below its folder; files must lie there")
            continue
        name = name_below(image, root)
        named.append((name.partition("/")[2] or name, image, mask))
    return named_pairs(named, f"named in {root / FILE}", problems), problems
