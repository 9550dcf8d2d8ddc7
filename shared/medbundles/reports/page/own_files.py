"""Files of a run, which may be broken, of someone else, or links to what is no part of the run."""

import csv
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.errors import DataError
from medbundles.json_files import read_json
from medbundles.reports.predictions_table import ITEM, read_predictions

TEXT, NUMBER, MAYBE = {"type": "string"}, {"type": "number"}, {"type": ["number", "null"]}
WORDS = {"type": "array", "items": TEXT}
MEASURE = {
    "type": "object", "required": ["value", "low", "high"],
    "properties": {"value": MAYBE, "low": MAYBE, "high": MAYBE, "reason": TEXT},
}  # fmt: skip
METRICS = {"type": "object", "additionalProperties": MEASURE}
ERRORS = {
    "type": "array",
    "items": {
        "type": "object", "required": ["name", "patient", "true", "predicted", "prob"],
        "properties": {"prob": {"type": "array", "items": NUMBER}},
    },
}  # fmt: skip
ENTRY = {"type": "object", "required": ["value", "default"]}
SCORED = {
    "class_names": WORDS, "channel_names": WORDS, "errors": ERRORS, "against_baselines": WORDS,
    "meaning": {"type": "object", "additionalProperties": TEXT},
    "by_source": {"type": "object", "additionalProperties": METRICS},
    "n_images": {"type": "integer"}, "n_patients": {"type": "integer"}, "n_cases": {"type": "integer"},
    "class_threshold": MAYBE, "mean_over": WORDS, "trained_with": {"type": "object", "additionalProperties": ENTRY},
}  # fmt: skip
# what the page needs of each kind of file, as JSON Schema
SHAPES: dict[str, dict[str, Any]] = {
    "scores": {"type": "object", "required": ["metrics"], "properties": {"metrics": METRICS, **SCORED}},
    "environment": {
        "type": "object",
        "properties": {
            "command": WORDS, "bundle": TEXT, "folder": TEXT, "versions": {"type": "object"},
            "changed": {"type": "object", "additionalProperties": ENTRY}, "system": TEXT, "python": TEXT,
        },
    },
    "history": {
        "type": "object", "required": ["epochs", "summary"],
        "properties": {
            "epochs": {"type": "array", "items": {
                "type": "object", "required": ["epoch"], "properties": {"epoch": NUMBER}, "additionalProperties": MAYBE,
            }},
            "summary": {"type": "object", "required": ["epochs"], "properties": {
                "monitor": TEXT, "best_epoch": MAYBE, "best_value": MAYBE, "seconds": NUMBER,
                "seconds_per_epoch": MAYBE, "most_memory": MAYBE, "most_gpu_memory": MAYBE,
            }},
            "hints": WORDS,
        },
    },
    "split": {
        "type": "object", "required": ["parts"],
        "properties": {"parts": {"type": "object", "additionalProperties": {"type": "array", "items": {
            "type": "object", "required": ["patient", "source"], "properties": {"patient": TEXT, "source": TEXT},
        }}}},
    },
    "names": {"type": "array", "items": TEXT},
    "config": {"type": "object"},
    "kfold": {
        "type": "object", "required": ["out_of_fold", "folds"],
        "properties": {
            "out_of_fold": METRICS, "command": TEXT, "settings": {"type": "object"}, **SCORED,
            "folds": {"type": "object", "minProperties": 1,
                      "additionalProperties": {"type": "object", "additionalProperties": MAYBE}},
            "over_folds": {"type": "object", "additionalProperties": {
                "type": "object", "required": ["mean", "low", "high"],
                "properties": {"mean": MAYBE, "low": MAYBE, "high": MAYBE}}},
        },
    },
}  # fmt: skip
ADVICE = "Was it changed, or written by something else? The page is made of files as a run leaves them."


def own(path: Path, folder: Path) -> bool:
    """Whether a file of the run is there.

    Raises:
        DataError: it is there, but a link out of the folder, or no file.
    """
    if not path.exists() and not path.is_symlink():
        return False
    if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
        return True
    raise DataError(f"{path}: is no file of the run {folder}, but a link out of it or no file at all. {ADVICE}")


def read_object(path: Path, folder: Path, shape: str) -> Any:
    """What a JSON file of the run holds.

    Args:
        path: the file.
        folder: the run's.
        shape: which of `SHAPES` it must have.

    Raises:
        DataError: it is no file of the run, no JSON, or of another shape; says where and what.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    own(path, folder)
    content = read_json(path, DataError, (), ADVICE) if shape != "names" else _list(path)
    wrong = best_match(Draft202012Validator(SHAPES[shape]).iter_errors(content))
    if wrong is not None:
        place = "#".join(map(str, wrong.absolute_path))
        raise DataError(f"{path}: {place and f'{place}: '}{wrong.message[:200]}. {ADVICE}")
    return content


def _list(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise DataError(f"{path}: cannot be read as JSON ({cause}). {ADVICE}") from cause


@functools.lru_cache(maxsize=1)
def _table(path: Path, changed: int, class_names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Read once for both parts of a run."""
    return read_predictions(path, class_names)


def predictions_in(path: Path, folder: Path, about: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The columns of a table of predictions; empty where there is no such file.

    Raises:
        DataError: it is no file of the run, no such table, or of other classes than the scores.
    """
    if not own(path, folder):
        return {}
    names = tuple(about.get("class_names", ()))
    try:
        columns = dict(_table(path, path.stat().st_mtime_ns, names))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as cause:
        raise DataError(f"{path}: is no table of predictions ({type(cause).__name__}: {cause}). {ADVICE}") from cause
    lacking = [name for name in ITEM[:2] if columns and name not in columns]
    if lacking:
        raise DataError(f"{path}: lacks the column {lacking[0]!r}. {ADVICE}")
    if "prob" in columns:
        without = [name for name in ("label", "predicted") if name not in columns]
        if without:
            raise DataError(f"{path}: lacks the column {without[0]!r}. {ADVICE}")
        if columns["prob"].shape[1] != len(names) or not np.isfinite(columns["prob"]).all():
            raise DataError(f"{path}: must have a probability of each of the classes {', '.join(names)}. {ADVICE}")
        if max(columns["label"].max(), columns["predicted"].max()) >= len(names):
            raise DataError(f"{path}: has a class beyond {', '.join(names)}. {ADVICE}")
    return columns
