"""Reads one picture or one slice of a volume for inference."""

from __future__ import annotations

import numpy as np
import torch
from monai.transforms import Transform

from medbundles.data.reading.images import read_image
from medbundles.data.reading.volumes import open_volume
from medbundles.errors import DataError


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
        item = dict(data)
        path, empty = item["image"], False
        if item["slice"] < 0:
            image = read_image(path, self.channels)
        else:
            slices = open_volume(path).slices
            if len(slices) != item["slices"]:
                raise DataError(f"{path}: has {len(slices)} slices now, it had {item['slices']} when the run began")
            plane = np.array(slices[item["slice"]], order="C")  # a copy: the volume is kept
            empty = bool(plane.min() == plane.max())
            if empty:
                plane[:], plane[0, 0] = 0, 1
            image = np.repeat(plane[None], self.channels, axis=0)
        return item | {
            "image": image, "image_path": str(path), "original_size": torch.tensor(image.shape[1:]), "empty": empty,
        }  # fmt: skip
