"""The pictures of a run in its page: smaller than its files, and no more than the page should weigh."""

import base64
import io
import re
from pathlib import Path

from PIL import Image

from medbundles.reports.page.charts import Chart

SIDE, SMALL, QUALITY = 1000, 640, 80  # pixels of the longer side, of one run and of several, and of JPEG
CHARTS = re.compile(r"(learning_curves|loss_curve|confusion_matrix|roc_curve|pr_curve|reliability)(_epoch_\d+)?")
NUMBERED = re.compile(r"(.+?)_?(\d+)")
PIXELS = 50_000_000  # of a picture that is opened
EACH = 6  # of a kind, such as the images with the lowest Dice


def pictures(folder: Path, most: int, side: int = SIDE) -> tuple[list[Chart], list[str]]:
    """The pictures in a run's plots that are no charts.

    Args:
        folder: the run's.
        most: bytes that they may take in the page.
        side: pixels of the longer side of each.

    Returns:
        The pictures, and the names of those that were left out: they are further ones of their kind, there was no room
        for them, they cannot be read, or they are no files of the run, but links and the like.
    """
    chosen, left = _chosen(folder / "plots")
    found, taken = [], 0
    for path, caption in chosen:
        source = _embedded(path, side) if _is_own(path, folder) else None
        if source is None or taken + len(source) > most:
            left.append(path.name)
            continue
        taken += len(source)
        found.append(Chart(source, caption))
    return found, left


def _chosen(folder: Path) -> tuple[list[tuple[Path, str]], list[str]]:
    """The pictures by kind, in the order of their numbers: the first of those that are numbered, and the last epoch;
    and the names of the numbered ones that are none of the first."""
    kinds: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted(folder.glob("*.png"), key=lambda path: (not path.stem.startswith(("best_", "worst_")), path)):
        if not CHARTS.fullmatch(path.stem):
            match = NUMBERED.fullmatch(path.stem)
            kind, number = (match[1], int(match[2])) if match else (path.stem, 0)
            kinds.setdefault(kind, []).append((number, path))
    chosen, rest = list[tuple[Path, str]](), list[str]()
    for kind, numbered in kinds.items():
        several = sorted(numbered)
        first = several[-1:] if kind.endswith("epoch") else several[:EACH]
        chosen += [(path, f"{kind.replace('_', ' ')} {number or ''}".strip()) for number, path in first]
        rest += [] if kind.endswith("epoch") else [path.name for _, path in several[EACH:]]
    return chosen, rest


def _is_own(path: Path, folder: Path) -> bool:
    """Whether it is a file in the run's folder, and no link to another one or a pipe that never ends."""
    return path.is_file() and path.resolve().is_relative_to(folder.resolve())


def _embedded(path: Path, side: int) -> str | None:
    """The picture as a data URI; None: it cannot be read, or has too many pixels to be one of ours."""
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > PIXELS:
                return None
            smaller = picture.convert("RGB")
    except (OSError, Image.DecompressionBombError):
        return None
    smaller.thumbnail((side, side))
    stream = io.BytesIO()
    smaller.save(stream, format="JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
