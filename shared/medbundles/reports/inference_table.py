"""predictions.csv of an inference: a line per input, and of a volume one per slice."""

from collections.abc import Mapping, Sequence
from typing import Any

from medbundles.reports.tables import csv_text


def inference_csv(
    rows: Sequence[Mapping[str, Any]],
    fields: Sequence[str],
    class_names: Sequence[str],
    label_names: Sequence[str] = (),
) -> str:
    """The table's text: a line for each row, and below it one for each entry of its "slices".

    Args:
        rows: of the inputs, with what is the same for all.
        fields: entries of a row, in the order of the columns; one that begins with "prob" or is "area" has a column
            per class, "mask_areas" one per label.
        class_names: names of the classes.
        label_names: names of a map's labels, without the background.
    """
    parts = {field: class_names for field in fields if field.startswith("prob") or field == "area"}
    parts |= {field: label_names for field in fields if field == "mask_areas"}
    header = [name for field in fields for name in _columns(field, parts.get(field))]
    lines = []
    for row in rows:
        slices = ({**row, "kind": "slice", "note": "", **part, "prob_max": None} for part in row.get("slices", []))
        for line in (row, *slices):
            cells: list[Any] = []
            for field in fields:
                value = line.get(field)
                if field in parts:
                    each = value if isinstance(value, list) else [value] * len(parts[field])
                    cells += each[: len(parts[field])]  # maps without names of labels have no columns
                else:
                    cells.append("; ".join(value) if isinstance(value, list) else value)
            lines.append(cells)
    return csv_text(header, lines)


def _columns(field: str, parts: Sequence[str] | None) -> list[str]:
    return [field] if parts is None else [f"{field}_{part}" for part in parts]
