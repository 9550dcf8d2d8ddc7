"""Reads one picture or one slice of a volume for inference."""

import numpy as np
from monai.transforms import Transform

from medbundles.data.reading.images import read_image
from medbundles.data.reading.volumes import open_volume
from medbundles.errors import DataError
from medbundles.transforms.loading import with_pixels


class LoadInferenceSlice(Transform):
    """Pixels of an item of `inference_datalist`: what `LoadSlice` gives for the same pixels, without mask and label.

    Reads "image" (path), "slice" (-1: a picture) and "slices". Writes "image" float32 (C, H, W), "image_path",
    "original_size" tensor [H, W] and "empty" bool. A slice of a volume is empty when it is constant, as the ends of
    many volumes are. Normalisation refuses constants, so one pixel of it is set apart; what a network says of it is
    not used.

    Args:
        channels: C; a gray slice is repeated for 3.

    Raises:
        DataError: the file cannot be read.
    """

    def __init__(self, channels: int = 1):
        self.channels = channels

    def __call__(self, data: dict) -> dict:
        path = data["image"]
        if data["slice"] < 0:
            return with_pixels(data, read_image(path, self.channels)) | {"empty": False}
        slices = open_volume(path).slices
        if len(slices) != data["slices"]:
            raise DataError(f"{path}: has {len(slices)} slices now, it had {data['slices']} when the run began")
        plane = np.array(slices[data["slice"]], order="C")  # a copy: the volume is kept
        empty = bool(plane.min() == plane.max())
        if empty:
            plane[:], plane[0, 0] = 0, 1
        return with_pixels(data, np.repeat(plane[None], self.channels, axis=0)) | {"empty": empty}
