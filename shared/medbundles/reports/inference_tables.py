"""The tables of an inference: predictions.json and predictions.csv."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.atomic_files import write_json_atomic, write_text_atomic
from medbundles.data.reading.files import content_id
from medbundles.errors import ConfigError
from medbundles.reports.tables import csv_text

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
    """Rows of all inputs, written as predictions.json (everything) and predictions.csv.

    The CSV has a line per input, and below it one for each entry of its "slices". What a network does not give (a
    class, a mask) is left out of the JSON and empty in the CSV.

    Args:
        output: folder of the two files.
        fields: columns of the CSV; one that begins with "prob" becomes a column per class.
        class_names: names of the N classes.
        checkpoint: the weights' file; it is known again by a hash of its content, where the file is there.
        thresholds: name -> value of the thresholds that decide.
    """

    weights = ("checkpoint", "checkpoint_id", "class_names")

    def __init__(
        self,
        output: Path,
        fields: Sequence[str],
        class_names: list[str],
        checkpoint: str,
        thresholds: dict[str, float | None],
    ):
        self.output, self.fields, self.class_names, self.thresholds = output, fields, class_names, thresholds
        self.head: dict[str, Any] = {
            "checkpoint": checkpoint,
            "checkpoint_id": content_id(checkpoint) if checkpoint and Path(checkpoint).is_file() else "",
            "class_names": class_names,
            **thresholds,
        }
        self.rows: dict[str, dict[str, Any]] = {}

    def earlier_rows(self, keys: Sequence[str]) -> list[dict[str, Any]]:
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
        self.rows = {row["file"]: row for row in self.earlier_rows((*self.weights, *self.thresholds))}

    def add(self, row: dict[str, Any]) -> None:
        """Add an input's row."""
        self.rows[row["file"]] = row

    def save(self) -> None:
        """Write both files."""
        write_json_atomic(self.output / "predictions.json", {**self.head, "results": list(self.rows.values())})
        lines = []
        for row in self.rows.values():
            slices = ({**row, "kind": "slice", **part, "prob_max": None} for part in row.get("slices", []))
            for line in (row, *slices):
                values = {**self.head, **line}
                lines.append([cell for field in self.fields for cell in self._cells(field, values.get(field))])
        header = [column for field in self.fields for column in self._columns(field)]
        write_text_atomic(self.output / "predictions.csv", csv_text(header, lines))

    def _columns(self, field: str) -> list[str]:
        """The field, or its columns where it holds a number per class."""
        return [f"{field}_{name}" for name in self.class_names] if field.startswith("prob") else [field]

    def _cells(self, field: str, value: Any) -> list[Any]:
        return value if isinstance(value, list) else [value] * len(self._columns(field))
