"""Files that are whole or not there at all, whatever interrupts the writing."""

import errno
import json
import logging
import os
import re
import socket
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from medbundles.errors import MedbundlesError

logger = logging.getLogger("medbundles")


def _numbering() -> str:
    """What tells whose process numbers count: another machine, or container, gives the same ones to others."""
    with suppress(OSError):  # only Linux has it
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    return socket.gethostname()


HOST = f"{zlib.crc32(_numbering().encode()):08x}"
TEMPORARY = re.compile(r"\.(\d+)-([0-9a-f]{8})~.")
A_DAY = 86400.0  # seconds
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
    temporary = path.with_name(f".{os.getpid()}-{HOST}~{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if flush:
            _to_disk(temporary)
        os.replace(temporary, path)
        if flush:
            _to_disk(path.parent)
    except OSError as error:
        raise MedbundlesError(f"{cannot_write(path, error)}.{_kept(path)}") from error
    except RuntimeError as error:
        if not any(words in str(error) for words in WRITER_FAILED):
            raise
        raise MedbundlesError(f"{path}: cannot be written; is the disk full?{_kept(path)}") from error
    finally:
        with suppress(OSError):  # gone after the rename; and where it could not be made, there is nothing to remove
            temporary.unlink()


def new_folders(folder: Path) -> list[Path]:
    """What has to be made for a folder to be there: itself and its parents, from the inside out."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those in which nothing is."""
    for folder in folders:
        with suppress(OSError):  # something is in it
            folder.rmdir()


def is_full(error: BaseException | None) -> bool:
    """Whether an error says that a disk, or a user's share of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def cannot_write(path: str | os.PathLike, error: OSError) -> str:
    """What a user should read of an error in writing a file."""
    return f"{path}: cannot be written" + (", the disk is full" if is_full(error) else f": {error.strerror or error}")


def remove_leftovers(folder: str | os.PathLike) -> list[Path]:
    """Remove the temporary files of `replace_atomic` that killed processes have left in a folder and below it.

    A file goes when its process no longer runs on this machine. That of another machine, or of a process that may just
    have got the number, goes after a day.

    Returns:
        What was removed.
    """
    removed = []
    for parent, _, names in os.walk(Path(folder)):
        for name in names:
            found, path = TEMPORARY.match(name), Path(parent, name)
            with suppress(OSError):  # another process removes it, too
                if found and _is_left(path, int(found[1]), found[2]):
                    path.unlink()
                    removed.append(path)
    if removed:
        logger.info("removed %d unfinished file(s) of killed processes in %s", len(removed), folder)
    return removed


def _is_left(path: Path, process: int, host: str) -> bool:
    if host == HOST and os.name == "posix":
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # it runs, as another user's
    return time.time() - path.stat().st_mtime > A_DAY


def write_text_atomic(path: str | os.PathLike, text: str) -> None:
    """Write a text file (UTF-8, line ends as given) whole or not at all; see `replace_atomic`."""
    with replace_atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json_atomic(path: str | os.PathLike, content: Any) -> None:
    """Write a JSON file whole or not at all; NaN and infinity become null, because JSON has no word for them.

    NumPy and torch scalars become numbers, paths and anything else unknown become text.
    """
    write_text_atomic(path, json_text(content))


def json_text(content: Any) -> str:
    """What `write_json_atomic` writes."""
    return json.dumps(_jsonable(content), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def json_line(content: Any) -> bytes:
    """One line of a JSON lines file, as `write_json_atomic` writes numbers, with its line end."""
    return json.dumps(_jsonable(content), allow_nan=False, ensure_ascii=False).encode() + b"\n"


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
