"""The results that an output folder has already: of these inputs, and of others."""

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from medbundles.data.lists.input_files import OF_INPUTS
from medbundles.data.reading.files import name_below
from medbundles.data.reading.inference_record import InferenceRecord
from medbundles.errors import DataError, first_few, one_of

logger = logging.getLogger("medbundles")

MASK = re.compile(r"_mask(_\d+)?$")  # what the name of a mask has behind that of its input
EXISTING = ("overwrite", "skip", "error")


def check_existing(existing: str) -> None:
    """Refuse an unknown `existing` (ConfigError)."""
    one_of("existing", existing, EXISTING)


def unfinished(
    names: dict[Path, str], output: str | Path | None, existing: str, result: str = "mask"
) -> dict[Path, str]:
    """The inputs (path -> name) that are to be run: all of them, or those without results in `output`.

    Results of other inputs stay where they are, whatever `existing` is (their number is logged, see `say_others`); the
    tables are of this run, save that "skip" keeps the rows that are there.

    Args:
        names: all inputs.
        output: folder of the results, with the predictions.json of an earlier run; None: there are none.
        existing: "overwrite", "skip" or "error".
        result: key under which a row of predictions.json names the file that is written last.

    Raises:
        DataError: there are results and `existing` is "error" (those of other inputs too: their rows would be lost), or
            they are another input's of the same name and it is "skip"; or predictions.json is something else.
    """
    rows = _rows(output)
    done = _done(names, rows, output, result)
    if existing == "skip":
        _check_names(names, rows, output)
    others = {row["file"] for row in rows}.difference(map(str, names))
    if existing == "error" and (done or others):
        whose = f"{len(done)} of the {len(names)} inputs" if done else f"{len(others)} other inputs"
        raise DataError(
            f"{output}: already has results of {whose}, {min([*done.values()] or others)} for one. "
            "Give another output folder, or existing: 'skip' or 'overwrite'."
        )
    if done and existing == "skip":
        names = {path: name for path, name in names.items() if path not in done}
        logger.info("%d inputs have results in %s and are skipped, %d are left", len(done), output, len(names))
    if existing == "overwrite" and others:
        logger.warning(
            "%s: its tables are of %d other inputs, such as %s; those of this run take their place.",
            output, len(others), first_few(sorted(others), 3),
        )  # fmt: skip
    # the rows of an earlier run stay in the table where its results are kept
    say_others([*names.values(), *(row["name"] for row in rows if existing == "skip")], output, OF_INPUTS)
    return names


def say_others(names: Iterable[str], output: str | Path | None, folders: Iterable[str]) -> None:
    """Warn of results in `output` that belong to none of the names.

    Args:
        names: of the inputs, or of what is made.
        output: folder of the results.
        folders: those in it that hold them.
    """
    ours = set(names)
    places = [Path(output, folder) for folder in folders] if output else []
    others = sorted(
        f"{place.name}/{path.relative_to(place).as_posix()}"
        for place in places
        for path in place.rglob("*")
        if path.is_file()
        and not path.name.startswith(".")  # unfinished, of a killed run or of another one
        and not ours.intersection((named := name_below(path, place), MASK.sub("", named)))
    )
    if others:
        logger.warning(
            "%s: holds %d files that belong to no input of this run, such as %s. They are left as they are, and are "
            "not in the tables of this run; to keep results apart, give another output folder.",
            output, len(others), first_few(others, 3),
        )  # fmt: skip


def _check_names(names: dict[Path, str], rows: Sequence[dict], output: str | Path | None) -> None:
    """Refuse inputs (DataError) that would take the place of other inputs' results."""
    owners = {row["name"]: row["file"] for row in rows}
    taken = [f"{name} of {owners[name]}" for path, name in names.items() if owners.get(name, str(path)) != str(path)]
    if taken:
        raise DataError(
            f"{output}: has results of other inputs under the same names: {first_few(taken)}. Give another output "
            "folder, or existing: 'overwrite'."
        )


def _done(names: dict[Path, str], rows: Sequence[dict], output: str | Path | None, result: str) -> dict[Path, str]:
    """The inputs that have a row in the record, and the files that it names under `result`, where it names any."""
    known = {row["file"] for row in rows if all(Path(str(output), file).is_file() for file in _files(row, result))}
    return {path: name for path, name in names.items() if str(path) in known}


def _files(row: dict, result: str) -> list[str]:
    """The files that a row names under a key: none, one, or several."""
    files = row.get(result) or []
    return [files] if isinstance(files, str) else files


def _rows(output: str | Path | None) -> list[dict]:
    """The rows of the record in a folder; none where there is no such file."""
    return [{"name": "", **row} for row in InferenceRecord(output).read()[1]] if output else []
