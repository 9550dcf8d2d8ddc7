"""Settings that follow from the training images: spacing, kind of intensities, names of the classes."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medbundles.data.lists.segmentation_parts import SegmentationParts
from medbundles.data.reading.channels import read_channels
from medbundles.data.reading.files import paths_of
from medbundles.data.reading.images import LUMINANCE
from medbundles.data.reading.label_maps import read_label_map
from medbundles.data.reading.nifti import by, read_header
from medbundles.errors import ConfigError
from medbundles.rules import AUTO

logger = logging.getLogger("medbundles")
LOOKED_AT = 32  # training volumes whose voxels are read, evenly spread
AIR = -500.0  # below what MR intensities are, and above what CT has of air, in Hounsfield units
ENDS = (0.5, 99.5)  # percentiles of the foreground to which CT is clipped, as nnU-Net does (Isensee et al. 2021)
VOXELS = 100_000  # of a volume's foreground that count
FILLED = 0.5  # of a patch that should be image, and no repeated border


def measured_settings(
    data: SegmentationParts, spatial_dims: int, channels: int, window: Sequence[int] | None = None, **settings: Any
) -> dict[str, Any]:
    """The settings, with what the training set says in the place of "auto"; the other sets have no say.

    - spacing: of volumes the median of each axis, in mm; of pictures None.
    - modality: "ct" or "mri" of volumes, "rgb" or "xray" of pictures, by the channels' names in a dataset.json, or by
      whether volumes hold air and pictures three channels.
    - ct_values: [lowest, highest, mean, standard deviation] of the foreground's voxels, the first two of them
      percentiles; None where the modality is another.
    - label_names: of all classes, background first, as the dataset.json has them, else their numbers; of regions, if
      there are any, which have no background.
    - regions: the labels of each, as the dataset.json has them; None: there are none.
    - channel_names: of these those that have a mask: all but the background.

    Of volumes the log says how many voxels they have then, and warns of patches that are mostly larger than they are.

    Args:
        data: the sets of a split.
        spatial_dims: 2 or 3.
        channels: of an image.
        window: sides of a patch; None: there are none.
        settings: by their names.

    Raises:
        ConfigError: as many label_names are wanted as there are classes.
    """
    found, items = dict(settings), data["train"]
    some = [items[i] for i in np.unique(np.linspace(0, len(items) - 1, LOOKED_AT).round().astype(int))]
    if settings["spacing"] == AUTO:
        found["spacing"] = _spacing(items) if spatial_dims == 3 else None
    if settings["modality"] == AUTO:
        found["modality"] = _modality(some, data.modalities, spatial_dims, channels)
    if settings["ct_values"] == AUTO:
        found["ct_values"] = _ct_values(some, spatial_dims, channels) if found["modality"] == "ct" else None
    rule = data.labels.rule
    found["regions"], names = [list(region) for region in rule.regions] or None, rule.class_names
    found["label_names"] = names if settings["label_names"] == AUTO else list(settings["label_names"])
    if len(found["label_names"]) != len(names):
        each = "region" if rule.regions else "class, background first"
        raise ConfigError(f"label_names: {found['label_names']} must be {len(names)} names, one for each {each}.")
    found["channel_names"] = found["label_names"][0 if rule.regions else 1 :]
    if spatial_dims == 3:
        _say_sizes(items, found["spacing"] or None, window)
    return found


def _spacing(items: Sequence[Mapping[str, Any]]) -> list[float]:
    every = [read_header(paths_of(item["image"])[0], None)[1].spacing for item in items]
    return [round(float(side), 4) for side in np.median(every, axis=0)]


def _say_sizes(items: Sequence[Mapping[str, Any]], spacing: Sequence[float] | None, window: Sequence[int] | None):
    infos = [read_header(paths_of(item["image"])[0], None)[1] for item in items]
    share = [np.divide(info.spacing, spacing or info.spacing) for info in infos]
    sizes = [np.maximum(np.rint(info.canonical_shape * ratio), 1) for info, ratio in zip(infos, share, strict=True)]
    median = np.median(sizes, axis=0).round().astype(int)
    voxels = f"are brought to voxels of {by(spacing)} mm, and have then" if spacing else "stay as they are, and have"
    logger.info("training volumes %s %s voxels (median)", voxels, by(median))
    filled = [np.minimum(size / (window or size), 1).prod() for size in sizes]
    if window and np.median(filled) < FILLED:
        fits = [min(side, n + -n % 4) for side, n in zip(window, median.tolist(), strict=True)]
        logger.warning(
            "image_size: of a patch of %s only %.0f %% is image in half of the training volumes, the rest repeats "
            'their border; --image_size "[%s]" holds them in less time.',
            by(window), 100 * np.median(filled), ",".join(map(str, fits)),
        )  # fmt: skip


def _modality(items: Sequence[Mapping[str, Any]], named: Sequence[str], dims: int, channels: int) -> str:
    if named and all(name.upper().startswith("CT") for name in named):
        return "ct"
    if dims == 2:
        return "rgb" if channels == 3 else "xray"
    if named:
        return "mri"
    images = (read_channels(paths_of(item["image"]), dims, channels)[0] for item in items[:4])
    return "ct" if any(image.min() < AIR for image in images) else "mri"


def _ct_values(items: Sequence[Mapping[str, Any]], dims: int, channels: int) -> list[float]:
    found = []
    for item in items:
        image, _ = read_channels(paths_of(item["image"]), dims, channels, LUMINANCE)
        inside = image[:, read_label_map(item["mask"]) > 0].ravel()
        found.append(inside[:: inside.size // VOXELS | 1])
    every = np.concatenate(found)
    return [round(float(value), 4) for value in (*np.percentile(every, ENDS), every.mean(), every.std())]
