"""The configs of an exported bundle: they hold the values that the weights belong to, and need no other file."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medbundles.errors import ConfigError
from medbundles.preflight.workflow import is_reference
from medbundles.runs.trained import MEASURED

from ..bundle import read_config

COMPLETE = ("train", "inference")  # files that hosts load alone
NO_OVERLAYS = (*COMPLETE, "metadata", "schema")
# what needs a file that cannot come along -> the value without it, and what to say
LEFT_OFF: dict[str, tuple[Any, str]] = {
    "perceptual_weight": (0.0, "the perceptual loss is off: its network's weights are another's, and a large file"),
    "pretrained_path": (None, "no pretrained weights are started from: their file is another's"),
    "init_from": (None, "training starts from new weights: those of the earlier run do not come along"),
}


@dataclass
class Configs:
    """Configs by the name of their file without its ending, and what was changed, a sentence each."""

    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)


def baked(folder: Path, trained: Mapping[str, Any]) -> Configs:
    """The configs of a bundle for a model.

    train.json and inference.json get the settings that the weights depend on as literal values. What each training
    measures for itself (thresholds, what its images are like) stays "auto" in train.json, so that a further training
    does not take over what was measured of this one; evaluation takes it from the weights. Overlays that set one of the
    settings to another value stay behind: they were written for the settings that the bundle had.

    Args:
        folder: the bundle.
        trained: id -> value.

    Raises:
        ConfigError: a config cannot be read, or has not all of the settings.
    """
    made = Configs()
    for name in COMPLETE:
        config = read_config(folder, name)
        measured = MEASURED if name == "train" else ()
        for id_, value in trained.items():
            if not (measured and id_.endswith(measured)):
                _set(config, id_.split("#"), value, f"configs/{name}.json")
        made.files[name] = config
    names = sorted(path.stem for path in (folder / "configs").glob("*.json"))
    overlays = {name: read_config(folder, name) for name in names if name not in NO_OVERLAYS}
    others = [name for name in overlays if any(trained.get(id_, v) != v for id_, v in overlays[name].items())]
    made.files |= {name: overlay for name, overlay in overlays.items() if name not in others}
    if others:
        made.said.append(
            f"not in the export, because they are for other settings than those of the weights: {', '.join(others)} "
            "(of configs/)"
        )
    for name, config in made.files.items():
        for id_, (off, why) in LEFT_OFF.items():
            value = config.get(id_, off)
            if value not in (off, False) and not is_reference(value):  # a reference names a run made in this bundle
                config[id_] = off
                made.said.append(f"configs/{name}.json: {why} ({id_} is {off!r})")
    return made


def _set(config: dict[str, Any], parts: Sequence[str], value: Any, file: str) -> None:
    *groups, last = parts
    place: Any = config
    for part in groups:
        place = place.get(part) if isinstance(place, dict) else None
    if not isinstance(place, dict) or last not in place:
        raise ConfigError(f"{file}: has no setting {'#'.join(parts)}, which the weights depend on")
    place[last] = copy.deepcopy(value)
