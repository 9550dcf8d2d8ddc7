"""The tables of an inference: predictions.json and predictions.csv."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.atomic_files import write_json_atomic, write_text_atomic
from medbundles.data.reading.files import content_id
from medbundles.errors import ConfigError

TOP = 3
RULE = (
    f"prob of a volume: mean over its {TOP} slices with the highest probability, each class for itself; with two "
    "classes the first one is 1 minus the second. prob_max: the highest of any slice. Empty slices (one value only) "
    "have no probability. The class follows from prob."
)


def class_of(prob: Sequence[float], class_threshold: float) -> int:
    """The class: with two, the second one from the threshold on; with more, the most probable."""
    if len(prob) == 2:
        return int(prob[1] >= class_threshold)
    return int(np.argmax(prob))


def volume_probability(prob: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    """Probabilities of a volume from those of its slices, (Z, N) -> mean of the highest three (N,), highest (N,).

    The highest of many slices alone is high by chance; a lesion is seen in more than one.
    """
    table = np.sort(np.asarray(prob, dtype=float), axis=0)[::-1]
    top, highest = table[:TOP].mean(axis=0), table[0].copy()
    if table.shape[1] == 2:
        top[0], highest[0] = 1 - top[1], 1 - highest[1]
    return top.tolist(), highest.tolist()


class ResultTables:
    """Rows of all inputs, written as predictions.json (everything) and predictions.csv (a line per input).

    Args:
        output: folder of the two files.
        class_names: names of the N classes.
        checkpoint: the weights' file; its content is told by a hash where the file is there.
        class_threshold: probability from which the second of two classes is chosen.
    """

    fields: tuple[str, ...] = ("file", "name", "grade", "prob", "class_threshold", "checkpoint", "grad_cam")
    chosen = "grade"  # key of a row that names its class
    weights: tuple[str, ...] = ("checkpoint", "checkpoint_id", "class_names")
    thresholds: tuple[str, ...] = ("class_threshold",)

    def __init__(self, output: Path, class_names: list[str], checkpoint: str, class_threshold: float):
        self.output, self.class_names, self.class_threshold = output, class_names, class_threshold
        self.head: dict[str, Any] = {
            "checkpoint": checkpoint,
            "checkpoint_id": content_id(checkpoint) if checkpoint and Path(checkpoint).is_file() else "",
            "class_names": class_names,
            "class_threshold": class_threshold if len(class_names) == 2 else None,
        }
        self.rows: dict[str, dict[str, Any]] = {}

    def check_earlier(self, keys: Sequence[str]) -> list[dict[str, Any]]:
        """The rows of an earlier run in the same folder, which agrees with this one in `keys`.

        Raises:
            ConfigError: it does not.
        """
        path = self.output / "predictions.json"
        if not path.is_file():
            return []
        earlier = json.loads(path.read_text(encoding="utf-8"))
        now = json.loads(json.dumps(self.head))
        for key in keys:
            if earlier.get(key) != now[key]:
                raise ConfigError(
                    f"existing 'skip': the results in {self.output} were made with {key} {earlier.get(key)!r}, now it "
                    f"is {now[key]!r}. Give another output folder, or existing 'overwrite'."
                )
        return earlier["results"]

    def keep_earlier(self) -> None:
        """Take over the rows of an earlier run that is gone on with.

        Raises:
            ConfigError: it used other weights or thresholds.
        """
        self.rows = {row["file"]: row for row in self.check_earlier((*self.weights, *self.thresholds))}

    def add(self, row: dict[str, Any]) -> None:
        """Add an input's row; "prob" (N,) may be None."""
        self.rows[row["file"]] = row

    def count(self) -> dict[str, int]:
        """Inputs per class."""
        return dict(Counter(row[self.chosen] for row in self.rows.values()))

    def lines(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """The lines of the CSV that a row gives."""
        return [row]

    def save(self) -> None:
        """Write both files."""
        write_json_atomic(self.output / "predictions.json", {**self.head, "results": list(self.rows.values())})
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([column for field in self.fields for column in self._columns(field)])
        for row in self.rows.values():
            for line in self.lines(row):
                values = {**self.head, **line}
                writer.writerow([cell for field in self.fields for cell in self._cells(field, values.get(field))])
        write_text_atomic(self.output / "predictions.csv", text.getvalue())

    def _columns(self, field: str) -> list[str]:
        """The field, or its columns where it holds a number per class."""
        return [f"{field}_{name}" for name in self.class_names] if field.startswith("prob") else [field]

    def _cells(self, field: str, value: Any) -> list[Any]:
        if field.startswith("prob"):
            return [""] * len(self.class_names) if value is None else list(value)
        return ["" if value is None else value]


class PredictionTables(ResultTables):
    """`ResultTables` of masks and classes, with a line per picture, volume and slice.

    Args:
        output: folder of the two files.
        class_names: names of the N classes.
        checkpoint: the weights' file.
        mask_threshold: probability from which a pixel is tumour.
        class_threshold: probability from which the second of two classes is chosen.
    """

    fields = (
        "file", "name", "kind", "slice", "class", "prob", "prob_max", "mask_area", "mask_area_unit", "mask",
        "overlay", "grad_cam", "mask_threshold", "class_threshold", "checkpoint",
    )  # fmt: skip
    chosen = "class"
    thresholds = ("mask_threshold", "class_threshold")

    def __init__(
        self, output: Path, class_names: list[str], checkpoint: str, mask_threshold: float, class_threshold: float
    ):
        super().__init__(output, class_names, checkpoint, class_threshold)
        self.head |= {"mask_threshold": mask_threshold, "rule_for_volumes": RULE}

    def lines(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """The row, then its slices."""
        return [row, *({**row, "kind": "slice", **part, "prob_max": None} for part in row.get("slices", []))]
