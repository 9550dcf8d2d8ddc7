"""Whether all programs that read a zip see the same files in it.

Python's zipfile finds the directory from the end of the file, and allows for bytes in front of it; other readers go by
its written place. A file with two directories is harmless for one and not for the other.
"""

import stat
import struct
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

END, END_SIZE = b"PK\x05\x06", 22
LONG_END, LONG_PLACE, LONG_PLACE_SIZE = b"PK\x06\x06", b"PK\x06\x07", 20
DESCRIPTOR = 24  # bytes at most behind a file whose length was not known before it was written
OTHER_NAME = 0x7075  # of an extra field that gives a file another name
SET_ID = stat.S_ISUID | stat.S_ISGID
LOCAL = "<4s5H3I2H"  # of the header in front of each file


def structure_problems(stream: BinaryIO, size: int, entries: list[zipfile.ZipInfo]) -> Iterator[str]:
    """What is in a zip that not all readers see alike.

    Args:
        stream: the zip.
        size: in bytes.
        entries: what zipfile sees.
    """
    stream.seek(max(0, size - END_SIZE - LONG_PLACE_SIZE))
    tail = stream.read()
    at = len(tail) - END_SIZE
    if not tail[max(0, at) :].startswith(END):
        yield "has something behind its directory, which could be another one"
        return
    length, begin = struct.unpack_from("<2I", tail, at + 12)
    end = size - len(tail) + at
    if tail[max(0, at - LONG_PLACE_SIZE) : at].startswith(LONG_PLACE):
        (place,) = struct.unpack_from("<Q", tail, at - LONG_PLACE_SIZE + 8)
        stream.seek(place)
        record = stream.read(56)
        if record[:4] != LONG_END:
            yield "has a directory whose place cannot be found"
            return
        length, begin = struct.unpack_from("<2Q", record, 40)
        end = place
    if begin + length != end:
        yield "has a directory that is not where it says, or something in front of the first file"
        return
    expected = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        stream.seek(entry.header_offset)
        header = stream.read(struct.calcsize(LOCAL))
        if len(header) < struct.calcsize(LOCAL) or not 0 <= entry.header_offset - expected <= DESCRIPTOR:
            yield f"has something between its files, before {entry.filename!r}"
            return
        *_, name, extra = struct.unpack(LOCAL, header)
        if stream.read(name).decode("utf-8", "replace") not in (entry.orig_filename, entry.filename):
            yield f"has two names for {entry.filename!r}"
        expected = entry.header_offset + len(header) + name + extra + entry.compress_size
    if not 0 <= begin - expected <= DESCRIPTOR:
        yield "has something between its files and its directory"


def entry_problem(entry: zipfile.ZipInfo) -> str | None:
    """What is odd with a file's own entry; None: nothing."""
    mode, extra = entry.external_attr >> 16, entry.extra
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == OTHER_NAME:
            return "has another name for some readers"
        extra = extra[4 + length :]
    if mode & SET_ID:
        return "runs with another user's rights"
    if entry.is_dir() and entry.file_size:
        return "is a folder with content"
    return "is encrypted" if entry.flag_bits & 1 else None
