"""What the masks of a data set hold, counted once for all runs."""

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import medbundles
from medbundles.atomic_files import write_json_atomic
from medbundles.data.problems import Problems
from medbundles.data.reading.files import file_state
from medbundles.data.reading.label_maps import MOST, Counts, LabelRule, read_label_map
from medbundles.errors import DataError, MedbundlesError
from medbundles.parallel import on_all_cores

logger = logging.getLogger("medbundles")


class KnownLabels:
    """Counts of the values in masks, kept in a file so that the next start with the same masks finds them.

    A mask is known by its path, size and time; one that was changed is read again. Nothing is written before `save`.

    Args:
        cache_dir: folder of the file; None: nothing is kept.
        rule: how masks are read.
    """

    def __init__(self, cache_dir: str | Path | None, rule: LabelRule):
        self.rule, self.is_new = rule, False
        name = f"labels_{rule.threshold or 0:g}_{medbundles.__version__}.json"
        self.file = Path(cache_dir) / name if cache_dir else None
        self.known: dict[str, tuple[list[int], Counts]] = {}
        if self.file and self.file.is_file():
            self._load(self.file)

    def _load(self, file: Path) -> None:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            self.known = {path: (state, dict(counts)) for path, (state, counts) in content.items()}
        except (OSError, ValueError, TypeError, AttributeError) as error:  # it is made again
            logger.debug("%s: %s", file, error)

    def counts(self, paths: Sequence[str], problems: Problems) -> dict[str, Counts]:
        """Path -> what the mask holds; those that cannot be read are noted instead."""
        states = {path: [*file_state(path)] for path in paths}
        found = {
            path: known[1]
            for path in paths
            if (known := self.known.get(os.path.abspath(path), ([], {})))[0] == states[path]
        }
        new = [path for path in paths if path not in found]
        for path, counts in zip(new, on_all_cores(self._counted, new, "reading the masks"), strict=True):
            if isinstance(counts, str):
                problems.add(path, counts)
                continue
            found[path] = counts
            if len(counts) <= MOST:
                self.known[os.path.abspath(path)], self.is_new = (states[path], counts), True
        return found

    def _counted(self, path: str) -> Counts | str:
        try:
            return self.rule.counted(read_label_map(path))
        except DataError as error:
            return str(error)

    def save(self) -> None:
        """Write what was counted, if any of it is new; masks that are gone are left out."""
        if self.file is None or not self.is_new:
            return
        content = {
            path: [state, [*counts.items()]] for path, (state, counts) in self.known.items() if os.path.isfile(path)
        }
        try:
            write_json_atomic(self.file, content)
        except MedbundlesError as error:  # it only saves time
            logger.warning("%s What the masks hold is not kept for the next start.", error)
        self.is_new = False
