"""What the masks of pairs hold, and what is written for it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from medbundles.data import Problems, read_volume
from medbundles.data.lists.pairs import Pair
from medbundles.data.reading.files import is_volume
from medbundles.data.reading.images import check_header, read_labels
from medbundles.data.reading.label_maps import MOST
from medbundles.data.reading.nifti import read_header
from medbundles.data.reading.volumes import SlicedVolume
from medbundles.errors import DataError, first_few
from medbundles.progress import progress

GRAY_MASKS = "Gray masks need --threshold, the value from which on a pixel counts, such as --threshold 128."
_GRAY, _HOLDS = "is gray: ", "holds "  # how it begins what is said of a mask, and what to do then
_ADVICE = {
    _GRAY: GRAY_MASKS,
    _HOLDS: "--labels whole takes whatever is above 0, --labels classes keeps each value as a class of its own.",
}


def mask_values(pairs: Sequence[Pair], threshold: float, problems: Problems) -> dict[str, set[float]]:
    """Name -> what its mask holds; masks that cannot be read, are gray or have another size are noted instead."""
    found = {}
    for pair in progress(pairs, "masks"):
        with problems.noted(pair.mask):
            values, size = np.unique(mask_labels(pair.mask, threshold)), size_of(pair.mask)
            for path in pair.images:
                if (other := size_of(path)) != size:
                    raise DataError(f"{pair.mask}: is {_in_words(size)}, its image {path} is {_in_words(other)}")
            if len(values) > MOST:
                raise DataError(f"{pair.mask}: {_GRAY}{len(values)} values from {values[0]:g} to {values[-1]:g}")
            found[pair.name] = set(values.tolist())
    return found


def mask_labels(mask: Path, threshold: float) -> np.ndarray:
    """(Z, H, W); nothing but 0 and the threshold, where one is given."""
    held = SlicedVolume.of(*read_volume(mask, True)).slices if is_volume(mask) else read_labels(mask)[None]
    return np.where(held >= threshold, threshold, 0) if threshold else held


def size_of(path: Path) -> tuple[int, ...]:
    """(H, W) of a picture, (X, Y, Z) of a volume."""
    shape = read_header(path)[1].canonical_shape if is_volume(path) else (1,)
    return check_header(path) if 1 in shape else shape


def _in_words(size: tuple[int, ...]) -> str:
    return f"{'x'.join(map(str, size))} ({'HxW' if len(size) == 2 else 'XxYxZ'})"


def meaning(
    pairs: Sequence[Pair], values: Mapping[str, set[float]], labels: str, names: Mapping[int, str], problems: Problems
) -> dict[float, int]:
    """Value of a mask -> what is written for it: 0, 255 for the object, or a class; masks of other values are noted."""
    count = Counter(value for held in values.values() for value in held if value > 0)
    known = {0.0, *map(float, names)} if names else {0.0, *count}
    if not count and len(values) == len(pairs):
        raise DataError(f"{pairs[0].mask.parent}: every mask is empty")
    usual = max(count, key=lambda value: (count[value], value), default=0.0)
    allowed = sorted({0.0, usual} & known if labels == "one" else known)
    wanted = first_few(_value(value, names) for value in allowed)
    for pair in pairs:
        held = values.get(pair.name, set())
        if not held <= set(allowed):
            problems.add(pair.mask, f"{_HOLDS}{first_few(_value(v, names) for v in sorted(held))}; wanted: {wanted}")
    return {value: number if labels == "classes" else 255 * (value > 0) for number, value in enumerate(allowed)}


def values_advice(found: Iterable[tuple[str, str]]) -> list[str]:
    """What to do about masks (file, what is wrong) that were noted for their values."""
    said = [what for _, what in found]
    return [advice for begin, advice in _ADVICE.items() if any(what.startswith(begin) for what in said)]


def _value(value: float, names: Mapping[int, str]) -> str:
    return f"{value:g}" + (f" ({names[int(value)]})" if value in names else "")
