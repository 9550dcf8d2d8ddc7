"""A zip that is the same, bit by bit, whenever and wherever it is made of the same files."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

from medbundles.atomic_files import replace_atomic

MADE = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can name
PLAIN_FILE = 0o100644  # a regular file that its owner may write
UNIX = 3


def write_zip(path: Path, top: str, contents: Mapping[str, bytes]) -> None:
    """Write files into a zip, whole or not at all.

    Nothing is compressed: weights hardly can be, and another release of zlib would give other bytes.

    Args:
        path: the zip.
        top: the one folder in it.
        contents: path below the folder, with "/", -> content.

    Raises:
        MedbundlesError: the disk is full or the folder cannot be written.
    """
    with replace_atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(f"{top}/{name}", MADE)
            entry.create_system, entry.external_attr = UNIX, PLAIN_FILE << 16
            archive.writestr(entry, contents[name])
