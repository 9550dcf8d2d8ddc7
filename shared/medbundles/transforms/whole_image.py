"""Reads whole images for a network that reconstructs them: from the file's values to 0 to 1."""

import numpy as np
import torch
from monai.transforms import Transform

from medbundles.data.reading.image_form import ImageForm
from medbundles.data.reading.images import Colour, read_image
from medbundles.data.reading.volumes import read_volume
from medbundles.rules import AUTO, has_rules
from medbundles.transforms.loading import COLOUR_COUNTS


@has_rules(*COLOUR_COUNTS)
class LoadWholeImage(Transform):
    """An image with values from 0 to 1, and the range that brings them back.

    What the file holds decides on the range: 0 to 255 where it is a picture of 8 bits, so that gray levels compare
    between pictures and a dark one stays dark; else the image's smallest and largest value (12 bits in a file of 16
    would be nearly black).

    Reads "image" (path); an item without one passes as it is. Writes "image" float32 (C, H, W) or (C, X, Y, Z),
    "value_range" float64 tensor [low, high], and "image_path". Volumes have canonical axes. `ImageForm.write` is the
    way back.

    Args:
        spatial_dims: 2 or 3.
        channels: C; a volume is repeated.
        colour_channel: see `read_image`.

    Raises:
        DataError: the file cannot be read, is constant, has colours of 16 bits, or others of which `colour_channel`
            says nothing.
    """

    def __init__(self, spatial_dims: int = 2, channels: int = 1, colour_channel: Colour = AUTO):
        self.spatial_dims, self.channels, self.colour_channel = spatial_dims, channels, colour_channel

    def __call__(self, data: dict) -> dict:
        if "image" not in data:
            return data
        path = data["image"]
        if self.spatial_dims == 3:
            volume, _ = read_volume(path)
            image = np.repeat(volume[None], self.channels, axis=0)
        else:
            image = read_image(path, self.channels, colour=self.colour_channel)
        low, high = ImageForm.of(path).value_range or (float(image.min()), float(image.max()))
        scaled = torch.from_numpy((image - low) / (high - low))
        return {**data, "image": scaled, "value_range": torch.tensor([low, high]).double(), "image_path": str(path)}
