"""predictions.csv: what an evaluation found of each case, written and read."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.atomic_files import write_text_atomic
from medbundles.metrics.scores import CASE_SCORES
from medbundles.reports.tables import csv_text

PER_CLASS = ("prob", "logistic")
ITEM = ("name", "patient", "source", "file")


def write_predictions(
    path: Path, columns: Mapping[str, np.ndarray], class_names: Sequence[str], channel_names: Sequence[str]
) -> None:
    """Write those of the columns that say what was found; a score that a case does not have is left empty."""
    table: dict[str, Sequence[Any]] = {}
    for name in (*ITEM, "has_mask", "label", "predicted", "prob", "constant", "logistic", *CASE_SCORES):
        values = columns.get(name, np.empty(0))
        if values.ndim == 2:
            parts = class_names if name in PER_CLASS else channel_names
            table |= {f"{name}_{part}": part_values for part, part_values in zip(parts, values.T.tolist(), strict=True)}
        elif name in columns:
            table[name] = values.tolist()
    write_text_atomic(path, csv_text(list(table), zip(*table.values(), strict=True)))


def read_predictions(path: Path, class_names: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """The columns of a predictions.csv, sorted by source and name: text, whole numbers, and prob and
    logistic (n, N), constant and scores as floats, NaN where the cell is empty. Classes may stand there by name."""
    with open(path, encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    lines.sort(key=lambda line: (line.get("source", ""), line["name"]))
    columns: dict[str, np.ndarray] = {}
    for name in lines[0] if lines else ():
        cells = [line[name] for line in lines]
        if name in (*ITEM, "has_mask"):
            columns[name] = np.array([cell == "True" for cell in cells]) if name == "has_mask" else np.array(cells)
        elif name in ("label", "predicted"):
            columns[name] = np.array([class_names.index(cell) if cell in class_names else int(cell) for cell in cells])
        else:
            columns[name] = np.array([float(cell) if cell else np.nan for cell in cells])
    for several in PER_CLASS:
        parts = [columns.pop(name) for name in list(columns) if name.startswith(f"{several}_")]
        columns |= {several: np.stack(parts, axis=1)} if parts else {}
    return columns


def with_channels(columns: Mapping[str, np.ndarray], channels: Sequence[str]) -> dict[str, np.ndarray]:
    """The columns of a predictions.csv, and those of a score's channels, dice_<channel> ..., as one (n, K)."""
    found = dict(columns)
    for name in CASE_SCORES:
        each = [columns[f"{name}_{channel}"] for channel in channels if f"{name}_{channel}" in columns]
        found |= {name: np.stack(each, axis=1)} if each else {}
    return found
