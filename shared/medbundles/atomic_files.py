"""Files that are whole or not there at all, whatever interrupts the writing."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from medbundles.errors import MedbundlesError

# torch's zip writer hides the OSError of a full disk; these are the words by which its failures are known
WRITER_FAILED = ("PytorchStreamWriter failed", "inline_container.cc", "iostream error")


@contextmanager
def replace_atomic(path: str | os.PathLike, flush: bool = True) -> Iterator[Path]:
    """Write to a temporary file beside `path`; it takes the place of `path` when the block ends without an error.

    The temporary file is flushed to the disk before it is renamed, so that after a kill or a power cut `path` is
    either the old file or the new one. It ends like `path`, because writers choose the format by the ending. The
    folder is made when it is missing.

    Args:
        path: the file to write or replace.
        flush: wait until the disk has it; False: a power cut may leave a broken file, a kill still none.

    Yields:
        The path to write to.

    Raises:
        MedbundlesError: when the disk is full or the folder cannot be written; the file that was there is unchanged.

    Example:
        >>> with replace_atomic("/tmp/doctest_weights.pt") as temporary:
        ...     _ = temporary.write_bytes(b"weights")
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}~{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if flush:
            _to_disk(temporary)
        os.replace(temporary, path)
        if flush:
            _to_disk(path.parent)
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = ", the disk is full" if is_full else f": {error.strerror or error}"
        raise MedbundlesError(f"{path}: cannot be written{why}.{_kept(path)}") from error
    except RuntimeError as error:
        if not any(words in str(error) for words in WRITER_FAILED):
            raise
        raise MedbundlesError(f"{path}: cannot be written; is the disk full?{_kept(path)}") from error
    finally:
        with suppress(OSError):  # gone after the rename; and where it could not be made, there is nothing to remove
            temporary.unlink()


def write_text_atomic(path: str | os.PathLike, text: str) -> None:
    """Write a text file (UTF-8, line ends as given) whole or not at all; see `replace_atomic`."""
    with replace_atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json_atomic(path: str | os.PathLike, content: Any) -> None:
    """Write a JSON file whole or not at all; NaN and infinity become null, because JSON has no word for them.

    NumPy and torch scalars become numbers, paths and anything else unknown become text.
    """
    write_text_atomic(path, json.dumps(_jsonable(content), indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _jsonable(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(entry) for entry in value]
    if hasattr(value, "tolist"):  # NumPy or torch, scalar or array
        return _jsonable(value.tolist())
    if isinstance(value, float) and not (float("-inf") < value < float("inf")):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _to_disk(path: Path) -> None:
    """Flush a file or folder; a folder cannot be flushed on every system, and then its rename is just less early."""
    try:
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)  # Windows flushes only what may be written
    except PermissionError:
        if path.is_dir():
            return
        raise
    try:
        os.fsync(handle)
    except OSError as error:
        if not path.is_dir() or error.errno == errno.ENOSPC:
            raise
    finally:
        os.close(handle)


def _kept(path: Path) -> str:
    return " The file that was there is unchanged." if path.is_file() else ""
