"""Lists of files that a host such as MONAI Label puts in the place of a bundle's own datalists."""

import inspect
import os
from pathlib import Path
from pydoc import locate
from typing import Any

from monai.bundle import ConfigParser

from medbundles.errors import ConfigError

PARTS = {"train": "train::dataset::data", "val": "validate::dataset::data"}
EPOCHS, HANDLERS = "train::trainer::max_epochs", "train::handlers"
GIVEN = "given"  # id of the lists in the config of the run
WANTED = '[{"image": "/data/a.nii.gz", "label": "/data/a_mask.nii.gz"}, ...]'


def take_lists(parser: ConfigParser) -> bool:
    """Give lists of files, as MONAI Label has them, to the component that makes the sets, and epochs to `epochs`.

    So files and masks are checked, settings measured and copies found as in any other training, the schedule has the
    right length, and the run's config.json holds the lists. A CheckpointLoader that MONAI Label puts before the
    handlers becomes `init_from`, which looks whether the weights fit, and says so in the run's log.

    Returns:
        Whether there are lists.

    Raises:
        ConfigError: the bundle takes none, one of the two is missing or empty, or an entry is not what it must be.
    """
    if isinstance(_given(parser, EPOCHS), int):
        parser["epochs"], parser[EPOCHS] = parser[EPOCHS], "@epochs"
    first, *others = _given(parser, HANDLERS) or [None]
    if isinstance(first, dict) and first.get("_target_") == "CheckpointLoader":
        parser[HANDLERS], parser["init_from"] = others, first["load_path"]
    lists = {part: some for part, key in PARTS.items() if isinstance(some := _given(parser, key), (list, tuple))}
    if not lists:
        return False
    data: dict[str, Any] = parser["data"]
    if GIVEN not in inspect.signature(locate(data["_target_"])).parameters:  # type: ignore[arg-type]
        raise ConfigError(f"{_shown('train')}: this bundle takes no lists of images with masks; give --dataset_dir.")
    for part in PARTS:
        if not lists.get(part):
            raise ConfigError(
                f"{_shown(part)}: no list is given, or an empty one; training and validation both need one, such as "
                f"{WANTED} (in MONAI Label val_split must be above 0)."
            )
        for number, entry in enumerate(lists[part]):
            if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("image", "label")):
                raise ConfigError(f"{_shown(part)}#{number}: is {str(entry)[:100]}; wanted: {WANTED}.")
    parser["dataset_dir"] = common_folder(entry["image"] for some in lists.values() for entry in some)
    parser[GIVEN] = {part: list(some) for part, some in lists.items()}
    parser["data"] = {key: value for key, value in data.items() if key not in (*PARTS, "test")} | {GIVEN: f"@{GIVEN}"}
    for part, key in PARTS.items():
        parser[key] = f"$@data['{part}']"
    return True


def common_folder(paths: Any) -> str:
    """The innermost folder that holds all of the files."""
    return os.path.commonpath([Path(path).parent for path in paths])


def _given(parser: ConfigParser, key: str) -> Any:
    return parser.get(key) if key in parser else None  # a group above it may have been replaced by a value


def _shown(part: str) -> str:
    return PARTS[part].replace("::", "#")
