"""A disk cache of prepared items that survives a kill at any moment."""

import hashlib
import io
import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Compose

import medbundles
from medbundles.atomic_files import remove_leftovers, replace_atomic
from medbundles.cores import local_rank_and_count
from medbundles.data.batches.compact import packed
from medbundles.data.reading.files import file_state, item_files
from medbundles.errors import DataError, MedbundlesError
from medbundles.lines import say
from medbundles.parallel import on_all_cores

STATE = ("R", "_tracing")  # attributes of MONAI's transforms that change while they are used: no settings


def recipe_hash(transform: Callable) -> str:
    """Hash of a preprocessing: class names and settings of its steps, random states left out."""
    steps = transform.flatten().transforms if type(transform) is Compose else (transform,)
    return hashlib.sha256(repr([_settings(step) for step in steps]).encode()).hexdigest()


def _settings(step: Any) -> tuple[str, list[tuple[str, Any]]]:
    """Class name and attributes of a step; steps inside it likewise, because their repr holds an address."""
    return type(step).__qualname__, sorted((k, _value(v)) for k, v in vars(step).items() if k not in STATE)


def _value(value: Any) -> Any:
    # Python's own repr shows where an object lies in memory: another number in every process
    return _settings(value) if type(value).__repr__ is object.__repr__ and hasattr(value, "__dict__") else repr(value)


def _with_checksum(content: Any) -> bytes:
    """The content as a file; torch does not notice bytes that have changed."""
    file = io.BytesIO()
    torch.save(content, file)
    return zlib.crc32(file.getbuffer()).to_bytes(4) + file.getvalue()


def _checked(file: bytes) -> Any:
    """The content of a file.

    Raises:
        ValueError: it has changed since it was written.
    """
    content = memoryview(file)[4:]
    if zlib.crc32(content).to_bytes(4) != file[:4]:
        raise ValueError("its checksum is another one")
    return torch.load(io.BytesIO(content), weights_only=True)


class DiskCache:
    """Reads an item from the cache, or prepares and stores it.

    MONAI's PersistentDataset moves its files across file systems (not atomic) and fails on a file cut short by a kill;
    here a file is written beside its place and renamed, and one that cannot be read is made again.

    Args:
        read: prepares an item.
        folder: where the files go; made with the first one.
        recipe: hash of the preprocessing, part of every key.

    Raises:
        DataError: the folder cannot be written.
    """

    def __init__(self, read: Callable[[dict], dict], folder: str | os.PathLike, recipe: str):
        self.read, self.folder, self.recipe = read, Path(folder), recipe

    def path(self, item: dict) -> Path:
        """File of an item: its entries, size and time of its images (a changed image is read again), the recipe."""
        stats = [(file, *file_state(file)) for file in item_files(item)]
        key = repr((sorted(item.items()), stats, self.recipe, medbundles.__version__))
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()}.pt"

    def fill(self, items: Sequence[dict]) -> None:
        """Prepare and store the items that it does not have yet; processes on one machine share them."""
        there = set(os.listdir(self.folder)) if self.folder.is_dir() else set()
        missing = [self.path(item).name not in there for item in items]
        say(f"cache: {missing.count(False)} of {len(items)} images are in {self.folder}, which runs share")
        rank, count = local_rank_and_count()
        if rank == 0:
            remove_leftovers(self.folder)
        # each process has every so many of all: what is missing changes while the others fill
        ours = [item for item, is_missing in list(zip(items, missing, strict=True))[rank::count] if is_missing]
        for _ in on_all_cores(self._store, ours, "filling the disk cache"):
            pass

    def _store(self, item: dict) -> None:
        self(item)

    def __call__(self, item: dict) -> Any:
        """The prepared item, which may be `packed`."""
        path = self.path(item)
        if path.is_file():
            try:
                return _checked(path.read_bytes())
            except Exception:  # a broken file makes the reader raise almost anything
                path.unlink(missing_ok=True)  # a damaged file is made again below
        prepared = self.read(item)
        try:
            # not flushed: what a power cut takes from the cache is made again, and a flush per item would take time
            with replace_atomic(path, flush=False) as temporary:
                temporary.write_bytes(_with_checksum(packed(prepared)))
        except MedbundlesError as error:
            raise DataError(
                f"cache_dir: {self.folder} cannot be written; is the disk full? Use another folder, or cache memory."
            ) from error
        return prepared
