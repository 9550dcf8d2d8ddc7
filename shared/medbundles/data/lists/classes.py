"""What belongs to which class: a folder per class, or the rows of a table."""

import logging
from collections.abc import Sequence
from pathlib import Path

from medbundles.data.problems import Problems
from medbundles.data.reading.files import existing_folder, subfolders
from medbundles.data.reading.tables import read_table
from medbundles.errors import DataError, first_few

logger = logging.getLogger("medbundles")


def class_folders(folder: str | Path, class_names: Sequence[str], advice: str) -> list[Path]:
    """The folder of each class, by its name in any case; folders of no class are logged.

    Raises:
        DataError: `folder` is missing, or a class has no folder or two; `advice` says what is wanted.
    """
    there = subfolders(existing_folder(folder, advice))
    homes = {name: [path for path in there if path.name.lower() == name.lower()] for name in class_names}
    missing = [name for name, paths in homes.items() if not paths]
    if missing:
        shown = first_few(path.name for path in there)
        raise DataError(
            f"{folder}: no folder for the class(es) {', '.join(missing)}; class_names wants: "
            f"{', '.join(class_names)}, found: {shown or 'no folders'}. {advice}"
        )
    for name, paths in homes.items():
        if len(paths) > 1:
            raise DataError(f"{folder}: has two folders for the class {name}: {', '.join(p.name for p in paths)}")
    found = [paths[0] for paths in homes.values()]
    others = [path.name for path in there if path not in found]
    if others:
        logger.warning("%s: the folder(s) %s belong to no class and are not used", folder, first_few(others))
    return found


def labelled_rows(table: Path, class_names: Sequence[str]) -> list[tuple[str, Path, int, str]]:
    """Rows of a CSV with the columns path,label[,patient] as (path as written, path, label, patient or "").

    Raises:
        DataError: no text, missing columns, no rows, or rows without a path, with unknown labels or a path that was
            there before, all listed.
    """
    rows = read_table(table, ("path", "label"))
    if not rows:
        raise DataError(f"{table}: has no rows")
    labels = {name.lower(): label for label, name in enumerate(class_names)}
    labels.update({str(label): label for label in range(len(class_names)) if str(label) not in labels})
    problems, found, seen = Problems(), [], set()
    for row in rows:
        name, text = row["path"], row["label"].lower()
        if not name:
            problems.add("a row", f"has no path (label {row['label']!r})")
        elif text not in labels:
            problems.add(name, f"label {row['label']!r} is none of {', '.join(class_names)}")
        elif name in seen:
            problems.add(name, "is listed twice")
        else:
            found.append((name, table.parent / name, labels[text], row.get("patient", "")))
        seen.add(name)
    problems.settle(table, advice="")
    return found
