"""Noise outside the head, as MedicalNet's weights know it."""

import zlib

import numpy as np
import torch
from monai.transforms import Transform

from medbundles.transforms.normalise import VOLUME_BACKGROUND


class BackgroundNoise(Transform):
    """Puts N(0, 1) where a prepared volume is exactly background, as MedicalNet's loader does.

    The draw follows from the volume itself, so that training, validation and inference see the same. Reads and writes
    "image" (C, X, Y, Z), float32.

    Args:
        enabled: False: nothing is done.
        background: what is replaced.
    """

    def __init__(self, enabled: bool = True, background: float = VOLUME_BACKGROUND):
        self.enabled, self.background = enabled, background

    def __call__(self, data: dict) -> dict:
        if not self.enabled:
            return data
        image = torch.as_tensor(data["image"])
        draw = np.random.default_rng(zlib.crc32(image.numpy().tobytes()))
        noise = torch.from_numpy(draw.standard_normal(image.shape, dtype=np.float32))
        return {**data, "image": torch.where(image == self.background, noise, image)}
