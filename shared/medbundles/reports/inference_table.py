"""predictions.csv of an inference: a line per input, and of a volume one per slice."""

from collections.abc import Mapping, Sequence
from typing import Any

from medbundles.reports.tables import csv_text


def inference_csv(rows: Sequence[Mapping[str, Any]], fields: Sequence[str], class_names: Sequence[str]) -> str:
    """The table's text: a line for each row, and below it one for each entry of its "slices".

    Args:
        rows: of the inputs, with what is the same for all.
        fields: entries of a row, in the order of the columns; one that begins with "prob" or is "area" has a column
            per class.
        class_names: names of the classes.
    """
    per_class = [field for field in fields if field.startswith("prob") or field == "area"]
    header = [name for field in fields for name in _columns(field, class_names if field in per_class else ())]
    lines = []
    for row in rows:
        slices = ({**row, "kind": "slice", "note": "", **part, "prob_max": None} for part in row.get("slices", []))
        for line in (row, *slices):
            cells: list[Any] = []
            for field in fields:
                value = line.get(field)
                if field in per_class:
                    cells += value if isinstance(value, list) else [value] * len(class_names)
                else:
                    cells.append("; ".join(value) if isinstance(value, list) else value)
            lines.append(cells)
    return csv_text(header, lines)


def _columns(field: str, class_names: Sequence[str]) -> list[str]:
    return [f"{field}_{name}" for name in class_names] or [field]
