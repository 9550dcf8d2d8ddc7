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

from medbundles.errors import ConfigError
from medbundles.runs.files import write_json_atomic, write_text_atomic

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


class PredictionTables:
    """Rows of all inputs, written as JSON (everything, with the rules) and CSV (a line per picture, volume and slice).

    Args:
        output: folder of the two files.
        class_names: names of the N classes.
        checkpoint: the weights' file.
        mask_threshold: probability from which a pixel is tumour.
        class_threshold: probability from which the second of two classes is chosen.
    """

    def __init__(
        self, output: Path, class_names: list[str], checkpoint: str, mask_threshold: float, class_threshold: float
    ):
        self.output, self.class_names, self.class_threshold = output, class_names, class_threshold
        self.head = {
            "checkpoint": checkpoint,
            "class_names": class_names,
            "mask_threshold": mask_threshold,
            "class_threshold": class_threshold if len(class_names) == 2 else None,
            "rule_for_volumes": RULE,
        }
        self.rows: dict[str, dict[str, Any]] = {}

    def keep_earlier(self) -> None:
        """Take over the rows of an earlier run that is gone on with.

        Raises:
            ConfigError: it used other weights or thresholds.
        """
        path = self.output / "predictions.json"
        if not path.is_file():
            return
        earlier = json.loads(path.read_text(encoding="utf-8"))
        now = json.loads(json.dumps(self.head))
        for key in ("checkpoint", "class_names", "mask_threshold", "class_threshold"):
            if earlier.get(key) != now[key]:
                raise ConfigError(
                    f"existing 'skip': the results in {self.output} were made with {key} {earlier.get(key)!r}, now it "
                    f"is {now[key]!r}. Give another output folder, or existing 'overwrite'."
                )
        self.rows = {row["file"]: row for row in earlier["results"]}

    def add(self, row: dict[str, Any]) -> None:
        """Add an input's row; see `InferenceWriter`."""
        self.rows[row["file"]] = row

    def count(self) -> dict[str, int]:
        """Inputs per class."""
        return dict(Counter(row["class"] for row in self.rows.values()))

    def save(self) -> None:
        """Write both files."""
        write_json_atomic(self.output / "predictions.json", {**self.head, "results": list(self.rows.values())})
        text = io.StringIO()
        prob, highest = ([f"{kind}_{name}" for name in self.class_names] for kind in ("prob", "prob_max"))
        fields = ["file", "name", "kind", "slice", "class", *prob, *highest, "mask_area", "mask_area_unit", "mask"]
        fields += ["overlay", "grad_cam", "mask_threshold", "class_threshold", "checkpoint"]
        writer = csv.DictWriter(text, fields, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for row in self.rows.values():
            for line in [row, *({**row, "kind": "slice", **part, "prob_max": None} for part in row.get("slices", []))]:
                nothing = [None] * len(prob)
                known = [*(line["prob"] or nothing), *(line.get("prob_max") or nothing)]
                numbers = zip([*prob, *highest], known, strict=True)
                values = {**self.head, **line, **{key: p if p is None else round(p, 6) for key, p in numbers}}
                writer.writerow({key: "" if values.get(key) is None else values[key] for key in fields})
        write_text_atomic(self.output / "predictions.csv", text.getvalue())
