"""What the images of a training were like, and which inputs of an inference are unlike them."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from monai.transforms import Compose, Transform

from medbundles.data.reading.checkpoint_files import Checkpoint, checkpoint_files
from medbundles.data.reading.files import is_volume, paths_of
from medbundles.data.reading.nifti import read_header
from medbundles.data.reading.trained_file import read_trained
from medbundles.data.reading.volumes import open_volumes
from medbundles.parallel import on_all_cores
from medbundles.rules import AUTO
from medbundles.transforms.head import quantiles

logger = logging.getLogger("medbundles")
NAME = "training_images"
UNITS = {"spacing": " mm", "size": " pixels", "intensity": ""}
LOOKED_AT = 32  # images of a training, evenly spread
ODD = 0.05  # share of them at each end that does not count
MARGIN = 1.25  # by which a spacing or size may leave the training's; intensities by a quarter of their range
PIXELS = 100_000  # of an image that give its range of intensities

Range = tuple[float, float]
Ranges = Sequence[Sequence[Any]]  # [name, lowest, highest] each


def measured(item: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Range]:
    """Smallest and largest spacing (mm, of volumes) and side, and the intensities between which 98 % of the pixels lie.

    Args:
        item: as a loader leaves it: "image" (C, ...) with the file's values, or with "value_range" [low, high] those
            that 0 and 1 stand for. Of a slice of a volume ("slice" of an input) the volume's intensities count.
        paths: the files.
    """
    image = np.asarray(item["image"])
    low, high = item.get("value_range", (0.0, 1.0))
    scaled = [image * (float(high) - float(low)) + float(low)]
    pixels = [volume.slices for volume in open_volumes(paths)] if item.get("slice", -1) >= 0 else scaled
    ends = [quantiles(values.reshape(-1)[:: values.size // PIXELS | 1], 0.01, 0.99) for values in pixels]
    found = {"size": image.shape[1:], "intensity": (min(low for low, _ in ends), max(high for _, high in ends))}
    found |= {"spacing": read_header(paths[0], None)[1].spacing} if is_volume(paths[0]) else {}
    return {name: (float(min(values)), float(max(values))) for name, values in found.items()}


def ranges_of(dataset: Any) -> Ranges:
    """What the images of a training are like: [name, lowest, highest], without the most odd of those looked at.

    Args:
        dataset: a `SeededDataset`. Where its preprocessing does not begin with the step that loads, nothing is known.
    """
    load = dataset.transform.transforms[0] if isinstance(dataset.transform, Compose) else dataset.transform
    every = len(dataset.data)
    places = np.unique(np.linspace(0, every - 1, min(LOOKED_AT, every)).round().astype(int))
    items = [dataset.data[place] for place in places]
    found = list(on_all_cores(partial(_measured_file, load), items, "measuring the training's images"))
    ranges = []
    for name in dict.fromkeys(name for one in found for name in one):
        lows, highs = np.array([one[name] for one in found if name in one]).T
        low, high = np.quantile(lows, ODD, method="lower"), np.quantile(highs, 1 - ODD, method="higher")
        ranges.append([name, round(float(low), 6), round(float(high), 6)])
    return ranges


def _measured_file(load: Callable[[dict], dict], item: Mapping[str, Any]) -> dict[str, Range]:
    loaded = load(dict(item))
    return measured(loaded, paths_of(item["image"])) if hasattr(loaded["image"], "shape") else {}


def union_of(every: Sequence[Ranges]) -> Ranges:
    """What the images of several trainings were like together."""
    lowest, highest = dict[str, Any](), dict[str, Any]()
    for name, low, high in (one for ranges in every for one in ranges):
        lowest[name], highest[name] = min(low, lowest.get(name, low)), max(high, highest.get(name, high))
    return [[name, lowest[name], highest[name]] for name in lowest]


def outside_of(found: Mapping[str, Range], ranges: Ranges) -> str:
    """In which way an image is unlike those of the training; empty where it is not.

    Args:
        found: what `measured` gives.
        ranges: what `ranges_of` gives.
    """
    said = []
    for name, low, high in ranges:
        margin = (high - low) / 4
        lowest, highest = (low - margin, high + margin) if name == "intensity" else (low / MARGIN, high * MARGIN)
        if name in found and (found[name][0] < lowest or found[name][1] > highest):
            here, there = (f"{a:.4g} to {b:.4g}" if a != b else f"{a:.4g}" for a, b in (found[name], (low, high)))
            said.append(f"{name} {here}{UNITS.get(name, '')}, the training had {there}")
    return "; ".join(said)


class MarkOutside(Transform):
    """Loads an input, and writes "outside": how it is unlike the training's images, "" where it is not.

    An item that is no image on disk (a latent that is drawn) passes with "outside" "".

    Args:
        load: the step that loads.
        training_images: what `ranges_of` gave; "auto": what trained.json beside the weights says, if it is there; an
            empty list: nothing is marked. Of an ensemble an image is like the training's where it is like one's.
        checkpoint: the weights, see `checkpoint_files`.

    Raises:
        CheckpointError: trained.json is broken.
    """

    def __init__(
        self, load: Callable[[dict], dict], training_images: Ranges | str = AUTO, checkpoint: Checkpoint | None = None
    ):
        self.load, self.ranges = load, training_images
        if training_images == AUTO:
            files = checkpoint_files(checkpoint) if checkpoint else []
            stored = [read_trained(file).get(NAME, AUTO) for file in files]
            self.ranges = union_of([ranges for ranges in stored if ranges != AUTO])
            if not self.ranges and any(file.is_file() for file in files):  # else that there are no weights is said
                logger.info("the weights do not say what their training's images were like: no input is marked")
        self.last: tuple[Any, str] = (None, "")  # the slices of a volume share what is said of it

    def __call__(self, data: dict) -> dict:
        item, text = self.load(data), ""
        if self.ranges and "image" in data:
            paths = paths_of(data["image"])
            if self.last[0] != paths:
                self.last = (paths, outside_of(measured(item, paths), self.ranges))
            text = self.last[1]
        return {**item, "outside": text}
