"""The files of a folder or an archive, with what cannot be unpacked or followed safely. Nothing is written."""

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from ..audit.paths import leaves

LARGEST_RATIO, LARGEST = 200, 50 * 2**30  # of an archive's content to its size, and in bytes
RATIO_MATTERS = 100 * 2**20  # bytes of content from which a ratio tells a bomb from an empty picture
ILLEGAL = set('<>:"|?*') | {chr(code) for code in range(32)}


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
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            inside = path.resolve().is_relative_to(folder.resolve())
            yield Refused(name, "link", f"a link to {path.readlink()}" + ("" if inside else ", outside the bundle"))
        elif stat.S_ISREG(mode):
            yield Member(name, path.stat().st_size, partial(_read, path))
        elif not stat.S_ISDIR(mode):
            yield Refused(name, "link", "is no plain file (a pipe, socket or device)")


def in_zip(stream: BinaryIO, size: int) -> Iterator[Member | Refused]:
    """All in a zip."""
    try:
        archive = zipfile.ZipFile(stream)
        entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        yield Refused("", "archive", f"is no zip that can be read: {error}")
        return
    yield from _bomb(sum(entry.file_size for entry in entries), size)
    seen: set[str] = set()
    for entry in entries:
        name, mode = entry.filename, entry.external_attr >> 16
        yield from _name(name, entry.orig_filename, seen)
        if stat.S_ISLNK(mode):
            yield Refused(name, "link", "is a link")
        elif mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            yield Refused(name, "link", "is no plain file")
        elif entry.flag_bits & 1:
            yield Refused(name, "archive", "is encrypted")
        elif not entry.is_dir():
            yield Member(name, entry.file_size, partial(_unpacked, archive, entry))


def in_tar(stream: BinaryIO, size: int) -> Iterator[Member | Refused]:
    """All in a tar, compressed or not."""
    seen: set[str] = set()
    total = 0
    try:
        archive = tarfile.open(fileobj=stream)  # noqa: SIM115 - stays open for its members
        for entry in archive:
            total += entry.size
            bombs = list(_bomb(total, size))
            yield from bombs
            if bombs:
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
    if leaves(name) or "\\" in written or ILLEGAL & set(written) or not plain:
        yield Refused(name, "path", f"the name {written!r} leaves the folder, or cannot stand on every machine")
    if plain.casefold() in seen:
        yield Refused(name, "archive", "stands twice (small and capital letters are the same on some machines)")
    seen.add(plain.casefold())


def _bomb(content: int, size: int) -> Iterator[Refused]:
    if content > LARGEST or (content > RATIO_MATTERS and content > LARGEST_RATIO * max(size, 1)):
        yield Refused("", "archive", f"unpacks from {size:,} to {content:,} bytes")


def in_memory(content: bytes) -> BinaryIO:
    """A file of bytes."""
    return io.BytesIO(content)
