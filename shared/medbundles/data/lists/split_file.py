"""A split as it is kept with a run: which picture is in which part, and by what copies of it are known."""

import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from medbundles.data.lists.near_identical import Pair, table_of
from medbundles.data.reading.checkpoint_files import Checkpoint, checkpoint_files
from medbundles.data.reading.files import content_id, paths_of
from medbundles.data.reading.thumbnails import unpacked
from medbundles.errors import CheckpointError, DataError, first_few
from medbundles.json_files import read_json

logger = logging.getLogger("medbundles")
ROW = ("name", "patient", "source", "image")
TRAINED = ("train", "val")
FILE = "split.json"

SplitFiles = str | Path | Sequence[str | Path]  # several of an ensemble


def split_record(
    parts: Mapping[str, Sequence[dict]],
    pairs: Sequence[Pair] = (),
    thumbnails: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """What a split's file holds.

    Returns:
        "parts": part -> one dict per image with name, patient, source, image (absolute path, or a list of them) and
        thumbnail (text), or of volumes content (a list, see `content_id`);
        "near_identical": the table of pairs.
    """

    def row(item: dict) -> dict[str, Any]:
        paths, small = paths_of(item["image"]), thumbnails.get(str(item["image"]))
        known = {"thumbnail": small} if small is not None else {"content": [content_id(p) for p in paths]}
        places = [os.path.abspath(path) for path in paths]
        return {key: item[key] for key in ROW} | {"image": places[0] if len(places) == 1 else places} | known

    return {
        "parts": {part: [row(item) for item in items] for part, items in parts.items()},
        "near_identical": table_of(pairs),
    }


class SplitRecord:
    """Keeps which cases a run trains on and which choose its epoch, so that an evaluation can be held against it.

    Args:
        data: part -> datalist.
        run_dir: the run directory, in which config/split.json is kept (`records` of `medbundles.handlers.Run`).
    """

    def __init__(self, data: Any, run_dir: Any):
        self.data, self.run_dir = data, run_dir

    def record(self) -> tuple[Path, dict[str, Any]]:
        """The file and what belongs in it: asked by one process when a run starts (see `handlers.Run`)."""
        return self.run_dir.folder("config") / FILE, split_record({part: self.data[part] for part in TRAINED})


def split_of(checkpoint: Checkpoint, given: str | Path | bool | None = None) -> str | list[str] | None:
    """The split's file of the training that weights come from, so that no picture of it is tested; those of all members
    of an ensemble.

    Args:
        checkpoint: see `config_of`.
        given: another file instead, if any.

    Returns:
        None where there is no such file (any more), which is said.
    """
    if given:
        return str(given)
    found = {file: _config_of(file, FILE) for file in checkpoint_files(checkpoint)}
    for file, split in found.items():
        if split is None and file.is_file():
            logger.warning(
                "What %s was trained on is not known (its run's config/split.json is not there), so nothing keeps "
                "images of its training out of the test; --earlier_split FILE names it.", file,
            )  # fmt: skip
    return _one_or_several(found)


def config_of(checkpoint: Checkpoint, name: str) -> str | list[str] | None:
    """A file in the config folder of the training that weights come from; None where there is none (any more). Of an
    ensemble those that there are.

    Args:
        checkpoint: best.pt and the like in a run directory, or a published model.pt with model.json beside it; see
            `checkpoint_files`.
        name: of the file, such as "split.json".

    Raises:
        CheckpointError: a broken model.json.
    """
    return _one_or_several({file: _config_of(file, name) for file in checkpoint_files(checkpoint)})


def _one_or_several(found: Mapping[Path, str | None]) -> str | list[str] | None:
    there = list(dict.fromkeys(file for file in found.values() if file))
    return there if len(there) > 1 else next(iter(there), None)


def _config_of(checkpoint: Path, name: str) -> str | None:
    runs, about = [checkpoint.resolve().parent.parent], checkpoint.with_name("model.json")
    if about.is_file():
        advice = "It says which run the weights come from; publish again, or give --earlier_split FILE."
        run = read_json(about, CheckpointError, (), advice).get("run_directory")
        runs += [Path(run)] if run else []  # those of 0.1.0 have none
    return next((str(run / "config" / name) for run in runs if (run / "config" / name).is_file()), None)


def read_splits(files: SplitFiles) -> tuple[dict[str, list[dict]], dict[str, str]]:
    """What `read_split` gives of a file, or of several together: what any of them trains on is in "train", what chose
    the epoch of any in "val"."""
    parts: dict[str, dict[str, dict]] = {part: {} for part in TRAINED}
    thumbnails: dict[str, str] = {}
    for file in [files] if isinstance(files, (str, Path)) else files:
        rows, small = read_split(file)
        thumbnails |= small
        for part in TRAINED:
            parts[part] |= {str(row["image"]): row for row in rows[part]}
    return {part: list(rows.values()) for part, rows in parts.items()}, thumbnails


def say_other_test(file: str | Path, items: Iterable[dict], tested: Iterable[dict]) -> None:
    """Warn where the test part is not the one that a training held back of the same images.

    Args:
        file: that training's split.
        items: all images that there are.
        tested: those that are tested.
    """
    rows = read_json(Path(file), DataError, ("parts",), "Name the config/split.json of a run.")["parts"].get("test", ())
    held = {row["name"] for row in rows} & {item["name"] for item in items}
    here = {item["name"] for item in tested}
    if held and held != here:
        logger.warning(
            "test part: the training held back %d of these images (%s), of which %d are tested here, and %d others; "
            "give the settings of the split that the training had, if that is not meant.",
            len(held), file, len(held & here), len(here - held),
        )  # fmt: skip


def named_splits(files: SplitFiles) -> str:
    """Their paths, for messages."""
    return str(files) if isinstance(files, (str, Path)) else first_few(map(str, files), 3)


def read_split(file: str | Path) -> tuple[dict[str, list[dict]], dict[str, str]]:
    """Items of the parts "train" and "val" in a split's file, and path -> thumbnail; the images may be gone.

    Raises:
        DataError: the file is missing, or no file of a split.
    """
    try:
        parts = json.loads(Path(file).read_text(encoding="utf-8"))["parts"]
        rows = {part: [{key: row[key] for key in ROW} | row for row in parts[part]] for part in TRAINED}
        thumbnails = {
            row["image"]: row.pop("thumbnail") for some in rows.values() for row in some if "thumbnail" in row
        }
        for text in thumbnails.values():
            unpacked(text)  # raises what is said below where it is no thumbnail
        return rows, thumbnails
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{file}: is no file of a split ({type(error).__name__}: {error}); "
            "name the config/split.json of a run, which its training has written."
        ) from error
