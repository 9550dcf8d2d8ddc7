"""Inputs of an inference that have no results: one does not stop the others."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medbundles.data.problems import Problems
from medbundles.errors import DataError
from medbundles.ranks import is_rank_0

logger = logging.getLogger("medbundles")


class FailedInputs(dict[str, str]):
    """Path of an input -> why it has no results."""

    @contextmanager
    def noted(self, path: str) -> Iterator[None]:
        """A DataError ends the block, and the input counts as failed."""
        try:
            yield
        except DataError as error:
            self.add(path, str(error).removeprefix(f"{path}: "))

    def add(self, path: str, what: str) -> None:
        """Note an input, and say it; the first reason counts."""
        if path not in self:
            logger.warning("no results of %s: %s", path, what)
            self[path] = what

    def settle(self, done: int, output: Path, skip_bad_files: bool) -> None:
        """Say at the end which there are.

        Args:
            done: how many inputs have results.
            output: where these are, and predictions.json.
            skip_bad_files: whether some that failed are no error.

        Raises:
            DataError: some failed, and are an error; or all did.
        """
        if not self:
            return
        problems = Problems()
        for path, what in self.items():
            problems.add(path, what)
        many = f"{len(self)} of {done + len(self)} inputs have no results:\n{problems.text()}"
        if not done:
            raise DataError(f"{many}\nThey are listed in {output}/predictions.json.")
        if not skip_bad_files:
            raise DataError(
                f"{many}\nThose of the others are in {output}, and these are listed there in predictions.json. "
                "With --skip_bad_files True this is no error."
            )
        if is_rank_0():
            logger.warning("%s", many)
