"""Noise outside the head, as MedicalNet's weights know it."""

import zlib

import numpy as np
import torch
from monai.transforms import Transform

from medbundles.rules import EVERYWHERE, Rule, has_rules
from medbundles.transforms.normalise import VOLUME_BACKGROUND


def _moments(enabled: bool, normalisation: str) -> str | None:
    if enabled and normalisation != "moments":
        return (
            "background_noise: with normalisation 'quartiles' the head's median is the background's value, and would "
            "become noise; use --normalisation moments."
        )
    return None


@has_rules(Rule(("background_noise", "normalisation"), _moments, EVERYWHERE))
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
