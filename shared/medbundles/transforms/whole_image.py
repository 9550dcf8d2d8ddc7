"""Reads whole images for a network that reconstructs them: from the file's values to 0 to 1, and back."""

import numpy as np
import torch
from monai.transforms import Transform

from medbundles.data.reading.images import read_image
from medbundles.data.reading.volumes import read_volume


class LoadWholeImage(Transform):
    """An image with values from 0 to 1, and the range that brings them back.

    The range is that of the picture's type where it is 8 bits deep, so that gray levels compare between pictures;
    otherwise the image's smallest and largest value.

    Reads "image" (path). Writes "image" float32 (C, H, W) or (C, X, Y, Z), "value_range" float64 tensor [low, high],
    and "image_path". Volumes have canonical axes.

    Args:
        spatial_dims: 2 or 3.
        channels: C; a volume is repeated.

    Raises:
        DataError: the file cannot be read, or is constant.
    """

    def __init__(self, spatial_dims: int = 2, channels: int = 1):
        self.spatial_dims, self.channels = spatial_dims, channels

    def __call__(self, data: dict) -> dict:
        path = data["image"]
        if self.spatial_dims == 3:
            volume, _ = read_volume(path)
            image = np.repeat(volume[None], self.channels, axis=0)
        else:
            image = read_image(path, self.channels)
        low, high = value_range(image) if self.spatial_dims == 2 else (float(image.min()), float(image.max()))
        scaled = torch.from_numpy((image - low) / (high - low))
        return {**data, "image": scaled, "value_range": torch.tensor([low, high]).double(), "image_path": str(path)}


def value_range(image: np.ndarray) -> tuple[float, float]:
    """Black and white of an image: 0 and 255 where it holds whole numbers in this range, else its extremes."""
    low, high = float(image.min()), float(image.max())
    if low >= 0 and 1 < high <= 255 and np.array_equal(image, np.rint(image)):
        return 0.0, 255.0
    return low, high
