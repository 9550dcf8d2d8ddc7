"""One HTML page of runs, to look at and to send."""

from pathlib import Path

from medbundles.errors import MedbundlesError
from medbundles.lines import size_in_words
from medbundles.reports.page import write_page
from medbundles.reports.run_page import NAME


def report(*runs: str, out: str | None = None, overwrite: bool = False) -> Path:
    """Write one HTML page of a run, of several runs side by side, or of a cross-validation.

    The file needs nothing beside it and no network: it opens from a mail. It shows the scores with their intervals and
    what costs nothing, curves, confusion matrix, ROC, precision-recall and reliability, the best and the worst cases,
    pictures, the command, what differs from the defaults, data, versions, time and memory; as far as the run has them.

    Args:
        runs: folders of runs, of an evaluation, or of an experiment that was cross-validated.
        out: the file; by default report.html in the folder of a single run, and here for several.
        overwrite: replace a file that is there.

    Returns:
        The file.

    Raises:
        MedbundlesError: a folder is none of a run, a file in it is broken, or the page cannot be written.

    Example:
        python -m tools report runs/segmentation/run_20260101_120000 runs/segmentation/run_20260102_090000
    """
    path = Path(out) if out else (Path(runs[0]) if len(runs) == 1 else Path()) / NAME
    if path.suffix != ".html":
        raise MedbundlesError(f"report: --out {out} must end in .html")
    its_own = len(runs) == 1 and not out  # that of a run's end, which may be written anew
    if path.exists() and not its_own and not overwrite:
        raise MedbundlesError(f"report: {path} is there already; give another --out, or --overwrite True")
    write_page(runs, path)
    print(f"{path}: {size_in_words(path.stat().st_size)}")
    return path
