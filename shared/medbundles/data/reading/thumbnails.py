"""A small square of what a picture shows, by which copies of it are known."""

import base64
import zlib
from collections.abc import Sequence
from functools import partial

import numpy as np
from PIL import Image

from medbundles.data.problems import Problems
from medbundles.data.reading.images import read_image
from medbundles.errors import DataError
from medbundles.parallel import on_all_cores

SIDE = 64  # pixels of a thumbnail's side
_LINES = 128  # rows and columns in which the picture's content is looked for
_EVEN = 0.2  # a line belongs to the border when its middle 80 % of pixels span less than this share of the picture's


def thumbnail(image: np.ndarray) -> np.ndarray:
    """The picture without its border, squeezed to 64x64 by averaging, from its darkest (0) to its brightest (255).

    Borders are even lines along the sides, whatever their value is: a black background, white frames, both. Small text
    in them does not count.

    Args:
        image: (C, H, W); the channels are averaged.

    Returns:
        uint8 (64, 64).
    """
    gray = np.asarray(image[0] if len(image) == 1 else image.mean(axis=0), dtype=np.float32)
    rows, columns = content(gray)
    small = _shrunk(gray[rows, columns], SIDE)
    low, high = small.min(), small.max()
    return np.rint((small - low) * (255 / max(high - low, np.finfo(np.float32).tiny))).astype(np.uint8)


def content(gray: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of a picture (H, W) inside its borders; all where hardly anything would be left."""
    small = _shrunk(gray, _LINES)
    ordered = np.sort(small, axis=None)
    least = _EVEN * (ordered[int(0.99 * ordered.size)] - ordered[int(0.01 * ordered.size)])
    top, bottom, left, right = 0, _LINES, 0, _LINES
    for _ in range(2):  # once more inside what is left: a white frame around a black background
        begin, end = _uneven(small[top:bottom, left:right], least)
        top, bottom = top + begin, top + end
        begin, end = _uneven(small[top:bottom, left:right].T, least)
        left, right = left + begin, left + end
    height, width = gray.shape
    return (
        slice(top * height // _LINES, -(-bottom * height // _LINES)),
        slice(left * width // _LINES, -(-right * width // _LINES)),
    )


def _uneven(lines: np.ndarray, least: float) -> tuple[int, int]:
    """First and last + 1 of the lines whose middle 80 % of pixels span more than `least`; all where few do."""
    ordered, last = np.sort(lines, axis=1), lines.shape[1] - 1
    (found,) = np.nonzero(ordered[:, int(0.9 * last)] - ordered[:, int(0.1 * last)] > least)
    return (int(found[0]), int(found[-1]) + 1) if found.size > len(lines) // 8 else (0, len(lines))


def _shrunk(gray: np.ndarray, side: int) -> np.ndarray:
    shrunk = Image.fromarray(np.ascontiguousarray(gray)).resize((side, side), Image.Resampling.BOX)
    return np.asarray(shrunk, dtype=np.float32)


def read_thumbnails(paths: Sequence[str], channels: int, problems: Problems) -> dict[str, str]:
    """Path -> `packed` thumbnail of each picture that can be read; the others are noted in `problems`.

    Args:
        paths: files of pictures, see `read_image`.
        channels: C that they must give.
        problems: gets what is wrong with those that cannot be read.
    """
    found: dict[str, str] = {}
    for path, result in zip(paths, on_all_cores(partial(_read, channels), paths, "reading pictures"), strict=True):
        if isinstance(result, DataError):
            problems.add(path, result)
        else:
            found[path] = result
    return found


def _read(channels: int, path: str) -> str | DataError:
    try:
        return packed(thumbnail(read_image(path, channels)))
    except DataError as error:
        return error


def packed(small: np.ndarray) -> str:
    """A thumbnail as text."""
    return base64.b64encode(zlib.compress(small.tobytes(), 1)).decode()


def unpacked(text: str) -> np.ndarray:
    """The thumbnail (64, 64) of a text made by `packed`.

    Raises:
        ValueError: it is none.
    """
    try:
        return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8).reshape(SIDE, SIDE)
    except zlib.error as error:
        raise ValueError(f"no thumbnail ({error})") from error
