"""Writes a dataset beside its place and moves it there at the end, so that nothing half-written is ever found."""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from medbundles.atomic_files import cannot_write, new_folders, remove_empty
from medbundles.data.reading.files import SYNTHETIC
from medbundles.errors import DataError, MedbundlesError

SPLIT_FILE = "split_{}.json"
WARNING = "**SYNTHETIC DATA: these numbers say nothing about any disease.**"  # in the reports of phantoms


def new_folder(path: str | Path) -> Path:
    """The folder as a Path.

    Raises:
        DataError: it holds something, or is a file.
    """
    out = Path(path)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: already holds something; give a new folder")
    return out


@contextmanager
def staged(out: str | Path, entries: Sequence[str], overwrite: bool) -> Iterator[Path]:
    """An empty folder beside `out`; when the block ends well, what is in it moves into `out`.

    Args:
        out: dataset folder; may hold other parts already (slices and pictures share one).
        entries: names in `out` that the block is going to write, checked before it starts.
        overwrite: replace entries that a prepare verb wrote before; anything else is never deleted.

    Raises:
        DataError: an entry is there already.
    """
    out = Path(out).resolve()
    _check_free(out, entries, overwrite)
    partial = out.with_name(f".{out.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    new = new_folders(partial.parent)
    partial.mkdir(parents=True)
    try:
        yield partial
        _publish(partial, out, entries)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        remove_empty(new)


def _check_free(out: Path, entries: Sequence[str], overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file, a folder is wanted")
    if (out / SYNTHETIC).exists() and SYNTHETIC not in entries:
        raise DataError(f"{out}: holds synthetic sample data; give another folder for real data")
    there = [entry for entry in entries if (out / entry).exists()]
    if there and not overwrite:
        raise DataError(f"{out}: already holds {', '.join(there)}; give another --out, or --overwrite True")
    foreign = sorted(set(there) - _claims(out).keys())
    if foreign:
        raise DataError(f"{out}: {', '.join(foreign)} was not written by these tools; remove it yourself")


def _claims(out: Path) -> dict[str, Path]:
    """Entry -> the split file that says it was written with it."""
    return {
        entry: path
        for path in sorted(out.glob(SPLIT_FILE.format("*")))
        for entry in json.loads(path.read_text()).get("entries", [])
    }


def _publish(partial: Path, out: Path, entries: Sequence[str]) -> None:
    """Move what was written into `out`, in the place of all that the split files of the overwritten entries name."""
    if not out.exists():
        partial.rename(out)
        return
    claims = _claims(out)
    overwritten = {claims[entry] for entry in entries if entry in claims}
    new = {path.name for path in partial.iterdir()}
    trash = partial.with_name(f"{partial.name}-old")
    trash.mkdir(exist_ok=True)
    for name in sorted(new | {entry for entry, path in claims.items() if path in overwritten}):
        if (out / name).exists():
            (out / name).rename(trash / name)
    for name in sorted(new):
        (partial / name).rename(out / name)
    shutil.rmtree(trash)


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """An empty folder beside `path`, which takes its name when the block ends well; else nothing of it stays.

    Args:
        path: a folder that is not there yet.

    Raises:
        DataError: it is there.
        MedbundlesError: the disk is full, or the folder cannot be written.
    """
    out = Path(path).resolve()
    if os.path.lexists(out):
        raise DataError(f"{path}: is there already; nothing was changed. Move it away, or give another folder.")
    new, partial = new_folders(out.parent), out.with_name(f".{out.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        yield partial
        partial.rename(out)
    except OSError as error:
        raise MedbundlesError(f"{cannot_write(path, error)}. Nothing was written.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        remove_empty(new)
