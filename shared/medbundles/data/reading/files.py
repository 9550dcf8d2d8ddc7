"""Files of images: which ones count, what they are called, which are byte-identical."""

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Any

from medbundles.errors import DataError

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
VOLUME_ENDINGS = (".nii", ".nii.gz")
IMAGE_ENDINGS = (*PICTURE_ENDINGS, ".npy", *VOLUME_ENDINGS)
SYNTHETIC = "SYNTHETIC.txt"  # lies in a folder of phantoms


def is_image(path: str | Path) -> bool:
    """Whether the name is that of an image (any case); hidden files, such as macOS's ._x.png, are not."""
    name = os.path.basename(path).lower()
    return name.endswith(IMAGE_ENDINGS) and not name.startswith(".")


def stem(path: str | Path) -> str:
    """File name without its ending; .nii.gz counts as one.

    Example:
        >>> stem("a/case_1.nii.gz")
        'case_1'
    """
    name = os.path.basename(path)
    return name[:-7] if name.lower().endswith(".nii.gz") else os.path.splitext(name)[0]


def are_phantoms(files: Iterable[str | Path]) -> bool:
    """Whether any of the files lies, at whatever depth, in a folder of synthetic pictures (`sample-data` marks it)."""
    folders = {folder for file in files if str(file) for folder in Path(str(file)).resolve().parents}
    return any((folder / SYNTHETIC).is_file() for folder in folders)


def is_volume(path: str | Path) -> bool:
    """Whether the name is that of a NIfTI file (any case)."""
    return str(path).lower().endswith(VOLUME_ENDINGS)


def name_below(path: Path, root: Path) -> str:
    """Path below `root` without the file's ending, with / on every system."""
    inside, prefix = str(path), "" if str(root) == os.curdir else os.path.join(root, "")
    if not inside.startswith(prefix):
        raise ValueError(f"{path} is not below {root}")
    return os.path.join(os.path.dirname(inside)[len(prefix) :], stem(path)).replace(os.sep, "/")


def existing_folder(path: str | Path, advice: str = "") -> Path:
    """The folder as a Path.

    Raises:
        DataError: it is not there; `advice` says how to make it.
    """
    if not Path(path).is_dir():
        raise DataError(f"{path}: folder not found" + (f". {advice}" if advice else ""))
    return Path(path)


def subfolders(folder: Path) -> list[Path]:
    """Folders directly in `folder`, sorted, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def list_images(folder: str | Path) -> list[Path]:
    """All images below `folder`, sorted; links to folders are followed, hidden folders are not entered.

    A folder that is there several times, by links, is entered once.

    Raises:
        DataError: a folder cannot be read, or a name is not UTF-8: nothing could be written down of it.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: the folder cannot be read ({error.strerror})") from error

    found, seen = list[str](), set[str]()
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        seen.add(os.path.realpath(parent))
        places = {name: os.path.realpath(os.path.join(parent, name)) for name in sorted(folders)}
        folders[:] = [n for n, place in places.items() if not n.startswith(".") and place not in seen]
        seen |= {places[name] for name in folders}
        found += [os.path.join(parent, name) for name in names if is_image(name)]
    for path in found:
        readable = os.fsencode(path).decode("utf-8", "backslashreplace")
        if readable != path:
            raise DataError(f"{readable}: the name is not UTF-8 (of a Windows or Latin-1 archive?); rename it")
    # folder by folder, as pathlib sorts, which takes ten times as long
    return [Path(path) for path in sorted(found, key=lambda path: path.split(os.sep))]


def paths_of(value: str | Sequence[str]) -> list[str]:
    """The paths of an entry of a datalist, which is one, or a list of them."""
    return [value] if isinstance(value, str) else list(value)


def item_files(item: Mapping[str, Any], *keys: str) -> list[str]:
    """Paths in an item of a datalist that are files; an entry may be a path or a list of paths.

    Args:
        item: the item.
        keys: entries to look at; none: all.
    """
    found = []
    for value in [item.get(key) for key in keys] if keys else item.values():
        paths = value if isinstance(value, (list, tuple)) else [value]
        found += [path for path in paths if isinstance(path, str) and path and os.path.isfile(path)]
    return found


def file_state(path: str | Path) -> tuple[int, int]:
    """Size in bytes and time of the last change in nanoseconds: a file that has others holds something else."""
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def open_file(path: str | Path) -> BufferedReader:
    """A file, open at its start, after what can be said about any file.

    Raises:
        DataError: missing, a folder, a pipe, empty, not readable, or a git-lfs pointer in the place of the data.
    """
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise DataError(f"{path}: is a folder, an image file is wanted")
        if not stat.S_ISREG(mode):  # opening a pipe would wait for ever
            raise DataError(f"{path}: is no file but a pipe, socket or device")
        file = open(path, "rb")  # noqa: SIM115  # the caller closes it
    except FileNotFoundError:
        raise DataError(f"{path}: file not found") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror})") from error
    start = file.peek(64)
    if start and not start.startswith(b"version https://git-lfs"):
        return file
    file.close()
    if not start:
        raise DataError(f"{path}: file is empty (0 bytes)")
    raise DataError(f"{path}: is a git-lfs pointer, the image itself was not downloaded (run 'git lfs pull' there)")


def check_file(path: str | Path) -> int:
    """Size of a file in bytes, after what can be said about any file (see `open_file`)."""
    with open_file(path) as file:
        return os.fstat(file.fileno()).st_size


def identical_files(paths: Iterable[str | Path]) -> list[list[str]]:
    """Groups of two or more byte-identical files, sorted.

    Only files that share their size are read: first three pieces of them, then, where these agree, all of it (SHA-256).
    """
    groups: list[list[str]] = [sorted({str(path) for path in paths})]
    for key in (os.path.getsize, lambda path: _sample(path, *file_state(path)), _sha256):
        groups = [part for group in groups for part in _split(group, key) if len(part) > 1]
    return sorted(groups)


def content_id(path: str | Path) -> str:
    """Short name of a file's content: equal for byte-identical files, wherever they lie."""
    return short_id(_sha256(str(path)))


def short_id(sha256: str) -> str:
    """The short name of a content, of its SHA-256 in hexadecimal digits."""
    return f"sha256:{sha256[:16]}"


def _split(group: list[str], key) -> list[list[str]]:
    parts = defaultdict(list)
    for path in group:
        try:
            parts[key(path)].append(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be opened ({error.strerror})") from error
    return list(parts.values())


@lru_cache(maxsize=2**18)
def _sample(path: str, size: int, changed: int) -> bytes:
    # All .npy slices of a set have one size; start, middle and end tell them apart without reading gigabytes. Several
    # checks at the start ask for them.
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for start in (0, size // 2, max(0, size - 4096)):
            file.seek(start)
            digest.update(file.read(4096))
    return digest.digest()


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
