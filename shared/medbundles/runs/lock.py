"""A folder that one process at a time writes to."""

import logging
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from medbundles.atomic_files import new_folders, remove_empty
from medbundles.errors import ConfigError

LOCK = ".lock"

logger = logging.getLogger("medbundles")


class FolderLock:
    """Keeps a folder for this process until `release`, or until the process is killed.

    The lock is one that workers do not inherit (unlike that of the library filelock): where only they are left, what
    was killed can be resumed.

    Args:
        folder: where its file is made.
    """

    def __init__(self, folder: Path):
        self.path = folder / LOCK
        self._file: TextIO | None = None

    def take(self) -> str | None:
        """Make the folder ours; returns who has it, None: we do."""
        if os.name != "posix":
            return None
        import fcntl

        self._file = self.path.open("a+", encoding="utf-8")
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not self._is_there():  # whoever had it has removed the file since it was opened here
                self._file.close()
                return self.take()
        except (BlockingIOError, PermissionError):
            self._file.seek(0)
            other = self._file.read().strip()
            self._file.close()
            self._file = None
            return other or "another process"
        except OSError as error:
            logger.warning("%s: cannot be locked here (%s): start nothing else in it", self.path.parent, error)
        self._file.truncate(0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        words = " ".join(sys.argv[1:])
        self._file.write(f"process {os.getpid()} on {socket.gethostname()} since {since}: {words}\n")
        self._file.flush()
        return None

    def _is_there(self) -> bool:
        """Whether the file that is open is the one that others find."""
        try:
            return self._file is not None and os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let other processes have it."""
        if self._file is not None:
            self.path.unlink(missing_ok=True)
            self._file.close()
            self._file = None


def holder(folder: Path) -> str | None:
    """Who has a folder, as the lock's file says; None: nobody, or the process that asked for it was killed.

    The lock is only asked about, not taken, so that nobody is refused meanwhile. Not for the process that has it: a
    file that it opens and closes again would let the lock go.
    """
    if os.name != "posix":
        return None
    import fcntl

    try:
        with (folder / LOCK).open("r+", encoding="utf-8") as file:
            answer = fcntl.fcntl(file, fcntl.F_GETLK, _flock(fcntl.F_WRLCK))
            if _kind(answer) == fcntl.F_UNLCK:
                return None
            return file.read().strip() or "another process"
    except FileNotFoundError:
        return None


def _flock(kind: int) -> bytes:
    """The whole file in C's struct flock, whose fields stand in another order on a Mac."""
    return (
        struct.pack("qqihh", 0, 0, 0, kind, 0) if sys.platform == "darwin" else struct.pack("hhqqi4x", kind, 0, 0, 0, 0)
    )


def _kind(flock: bytes) -> int:
    return struct.unpack("qqihh", flock)[3] if sys.platform == "darwin" else struct.unpack("hhqqi4x", flock)[0]


@contextmanager
def alone_in(folder: Path, what: str) -> Iterator[None]:
    """Let only one process at a time do something in a folder, which is made; it goes again if nothing is written.

    Args:
        folder: where it is done.
        what: is done, for the message.

    Raises:
        ConfigError: another process does it, or the folder cannot be made.
    """
    lock, new = FolderLock(folder), new_folders(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        other = lock.take()
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written to: {error.strerror or error}.") from error
    if other:
        raise ConfigError(f"{folder}: {what} runs there already ({other}). Let it end, end it, or use another folder.")
    try:
        yield
    finally:
        lock.release()
        remove_empty(new)
