"""Bad inputs of an inference: they do not stop the others, and are listed at the end."""

from os import PathLike

from medbundles.data.problems import Problems
from medbundles.data.reading.inference_record import FAILED


def with_failed(
    items: list[dict], problems: Problems, where: str | PathLike, *, instead: str = "", done: bool = False
) -> list[dict]:
    """The items, and behind them one for each bad input, with what is wrong under "failed" (see `InputDataset`).

    Args:
        items: what is usable.
        problems: what is not; doubts are logged.
        where: folder the inputs are in, for the message.
        instead: the advice where no item is left.
        done: others have results already, so that none need be left.

    Raises:
        DataError: nothing is left; all that is wrong is listed.
    """
    if not items and not done:
        return problems.good(items, where, False, instead)
    failed = [{"image": path, "name": path, FAILED: what} for path, what in problems.found]
    problems.found = []
    problems.settle(where)
    return [*items, *failed]
