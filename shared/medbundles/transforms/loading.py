"""Reads the files of one item."""

from collections.abc import Sequence

import numpy as np
import torch
from monai.transforms import Transform

from medbundles.data.lists.modalities import ONE_CHANNEL_EACH
from medbundles.data.reading.images import Colour, read_image, read_mask
from medbundles.errors import DataError, refuse
from medbundles.rules import AUTO, EVERYWHERE, TRAINING, Rule, has_rules


def _are_classes(slice_classes: Sequence[str], class_names: Sequence[str]) -> str | None:
    if set(slice_classes) <= set(class_names):
        return None
    return (
        f"slice_classes: {list(slice_classes)} must be two of class_names {list(class_names)}: the class of a slice "
        "without tumour, and that of one with."
    )


def _colour_counts(colour_channel: Colour, in_channels: int) -> str | None:
    if colour_channel == AUTO or in_channels == 1:
        return None
    return f"colour_channel: {colour_channel} does nothing with in_channels {in_channels}; leave it 'auto'."


COLOUR_COUNTS = tuple(
    Rule(("colour_channel", channels), _colour_counts, EVERYWHERE)
    for channels in ("in_channels", "network_def#in_channels")
)


@has_rules(
    *COLOUR_COUNTS, ONE_CHANNEL_EACH, Rule(("slice_classes", "class_names"), _are_classes, (*TRAINING, "evaluate"))
)
class LoadSlice(Transform):
    """Pixels of a slice and of its mask.

    Not MONAI's LoadImage: it takes what a file holds as it is, whatever its channels, mask values or palette.

    Reads "image" (path), "mask" (path, or "" where there is none) and "label". Writes "image" float32 (C, H, W),
    "mask" uint8 (1, H, W) of class indices (zeros without a mask), "image_path", "original_size" tensor [H, W], and
    "label": a negative one means "not known before the mask is read" and becomes that of the slice's class.

    Args:
        channels: C.
        mask_classes: segmentation channels of the network; fixes which mask values are allowed (see `read_mask`).
        class_names: names of the classes, in the order of the labels.
        slice_classes: of these the class of a slice without tumour, and that of one with.
        colour_channel: see `read_image`.

    Raises:
        ConfigError: a slice class that is no class.
        DataError: a file cannot be read or holds unexpected values, mask and image differ in size, or an image has
            colours of which `colour_channel` says nothing.
    """

    def __init__(
        self,
        channels: int = 1,
        mask_classes: int = 1,
        class_names: Sequence[str] = ("no", "yes"),
        slice_classes: Sequence[str] = ("no", "yes"),
        colour_channel: Colour = AUTO,
    ):
        refuse([_are_classes(slice_classes, class_names)])
        self.channels, self.mask_classes, self.colour_channel = channels, mask_classes, colour_channel
        self.labels = [list(class_names).index(name) for name in slice_classes]

    def __call__(self, data: dict) -> dict:
        path, mask_path = data["image"], data["mask"]
        item = with_pixels(data, read_image(path, self.channels, colour=self.colour_channel))
        size = item["image"].shape[1:]
        mask = read_mask(mask_path, self.mask_classes) if mask_path else np.zeros((1, *size), dtype=np.uint8)
        if mask.shape[1:] != size:
            raise DataError(
                f"{mask_path}: the mask has {mask.shape[1]}x{mask.shape[2]} pixels (height x width), "
                f"its image {path} has {size[0]}x{size[1]}; they must be equal"
            )
        if item["label"] < 0:
            item["label"] = self.labels[int(mask.any())]
        return item | {"mask": mask}


def with_pixels(item: dict, image: np.ndarray) -> dict:
    """The item with its image (C, H, W) instead of the image's path, which is "image_path" then."""
    return item | {"image": image, "image_path": str(item["image"]), "original_size": torch.tensor(image.shape[1:])}
