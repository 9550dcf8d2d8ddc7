"""The random changes of a training image with a map of classes, in three strengths."""

import math
from typing import Any

import numpy as np
import torch
from monai.transforms import GaussianSmooth

from medbundles.errors import one_of
from medbundles.transforms import intensities
from medbundles.transforms.bordered_changes import BorderedChanges
from medbundles.transforms.random_changes import field_generator

STRENGTHS: dict[str, dict[str, float]] = {
    "light": {
        "random_rotate": 5, "random_scale": 0.05, "brightness": 0.1, "contrast": 0.1, "gamma": 0.1,
        "gaussian_noise": 0.0, "gaussian_blur": 0.0,
    },
    "moderate": {
        "random_rotate": 15, "random_scale": 0.15, "brightness": 0.2, "contrast": 0.2, "gamma": 0.2,
        "gaussian_noise": 0.02, "gaussian_blur": 0.1,
    },
    "strong": {
        "random_rotate": 30, "random_scale": 0.3, "brightness": 0.3, "contrast": 0.3, "gamma": 0.4,
        "gaussian_noise": 0.05, "gaussian_blur": 0.2,
    },
}  # fmt: skip
BLUR_SIGMA = (0.5, 1.5)  # pixels; of voxels that are no cubes, their smallest sides


class LabelledAugmentation(BorderedChanges):
    """Flip left and right, rotation and zoom as one resampling, then blur, brightness, contrast, gamma and noise.

    Image and mask move alike (the mask by the nearest pixel); what comes in from outside repeats the border.
    Intensities count from each channel's smallest value as black, below which none falls. `set_random_state(seed)`
    fixes everything.

    Reads and writes "image", float32 (C, H, W) or (C, X, Y, Z), and "mask" (1, ...); those it read stay as they were.
    Reads "spacing" of volumes, in mm along each axis, where an item has it.

    Args:
        enabled: False returns every item untouched.
        strength: "light", "moderate" or "strong", see `STRENGTHS`: largest angle in degrees (of a volume about each
            axis) and zoom, either way; brightness, contrast, gamma and noise as in `ImageAugmentation` and
            `Augmentation`; probability of a Gaussian blur.
        spatial_dims: 2 or 3.
        random_flip: probability of swapping left and right (of a picture the last axis, of a volume the first); 0
            where the classes tell left from right.

    Raises:
        ConfigError: an unknown strength.
    """

    def __init__(
        self, enabled: bool = True, strength: str = "moderate", spatial_dims: int = 2, random_flip: float = 0.5
    ):
        one_of("augmentation_strength", strength, STRENGTHS)
        chosen = STRENGTHS[strength]
        super().__init__({**chosen, "enabled": enabled, "background": 0.0}, black=0.0)
        self.spatial_dims, self.random_flip, self.gaussian_blur = spatial_dims, random_flip, chosen["gaussian_blur"]

    def __call__(self, data: dict) -> dict:
        self.spacing = np.asarray(data["spacing"], dtype=float) if "spacing" in data else None
        return super().__call__(data)

    def randomize(self, data: object = None) -> None:
        u = self.R.uniform(size=7)
        self.flips = u[0] < self.random_flip
        self.zoom = float(1 + self.random_scale * (2 * u[1] - 1))
        self.angles = [math.radians(self.random_rotate * (2 * drawn - 1)) for drawn in u[2:5]]
        low, high = BLUR_SIGMA
        self.blur_sigma = float(low + (high - low) * u[6]) if u[5] < self.gaussian_blur else 0.0
        self.draw_factors()
        self.noise_rng = field_generator(self.R.randint(2**31))

    def blur(self, image: torch.Tensor) -> None:
        if self.blur_sigma:
            blurred: Any = GaussianSmooth((self.blur_sigma / self.sides()).tolist())(image)
            image[:] = blurred

    def _change_intensities(self, image: torch.Tensor) -> None:
        self.blur(image)
        x = image.numpy()
        black = x.min(axis=tuple(range(1, x.ndim)), keepdims=True)
        x -= black
        everywhere = np.ones(x.shape, dtype=bool)
        factors = (self.brightness_factor, self.contrast_factor, self.gamma_power)
        intensities.change(x, everywhere, *factors, noise=self.gaussian_noise, rng=self.noise_rng)
        x += black
