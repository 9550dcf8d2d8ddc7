"""The settings of several weights that are used together: what they must have in common, and what is averaged."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from medbundles.errors import CheckpointError
from medbundles.rules import AUTO
from medbundles.transforms.image_ranges import NAME, union_of

logger = logging.getLogger("medbundles")
ALIKE = 0.05  # by which what a training measures may differ between the members of an ensemble
MEASURED = ("spacing", "ct_values")  # see `medbundles.data.measured_settings`


def common_settings(members: Mapping[Path, Mapping[str, Any]]) -> dict[str, Any]:
    """The settings of an ensemble's members together, by id; those of a single one as they are.

    What the images are turned into and the networks' architecture must be equal. Of what each training has measured
    and is nearly the same (see `alike`) the mean counts, which is logged; so does the mean of the decision thresholds
    of those that have one: the probability of a case that lies on the threshold of each. What the training's images
    were like is that of all together.

    Args:
        members: file of weights -> the settings that they were trained with, empty where that is not known.

    Raises:
        CheckpointError: they differ in others; all are named, with the files.
    """
    found, wrong = dict[str, Any](), list[str]()
    plain = {file: json.loads(json.dumps(settings, default=str)) for file, settings in members.items()}
    for name in dict.fromkeys(name for settings in plain.values() for name in settings):
        each = {file: settings[name] for file, settings in plain.items() if settings.get(name, AUTO) != AUTO}
        values = list(each.values())
        if all(value == values[0] for value in values):
            found[name] = values[0] if values else AUTO
        elif name.endswith("_threshold"):
            found[name] = _mean_threshold(values, in_log_odds=name.endswith("_logit_threshold"))
        elif name == NAME:
            found[name] = union_of(values)
        elif all(alike(name, value, values[0]) for value in values):
            found[name] = np.mean(values, axis=0).round(4).tolist()
            logger.info("%s: the mean, %s, of %s.", name, found[name], _said(each))
        else:
            wrong.append(f"{name} is {_said(each)}" + (f" (give the trainings one --{name})" * (name in MEASURED)))
    if wrong:
        raise CheckpointError(
            f"checkpoint: these weights are no ensemble, as they were trained with other settings: {'; '.join(wrong)}."
        )
    return found


def alike(name: str, one: Any, other: Any) -> bool:
    """Whether two trainings have measured nearly the same: a spacing within 5 % on each axis, values of CT within 5 %
    of the range to which they are clipped; False of any other setting."""
    if name not in MEASURED or not (isinstance(one, list) and isinstance(other, list) and len(one) == len(other)):
        return False
    first, second = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    scale = np.abs(second) if name == "spacing" else second[1] - second[0]
    return bool((np.abs(first - second) <= ALIKE * scale).all())


def _mean_threshold(values: Sequence[float], in_log_odds: bool) -> float:
    thresholds = np.asarray(values, dtype=float)
    if not in_log_odds:
        return float(thresholds.mean())
    return float(np.log(expit(thresholds).mean()) - np.log(expit(-thresholds).mean()))


def _said(each: Mapping[Path, Any]) -> str:
    """Each value once, with the first file that has it."""
    first: dict[str, Path] = {}
    for file, value in each.items():
        first.setdefault(json.dumps(value), file)
    return ", ".join(f"{value} in {file}" for value, file in first.items())
