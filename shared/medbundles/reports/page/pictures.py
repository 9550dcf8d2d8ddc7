"""The pictures of a run in its page: smaller than its files, and no more than the page should weigh."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from medbundles.errors import DataError
from medbundles.reports.page.charts import Chart

SIDE, QUALITY = 1000, 82  # pixels of the longer side, and of JPEG
CHARTS = re.compile(r"(learning_curves|loss_curve|confusion_matrix|roc_curve|pr_curve|reliability)(_epoch_\d+)?")
NUMBERED = re.compile(r"(.+?)_?(\d+)")
EACH = 6  # of a kind, such as the images with the lowest Dice


def pictures(folder: Path, most: int) -> tuple[list[Chart], int]:
    """The pictures in a run's plots that are no charts.

    Args:
        folder: the run's.
        most: bytes that they may take in the page.

    Returns:
        The pictures, and how many were left out.

    Raises:
        DataError: one cannot be read.
    """
    found, taken, left = [], 0, 0
    for path, caption in _chosen(folder / "plots"):
        source = _embedded(path)
        if taken + len(source) > most:
            left += 1
            continue
        taken += len(source)
        found.append(Chart(source, caption))
    return found, left


def _chosen(folder: Path) -> Iterator[tuple[Path, str]]:
    """The pictures by kind, in the order of their numbers: the first of those that are numbered, and the last epoch."""
    kinds: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted(folder.glob("*.png")):
        if not CHARTS.fullmatch(path.stem):
            match = NUMBERED.fullmatch(path.stem)
            kind, number = (match[1], int(match[2])) if match else (path.stem, 0)
            kinds.setdefault(kind, []).append((number, path))
    for kind, numbered in kinds.items():
        several = sorted(numbered)
        for number, path in several[-1:] if kind.endswith("epoch") else several[:EACH]:
            yield path, f"{kind.replace('_', ' ')} {number or ''}".strip()


def _embedded(path: Path) -> str:
    try:
        with Image.open(path) as picture:
            smaller = picture.convert("RGB")
    except OSError as error:
        raise DataError(f"{path}: cannot be read as a picture: {error}") from error
    smaller.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    smaller.save(stream, format="JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
