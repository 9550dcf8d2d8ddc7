"""Reads one picture or one slice of a volume, or of a case's volumes, for inference."""

import numpy as np
from monai.transforms import Transform

from medbundles.data.reading.images import Colour, read_image
from medbundles.data.reading.volumes import open_volumes
from medbundles.errors import DataError
from medbundles.rules import AUTO, has_rules
from medbundles.transforms.loading import COLOUR_COUNTS, with_pixels


@has_rules(*COLOUR_COUNTS)
class LoadInferenceSlice(Transform):
    """Pixels of an item of `inference_datalist`: what `LoadSlice` gives for the same pixels, without mask and label.

    Reads "image" (path, or a list of the paths of a case's volumes, which become the channels), "slice" (-1 or left
    out: a picture) and of a volume "slices", how many it has. Writes "image" float32 (C, H, W), "image_path" (the
    first), "original_size" tensor [H, W] and "empty" bool. A slice of a volume is empty when it is constant, as the
    ends of many volumes are. Normalisation refuses constants, so one pixel of it is set apart; what a network says of
    it is not used.

    Args:
        channels: C; a gray slice is repeated for 3.
        colour_channel: see `read_image`.

    Raises:
        DataError: the file cannot be read, or has colours of which `colour_channel` says nothing.
    """

    def __init__(self, channels: int = 1, colour_channel: Colour = AUTO):
        self.channels, self.colour_channel = channels, colour_channel

    def __call__(self, data: dict) -> dict:
        if data.get("slice", -1) < 0:
            image = read_image(data["image"], self.channels, colour=self.colour_channel)
            return with_pixels(data, image) | {"empty": False}
        paths = (data["image"],) if isinstance(data["image"], str) else tuple(data["image"])
        volumes = open_volumes(paths)
        for path, volume in zip(paths, volumes, strict=True):
            if len(volume.slices) != data["slices"]:
                now = len(volume.slices)
                raise DataError(f"{path}: has {now} slices now, it had {data['slices']} when the run began")
        image = np.stack([volume.slices[data["slice"]] for volume in volumes])  # a copy: the volumes are kept
        empty = bool((image == image[:, :1, :1]).all())
        if empty:
            image[:], image[:, 0, 0] = 0, 1
        image = np.repeat(image, self.channels // len(image), axis=0)
        return with_pixels({**data, "image": paths[0]}, image) | {"empty": empty}
