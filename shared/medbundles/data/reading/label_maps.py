"""Masks as maps of classes: what a mask may hold, and what is wrong with one that does not fit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from medbundles.data.reading.files import is_volume
from medbundles.data.reading.images import read_labels
from medbundles.data.reading.volumes import read_volume
from medbundles.errors import first_few

MOST = 32  # values of a mask; what holds more is gray, and so is what holds fractions
ROUNDING = 1e-3  # by which a label may miss its whole number: a file's scale slope, or real numbers, leave 1.0000001
Counts = dict[float, int]  # value -> pixels


def read_label_map(path: str | Path) -> np.ndarray:
    """What a mask file holds: float32 (H, W) of a picture, (X, Y, Z) with canonical axes of a volume.

    Where all values are whole numbers but for rounding, they become these.

    Raises:
        DataError: as `read_labels` and `read_volume`.
    """
    held = read_volume(path, allow_constant=True)[0] if is_volume(path) else read_labels(path)
    whole = np.rint(held)
    return whole if np.abs(held - whole).max() <= ROUNDING else held


def is_gray(values: np.ndarray) -> bool:
    """Whether the different values of a mask are gray levels and no labels."""
    return len(values) > MOST or bool((values != np.rint(values)).any())


@dataclass(frozen=True)
class LabelRule:
    """How the values of masks become classes, 0 being the background.

    With one class beside the background (2 channels, or 1 with a sigmoid) a mask holds 0 and one other value; with
    more it holds 0 to channels - 1.

    Args:
        channels: of the network.
        threshold: the class is where the mask is at least this; None: masks hold labels.
        ignored: value of the pixels that are not labelled, which stays as it is; None: there is none.
        names: value -> what it means, for messages.
    """

    channels: int
    threshold: float | None = None
    ignored: int | None = None
    names: Mapping[int, str] = field(default_factory=dict)

    @property
    def highest(self) -> int:
        """The highest class."""
        return max(self.channels - 1, 1)

    def classes(self, held: np.ndarray) -> np.ndarray:
        """What a mask holds -> uint8 of the same shape."""
        if self.threshold:
            return (held >= self.threshold).astype(np.uint8)
        found = (held > 0 if self.highest == 1 else held).astype(np.uint8)
        return found if self.ignored is None else np.where(held == self.ignored, np.uint8(self.ignored), found)

    def counted(self, held: np.ndarray) -> Counts:
        """Value -> pixels of what a mask holds; of one with a threshold those of its classes."""
        values, counts = np.unique(self.classes(held) if self.threshold else held, return_counts=True)
        return dict(zip(values.tolist(), counts.tolist(), strict=True))

    def problem(self, counts: Counts) -> str | None:
        """What is wrong with a mask that holds this, or None."""
        values = np.array(sorted(counts))
        values = values[values != self.ignored]
        if not len(values):
            return "is not labelled anywhere"
        if is_gray(values):
            said = f"is gray: {len(values)} values from {values[0]:g} to {values[-1]:g}"
            return said + ("" if self.highest == 1 else "; several classes need a mask that is not interpolated")
        if self.highest == 1:
            wrong = values[values > 0] if np.count_nonzero(values > 0) > 1 else values[values < 0]
        else:
            wrong = values[(values < 0) | (values > self.highest)]
        if not len(wrong):
            return None
        meant = "0 and one other value are wanted" if self.highest == 1 else f"0 to {self.highest} are wanted"
        return f"holds {first_few(map(self.called, wrong))}; {meant} for out_channels {self.channels}"

    def class_of(self, value: float) -> int | None:
        """The class of a value that `counted` gives; None of pixels that are not labelled."""
        if value == self.ignored:
            return None
        return int(value > 0) if self.highest == 1 else int(value)

    def called(self, value: float) -> str:
        """A value in a message, with its name where it has one."""
        return f"{value:g}" + (f" ({self.names[int(value)]})" if value in self.names else "")
