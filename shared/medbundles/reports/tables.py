"""Tables and numbers as text: CSV, Markdown, and a value with its interval."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def csv_text(header: Sequence[Any], lines: Iterable[Sequence[Any]]) -> str:
    """A CSV file's text; None and what is no finite number become an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *([_cell(cell) for cell in line] for line in lines)])
    return text.getvalue()


def _cell(cell: Any) -> Any:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def markdown_table(header: Sequence[Any], lines: Iterable[Sequence[Any]], aligned: bool = False) -> list[str]:
    """The lines of a Markdown table; `aligned`: with columns of one width, to be read as text too."""
    cells = [[str(cell).replace("|", "\\|") for cell in line] for line in (header, *lines)]
    widths = [max(3, *(len(line[i]) for line in cells)) if aligned else 3 for i in range(len(header))]
    cells.insert(1, ["-" * width for width in widths])
    if aligned:
        cells = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in cells]
    return [f"| {' | '.join(line)} |" for line in cells]


def number(value: float | None, digits: int = 4, sign: str = "") -> str:
    """The number, or "-" where there is none; sign "+": with its sign."""
    return "-" if value is None else f"{value:{sign}.{digits}f}"


def with_interval(measure: Mapping[str, Any], digits: int = 4, sign: str = "") -> str:
    """ "value [low, high]" of what `PatientBootstrap.measure` gives, as much of it as there is."""
    text = number(measure["value"], digits, sign)
    if measure["low"] is None:
        return text
    return f"{text} [{number(measure['low'], digits, sign)}, {number(measure['high'], digits, sign)}]"


def probability(value: float) -> str:
    """A probability with three decimals; where it would look like 0 or 1, how far it is from that.

    With LDAM's scale most thresholds are near one of them.

    Example:
        >>> probability(0.25), probability(0.000003), probability(1 - 3e-6)
        ('0.250', '3e-06', '1 - 3e-06')
    """
    if 0 < value < 0.0005:
        return f"{value:.1g}"
    return f"1 - {1 - value:.1g}" if 0.9995 <= value < 1 else f"{value:.3f}"
