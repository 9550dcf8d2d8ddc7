"""Collects what is wrong with many files, so that a user sees all of it at once."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import Any

from medbundles.errors import DataError

logger = logging.getLogger("medbundles")
ADVICE = "Mend or remove them, or leave them out with --skip_bad_files True."


class Problems:
    """A list of (path, what is wrong).

    Args:
        limit: lines shown in a message; the rest is counted ("... and 12 more").

    Example:
        >>> problems = Problems()
        >>> problems.add("a.png", "no mask for it")
        >>> len(problems)
        1
    """

    def __init__(self, limit: int = 20):
        self.limit = limit
        self.found: list[tuple[str, str]] = []
        self.doubts: list[tuple[str, str]] = []

    def add(self, path: str | PathLike, what: str | Exception) -> None:
        """Note that `path` is wrong; the path is not repeated when the text of a DataError begins with it."""
        text = str(what)
        self.found.append((str(path), text.removeprefix(f"{path}: ")))

    def doubt(self, info: Any) -> None:
        """Note what is doubtful in the header of a volume (`VolumeInfo`): it is said, and the volume is used."""
        self.doubts += [(info.path, what) for what in info.doubts]

    @contextmanager
    def noted(self, path: str | PathLike) -> Iterator[None]:
        """A DataError ends the block and is noted as what is wrong with `path`; what follows the block goes on."""
        try:
            yield
        except DataError as error:
            self.add(path, error)

    def __len__(self) -> int:
        return len(self.found)

    def text(self, of: list[tuple[str, str]] | None = None) -> str:
        """One line per problem (or of `doubts`), `path: what`, at most `limit` lines."""
        found = self.found if of is None else of
        lines = [f"  {path}: {what}" for path, what in found[: self.limit]]
        more = len(found) - self.limit
        return "\n".join(lines + ([f"  ... and {more} more"] if more > 0 else []))

    def settle(self, where: str | PathLike, skip: bool = False, advice: str = ADVICE) -> None:
        """Do nothing without problems; otherwise log them (`skip`) or raise them together. Doubts are logged.

        Args:
            where: folder the files are in, for the message.
            skip: the bad files are left out: only a warning to the logger "medbundles".
            advice: last line of the error; "" where leaving files out is no choice.

        Raises:
            DataError: there are problems and `skip` is False.
        """
        if self.doubts:
            logger.warning("%d doubtful header(s) in %s:\n%s", len(self.doubts), where, self.text(self.doubts))
            self.doubts = []
        if not self.found:
            return
        count = f"{len(self)} bad file{'s' if len(self) > 1 else ''}"
        if skip:
            logger.warning("%s in %s left out:\n%s", count, where, self.text())
            return
        raise DataError(f"{where}: {count}:\n{self.text()}" + (f"\n{advice}" if advice else ""))

    def good(self, items: list[dict], where: str | PathLike, skip: bool, instead: str = "") -> list[dict]:
        """The items that are left, after `settle`.

        Args:
            items: what is usable.
            where: folder the files are in, for the message.
            skip: the bad files are left out.
            instead: the advice where no item is left, so that leaving the others out is no choice.

        Raises:
            DataError: there are problems and `skip` is False, or nothing is left.
        """
        self.settle(where, skip, ADVICE if items else instead or "None of its files can be used.")
        if not items:
            raise DataError(f"{where}: no usable image is left")
        return items
