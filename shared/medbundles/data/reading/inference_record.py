"""The record of an inference: predictions.json, and beside it what one that is not finished has done so far."""

import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from medbundles.atomic_files import cannot_write, json_line, write_json_atomic
from medbundles.errors import DataError, MedbundlesError

FAILED = "failed"  # entry of a batch, [(path, what is wrong with it)], and of predictions.json
RECORD, PROGRESS = "predictions.json", "progress_*.jsonl"
FLUSHED = 1.0  # seconds: what a power cut may take of the progress; a kill takes at most the row that is being written


class InferenceRecord:
    """The rows of all inputs that are done, in a folder of results.

    While an inference runs, each of its processes adds a line per input to a file of its own, progress_<rank>.jsonl,
    whose first line is the record's head; writing predictions.json anew each time would take longer and longer. At the
    end predictions.json is written and these files go.

    Args:
        output: the folder.
        rank: of the process.

    Example:
        >>> record = InferenceRecord("/tmp/doctest_record")
        >>> record.begin({"checkpoint_id": "sha256:0"}, fresh=True)
        >>> record.add({"file": "a.png"})
        >>> InferenceRecord("/tmp/doctest_record").read()
        ({'checkpoint_id': 'sha256:0'}, [{'file': 'a.png'}])
        >>> record.finish({"checkpoint_id": "sha256:0"}, [{"file": "a.png"}], [])
    """

    def __init__(self, output: str | Path, rank: int = 0):
        self.output, self.path = Path(output), Path(output, f"progress_{rank}.jsonl")
        self.file: BinaryIO | None = None
        self.first, self.flushed = b"", 0.0

    def read(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The head, and the rows of all inputs that are done, each once; ({}, []) where nothing is.

        What runs that broke off have done counts, too. A line that a kill cut off does not, nor does a file that
        another process removes meanwhile, having written predictions.json before.

        Raises:
            DataError: a file is no record of an inference.
        """
        head: dict[str, Any] = {}
        rows: dict[str, dict[str, Any]] = {}
        record = self.output / RECORD
        progress = [found for path in self._progress_files() if (found := self._progress(path))]
        try:
            if record.is_file() and not any(first["fresh"] for first, _ in progress):
                head = json.loads(record.read_text(encoding="utf-8"))
                rows = {row["file"]: row for row in head.pop("results")}
                head.pop(FAILED, None)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{record}: is no record of an inference ({error}); remove it or use another folder"
            ) from error
        for first, more in progress:
            head = first["head"]
            rows |= more
        return head, list(rows.values())

    def _progress(self, path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]] | None:
        """First line, and the rows by their input; None where there is no whole line, or no file any more."""
        try:
            lines = path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return None
        if not lines:
            return None
        rows, read = dict[str, dict[str, Any]](), 0
        try:
            first = json.loads(lines[0])
            first = {"fresh": bool(first["fresh"]), "head": dict(first["head"])}
            for read, line in enumerate(lines[1:], 1):  # noqa: B007  # for the message
                row = json.loads(line)
                rows[row["file"]] = row
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}: line {read + 1} is no progress of an inference ({error!r}); remove the file or use another "
                "folder"
            ) from error
        return first, rows

    def _progress_files(self) -> list[Path]:
        return sorted(self.output.glob(PROGRESS))

    def begin(self, head: Mapping[str, Any], fresh: bool) -> None:
        """Say what all rows have in common; the file is made with the first one.

        Args:
            head: it.
            fresh: whether a predictions.json that is there does not count any more.
        """
        self.first = json_line({"fresh": fresh, "head": head})

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a line; the files that it names must be there.

        Raises:
            MedbundlesError: the disk is full, or the folder cannot be written.
        """
        try:
            if self.file is None:
                self.output.mkdir(parents=True, exist_ok=True)
                self.file = self.path.open("wb")
                self.file.write(self.first)
                self.file.flush()  # on its own, so that a kill leaves no half head where a row is long
            self.file.write(json_line(row))
            self.file.flush()
            if time.monotonic() - self.flushed > FLUSHED:
                os.fsync(self.file.fileno())
                self.flushed = time.monotonic()
        except OSError as error:
            raise MedbundlesError(f"{cannot_write(self.path, error)}.") from error

    def close(self) -> None:
        """Close the progress file; it stays."""
        if self.file is not None:
            with suppress(OSError):  # a full disk: `add` has raised it for the row that is still to be written
                self.file.close()
            self.file = None

    def clear(self) -> None:
        """Remove the progress of all processes: of a run that broke off, before another one starts afresh."""
        self.close()
        for path in self._progress_files():
            path.unlink(missing_ok=True)

    def finish(self, head: Mapping[str, Any], rows: Iterable[Any], failed: Iterable[Any]) -> None:
        """Write predictions.json: the head, the rows of all inputs, and those that failed; the progress files go."""
        write_json_atomic(self.output / RECORD, {**head, FAILED: list(failed), "results": list(rows)})
        self.clear()


def has_record(folder: Path) -> bool:
    """Whether results of an inference, finished or not, lie in a folder."""
    return (folder / RECORD).is_file() or any(folder.glob(PROGRESS))
