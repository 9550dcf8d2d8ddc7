"""The random changes of a training image that has no background, such as a panoramic X-ray."""

import math

import numpy as np
import torch

from medbundles.rules import has_rules, idle_without
from medbundles.transforms import intensities
from medbundles.transforms.bordered_changes import BorderedChanges
from medbundles.transforms.random_changes import field_generator

CHANGES = ("random_flip_h", "random_rotate", "random_scale", "brightness", "contrast", "gamma")


@has_rules(idle_without("augment", *(f"augmentation#{change}" for change in CHANGES)))
class ImageAugmentation(BorderedChanges):
    """Flips left and right, rotation and zoom as one resampling, brightness, contrast and gamma, in this order.

    What comes in from outside repeats the border, so that no black corners are learnt; every pixel changes, and the
    values stay between 0 and 1. There is no up-down flip and no quarter turn: a jaw has an up. `set_random_state(seed)`
    fixes everything, and switching one change off leaves the draws of the others as they were.

    Reads and writes "image", float32 (C, H, W) or (C, X, Y, Z) with values from 0 to 1; the one it read stays as it
    was.

    Args:
        enabled: False returns every item untouched.
        spatial_dims: 2 or 3.
        random_flip_h: probability of swapping left and right (of a picture the last axis, of a volume the first).
        random_rotate: largest angle in degrees, either way; of a volume about each axis.
        random_scale: largest zoom, either way: 0.1 is 0.9 to 1.1.
        brightness: the image is multiplied by 1 +- up to this.
        contrast: distances from the image's mean are multiplied by 1 +- up to this.
        gamma: the image, scaled to [0, 1], is raised to the power 1 +- up to this, and scaled back.
    """

    def __init__(
        self,
        enabled: bool = True,
        spatial_dims: int = 2,
        random_flip_h: float = 0.5,
        random_rotate: float = 5,
        random_scale: float = 0.1,
        brightness: float = 0.1,
        contrast: float = 0.1,
        gamma: float = 0.1,
    ):
        super().__init__({**locals(), "background": 0.0, "gaussian_noise": 0.0}, black=0.0)
        self.spatial_dims, self.random_flip_h = spatial_dims, random_flip_h

    def margins(self, size: list[int]) -> list[int]:
        """How far beyond a patch of this size, on each side, its changed pixels may come from."""
        if not (self.enabled and self.resamples):
            return [0] * len(size)
        sine = math.sin(math.radians(min(self.random_rotate, 90)))
        reach = [(side + sine * (sum(size) - side)) * (1 + self.random_scale) for side in size]
        return [math.ceil((far - side) / 2) for far, side in zip(reach, size, strict=True)]

    def randomize(self, data: object = None) -> None:
        u = self.R.uniform(size=5)
        self.flips = u[0] < self.random_flip_h
        self.zoom = float(1 + self.random_scale * (2 * u[1] - 1))
        self.angles = [math.radians(self.random_rotate * (2 * drawn - 1)) for drawn in u[2:]]
        self.draw_factors()
        self.noise_rng = field_generator(0)  # there is no noise

    def _change_intensities(self, image: torch.Tensor) -> None:
        x = image.numpy()
        everywhere = np.ones(x.shape, dtype=bool)
        factors = (self.brightness_factor, self.contrast_factor, self.gamma_power)
        intensities.change(x, everywhere, *factors, noise=0.0, rng=self.noise_rng)
        np.clip(x, 0, 1, out=x)
