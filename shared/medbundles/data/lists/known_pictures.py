"""What an earlier start found out about pictures: their thumbnails, and which of them are alike."""

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import medbundles
from medbundles.atomic_files import remove_leftovers, replace_atomic
from medbundles.data.lists.likeness import alike
from medbundles.data.problems import Problems
from medbundles.data.reading.files import file_state
from medbundles.data.reading.thumbnails import read_thumbnails
from medbundles.errors import MedbundlesError
from medbundles.lines import say

KEPT = 100  # comparisons of the last starts
logger = logging.getLogger("medbundles")
MANY = 2000  # pictures whose comparison takes so long that it is said


class KnownPictures:
    """Thumbnails and comparisons, kept in a file so that the next start with the same pictures finds them.

    A picture is known by its path, size and time; one that was changed is read again. Nothing is written before `save`.

    Args:
        cache_dir: folder of the file; None: nothing is kept.
        channels: C that pictures give; those of other networks have a file of their own.
    """

    def __init__(self, cache_dir: str | Path | None, channels: int):
        self.channels = channels
        # of this version alone: another one may make thumbnails or compare them otherwise
        name = f"pictures_{channels}_{medbundles.__version__}.npz"
        self.file = Path(cache_dir) / name if cache_dir else None
        self.states: dict[str, tuple[int, int]] = {}
        self.pictures: dict[str, str] = {}
        self.compared: dict[str, np.ndarray] = {}
        self.asked = dict[str, None]()  # comparisons, in order
        self.is_new = False
        if self.file and self.file.is_file():
            self._load(self.file)

    def _load(self, file: Path) -> None:
        try:
            with np.load(file, allow_pickle=False) as content:
                compared = {name: content[name].reshape(-1, 3) for name in content.files if len(name) == 64}
                names, pictures = (bytes(content[name]).decode().split("\0") for name in ("paths", "pictures"))
                states = content["states"]
            known = dict(zip(names, map(tuple, states.reshape(-1, 2).tolist()), strict=True))
            self.pictures = dict(zip(names, pictures, strict=True))
        except Exception as error:  # a broken file makes the reader raise almost anything; it is made again
            logger.debug("%s: %s", file, error)
            return
        self.compared, self.states = compared, known

    def thumbnails(self, paths: Sequence[str], problems: Problems) -> dict[str, str]:
        """As `read_thumbnails`, which reads those that are not known."""
        places = {path: os.path.abspath(path) for path in paths}
        states = {path: file_state(path) for path in paths if os.path.isfile(path)}
        new = [path for path in paths if path not in states or self.states.get(places[path]) != states[path]]
        for path, picture in read_thumbnails(new, self.channels, problems).items():
            self.states[places[path]], self.pictures[places[path]], self.is_new = states[path], picture, True
        bad = {path for path in new if self.states.get(places[path]) != states.get(path)}
        return {path: self.pictures[places[path]] for path in paths if path in states and path not in bad}

    def alike(self, thumbnails: Sequence[str], owners: Sequence[int]) -> list[tuple[int, int, float]]:
        """As `medbundles.data.lists.likeness.alike`, which compares pictures that were not compared before."""
        digest = hashlib.sha256()
        for text, owner in zip(thumbnails, owners, strict=True):
            digest.update(f"{text} {owner}\n".encode())
        key = digest.hexdigest()
        self.asked[key] = None
        if key not in self.compared:
            if len(thumbnails) >= MANY:
                say(f"comparing {len(thumbnails)} pictures with each other, once for all runs with this cache_dir")
            self.compared[key] = np.array(alike(thumbnails, owners), dtype=np.float64).reshape(-1, 3)
            self.is_new = True
            if len(thumbnails) >= MANY and self.file and self.file.parent.is_dir():
                self.save()  # already now: what follows may be a refusal
        return [(int(i), int(j), float(value)) for i, j, value in self.compared[key]]

    def save(self) -> None:
        """Write what was found out, if any of it is new; pictures that are gone and old comparisons are left out."""
        names = [name for name in self.pictures if os.path.isfile(name)]
        if self.file is None or not self.is_new or not names:
            return
        remove_leftovers(self.file.parent)
        last = [*(key for key in self.compared if key not in self.asked), *self.asked][-KEPT:]
        content: dict[str, Any] = {
            "states": np.array([self.states[name] for name in names], dtype=np.int64),
        }
        for name, texts in (("paths", names), ("pictures", [self.pictures[name] for name in names])):
            content[name] = np.frombuffer("\0".join(texts).encode(), dtype=np.uint8)
        try:
            with replace_atomic(self.file, flush=False) as temporary:
                np.savez(temporary, **content | {key: self.compared[key] for key in last if key in self.compared})
        except MedbundlesError as error:  # it only saves time
            logger.warning("%s What was found out about the pictures is not kept for the next start.", error)
        self.is_new = False
