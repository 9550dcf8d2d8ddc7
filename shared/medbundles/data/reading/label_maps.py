"""Masks as maps of classes: what a mask may hold, and what is wrong with one that does not fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
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


def regions_order(regions: Sequence[Sequence[int]]) -> list[int] | None:
    """The label of each region by which they become one map again, each painted over those before it: the first of its
    labels that no later region has (nnU-Net's regions_class_order). None where a region has no such label, or where
    painting takes a label out of a region: of [2, 3] and [1, 2] what is in both would be in the second alone."""
    regions_of = {label: [n for n, region in enumerate(regions) if label in region] for label in chain(*regions)}
    found = [next((n for n in region if regions_of[n][-1] == place), 0) for place, region in enumerate(regions)]
    return found if all(found) and all(regions_of[found[each[-1]]] == each for each in regions_of.values()) else None


@dataclass(frozen=True)
class LabelRule:
    """How the values of masks become classes, 0 being the background.

    With one class beside the background (2 channels, or 1 with a sigmoid) a mask holds 0 and one other value; with
    more it holds 0 to channels - 1. With regions, which may overlap, it holds 0 and the labels that they consist of.

    Args:
        channels: of the network.
        threshold: the class is where the mask is at least this; None: masks hold labels.
        ignored: value of the pixels that are not labelled, which stays as it is; None: there is none.
        names: value -> what it means, for messages.
        regions: the labels of each region, one for each channel; empty: there are classes.
        region_names: of each; empty: their labels, as 1+2+4.
    """

    channels: int
    threshold: float | None = None
    ignored: int | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    regions: Sequence[Sequence[int]] = ()
    region_names: Sequence[str] = ()

    @property
    def is_binary(self) -> bool:
        """Whether there is one class, which any value may stand for."""
        return self.channels <= 2 and not self.regions

    @property
    def labels(self) -> list[int]:
        """What masks hold, 0 first."""
        found = {label for region in self.regions for label in region} or range(1, max(self.channels, 2))
        return [0, *sorted(found)]

    @property
    def class_names(self) -> list[str]:
        """Of all classes, the background first; of regions, which have no background, those of each."""
        if not self.regions:
            return [self.names.get(label, str(label)) for label in self.labels]
        return list(self.region_names) or ["+".join(map(str, region)) for region in self.regions]

    def classes(self, held: np.ndarray) -> np.ndarray:
        """What a mask holds -> uint8 of the same shape: classes, or the labels that regions consist of."""
        if self.threshold:
            return (held >= self.threshold).astype(np.uint8)
        found = (held > 0 if self.is_binary else held).astype(np.uint8)
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
            return said + ("" if self.is_binary else "; several classes need a mask that is not interpolated")
        if self.is_binary:
            wrong = values[values > 0] if np.count_nonzero(values > 0) > 1 else values[values < 0]
        else:
            wrong = values[~np.isin(values, self.labels)]
        if not len(wrong):
            return None
        held = f"holds {first_few(map(self.called, wrong))}"
        if self.regions:
            regions = [list(region) for region in self.regions]
            return f"{held}; the labels of the regions {regions} are wanted, and 0 for what is in none"
        meant = "0 and one other value are wanted" if self.is_binary else f"0 to {self.labels[-1]} are wanted"
        return f"{held}; {meant} for out_channels {self.channels}"

    def is_foreground(self, value: float) -> bool:
        """Whether a value that `counted` gives is neither background nor "not labelled"."""
        return value not in (0, self.ignored)

    def classes_of(self, value: float) -> list[int]:
        """The places in `class_names` of what such a value stands for; none of pixels that are not labelled."""
        if value == self.ignored:
            return []
        if self.regions:
            return [number for number, region in enumerate(self.regions) if value in region]
        return [int(value > 0) if self.is_binary else int(value)]

    def called(self, value: float) -> str:
        """A value in a message, with its name where it has one."""
        return f"{value:g}" + (f" ({self.names[int(value)]})" if value in self.names else "")
