"""Tables that users write: CSV files, as programs really save them."""

import csv
from collections.abc import Sequence
from pathlib import Path

from medbundles.data.reading.files import check_file
from medbundles.errors import DataError


def read_table(path: str | Path, columns: Sequence[str] = ()) -> list[dict[str, str]]:
    """Rows of a CSV file in UTF-8, with or without a byte order mark; texts without spaces around them.

    Args:
        path: the file; its first line names the columns.
        columns: those that it must have.

    Returns:
        column -> text for each row, "" where a row is short.

    Raises:
        DataError: the file is missing, is no text, or lacks a column.
    """
    check_file(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True, restkey="")
            there, rows = reader.fieldnames or [], list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a CSV ({error}); save it as CSV in UTF-8") from error
    if not set(columns) <= set(there):
        raise DataError(f"{path}: needs the columns {','.join(columns)}, it has {', '.join(there)}")
    return [{name: (row[name] or "").strip() for name in there} for row in rows]
