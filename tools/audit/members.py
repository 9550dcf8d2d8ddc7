"""The files of a folder or an archive, with what cannot be unpacked or followed safely. Nothing is written."""

import io
import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from .paths import leaves
from .zips import entry_problem, structure_problems

LARGEST_RATIO, LARGEST = 200, 50 * 2**30  # of an archive's content to its size, and in bytes
RATIO_MATTERS = 100 * 2**20  # bytes of content from which a ratio tells a bomb from an empty picture
MOST = 100_000  # files
ILLEGAL = set('<>:"|?*') | {chr(code) for code in range(32)}
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # names of devices on Windows


@dataclass(frozen=True)
class Member:
    """A file: its path inside the bundle with '/', its size in bytes, and how it is opened for reading."""

    name: str
    size: int
    open: Callable[[], BinaryIO]


@dataclass(frozen=True)
class Refused:
    """What is no member: its path, the rule, and what is wrong."""

    name: str
    rule: str
    what: str


def in_folder(folder: Path) -> Iterator[Member | Refused]:
    """All below a folder; links are not followed."""
    failed: list[OSError] = []
    for place, folders, files in os.walk(folder, onerror=failed.append):
        folders.sort()
        for name in sorted([*folders, *files]):
            path = Path(place, name)
            inside, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
            if stat.S_ISLNK(mode):
                outside = "" if path.resolve().is_relative_to(folder.resolve()) else ", outside the bundle"
                yield Refused(inside, "link", f"a link to {path.readlink()}{outside}")
            elif stat.S_ISREG(mode):
                yield Member(inside, path.stat().st_size, partial(_read, path))
            elif not stat.S_ISDIR(mode):
                yield Refused(inside, "link", "is no plain file (a pipe, socket or device)")
    for error in failed:
        yield Refused(Path(error.filename).relative_to(folder).as_posix(), "unreadable", f"{error.strerror}")


def in_zip(stream: BinaryIO, size: int) -> Iterator[Member | Refused]:
    """All in a zip."""
    try:
        archive = zipfile.ZipFile(stream)
        entries = archive.infolist()
        problems = list(structure_problems(stream, size, entries))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        yield Refused("", "archive", f"is no zip that can be read: {error}")
        return
    yield from (Refused("", "archive", what) for what in problems)
    bombs = list(_bomb(sum(entry.file_size for entry in entries), size, len(entries)))
    yield from bombs
    seen: set[str] = set()
    for entry in [] if bombs else entries:
        name, mode = entry.filename, entry.external_attr >> 16
        yield from _name(name, entry.orig_filename, seen)
        if stat.S_ISLNK(mode):
            yield Refused(name, "link", "is a link")
        elif mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            yield Refused(name, "link", "is no plain file")
        elif problem := entry_problem(entry):
            yield Refused(name, "archive", problem)
        elif not entry.is_dir():
            yield Member(name, entry.file_size, partial(_unpacked, archive, entry))


def in_tar(content: bytes) -> Iterator[Member | Refused]:
    """All in a tar that is not compressed."""
    seen: set[str] = set()
    try:
        archive = tarfile.open(fileobj=io.BytesIO(content), mode="r:")  # noqa: SIM115 - stays open for its members
        for number, entry in enumerate(archive):
            if number >= MOST:
                yield Refused("", "archive", f"holds more than {MOST:,} files")
                return
            yield from _name(entry.name, entry.name, seen)
            if entry.isfile():
                yield Member(entry.name, entry.size, partial(_opened, archive, entry))
            elif not entry.isdir():
                yield Refused(entry.name, "link", "is a link, or no plain file")
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        yield Refused("", "archive", f"is no tar that can be read: {error}")


def _read(path: Path) -> BinaryIO:
    return path.open("rb")


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> BinaryIO:
    return cast(BinaryIO, archive.open(entry))


def _opened(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> BinaryIO:
    content = archive.extractfile(entry)
    assert content is not None  # it is a file
    return cast(BinaryIO, content)


def _name(name: str, written: str, seen: set[str]) -> Iterator[Refused]:
    plain = name.rstrip("/")
    odd = any(part != part.rstrip(". ") or RESERVED.fullmatch(part) for part in plain.split("/"))
    if leaves(name) or odd or "\\" in written or ILLEGAL & set(written) or not plain:
        yield Refused(name, "path", f"the name {written!r} leaves the folder, or cannot stand on every machine")
    if plain.casefold() in seen:
        yield Refused(name, "archive", "stands twice (small and capital letters are the same on some machines)")
    seen.add(plain.casefold())


def _bomb(content: int, size: int, files: int) -> Iterator[Refused]:
    if files > MOST:
        yield Refused("", "archive", f"holds {files:,} files")
    if content > LARGEST or (content > RATIO_MATTERS and content > LARGEST_RATIO * max(size, 1)):
        yield Refused("", "archive", f"unpacks from {size:,} to {content:,} bytes")
