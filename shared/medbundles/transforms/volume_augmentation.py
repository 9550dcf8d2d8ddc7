"""The random changes of a training volume."""

from __future__ import annotations

import math

import numpy as np
import torch
from monai.transforms import RandAffine, RandFlip, RandomizableTransform

from medbundles.transforms import intensities
from medbundles.transforms.normalise import BACKGROUND, VOLUME_BACKGROUND

RANGES = {
    "random_flip": (0, 1),
    "random_rotate": (0, 180),
    "random_scale": (0, 0.5),
    **intensities.RANGES,
}


class VolumeAugmentation(RandomizableTransform):
    """Random geometry (MONAI's RandFlip and RandAffine), then random intensities, as `Augmentation` has them in 2D.

    Intensities count from black, the head's darkest value, in this order: brightness, contrast, gamma, noise. Only the
    head changes; what comes in from outside the volume is background. What is 0 costs nothing.
    `set_random_state(seed)` fixes everything, and switching one part leaves the draws of the others as they were.

    Reads and writes "image", a float32 tensor (C, X, Y, Z) as `ResizeVolume` leaves it; the one it read stays as it
    was.

    Args:
        enabled: False returns every item untouched.
        random_flip: probability of swapping left and right.
        random_rotate: largest angle about each axis in degrees, either way.
        random_scale: largest zoom, either way, drawn for each axis: 0.1 is about 0.9 to 1.1.
        brightness: the image is multiplied by 1 +- up to this.
        contrast: distances from the head's mean are multiplied by 1 +- up to this.
        gamma: the image, scaled to [0, 1], is raised to the power 1 +- up to this, and scaled back.
        gaussian_noise: standard deviation, as a fraction of the image's range (black to brightest voxel).
        background: value of what is not head.
        black: the darkest value of the head.

    Raises:
        ConfigError: a value outside its range.
    """

    def __init__(
        self,
        enabled: bool = True,
        random_flip: float = 0.5,
        random_rotate: float = 10,
        random_scale: float = 0.1,
        brightness: float = 0.1,
        contrast: float = 0.1,
        gamma: float = 0.1,
        gaussian_noise: float = 0.02,
        background: float = VOLUME_BACKGROUND,
        black: float = BACKGROUND,
    ):
        super().__init__()
        intensities.check_ranges(dict(locals()), RANGES, ("enabled",))
        self.enabled = enabled
        self.flip = RandFlip(prob=random_flip, spatial_axis=0)
        self.resample = bool(random_rotate or random_scale)
        self.affine = RandAffine(
            prob=1.0,
            rotate_range=[math.radians(random_rotate)] * 3,
            scale_range=[random_scale] * 3,
            mode="bilinear",
            padding_mode="zeros",
        )
        self.brightness, self.contrast, self.gamma = brightness, contrast, gamma
        self.gaussian_noise, self.background, self.black = gaussian_noise, background, black

    def randomize(self, data: object = None) -> None:
        """Draw everything for one item from the random state; a part that is off keeps its place in the stream."""
        seeds = self.R.randint(2**31, size=3)
        self.flip.set_random_state(seed=int(seeds[0]))
        self.affine.set_random_state(seed=int(seeds[1]))
        self.noise_rng = np.random.Generator(np.random.SFC64(seeds[2]))
        u = 2 * self.R.uniform(size=3) - 1
        self.brightness_factor = 1 + self.brightness * u[0]
        self.contrast_factor = 1 + self.contrast * u[1]
        self.gamma_power = 1 + self.gamma * u[2]

    def __call__(self, data: dict) -> dict:
        if not self.enabled:
            return data
        self.randomize()
        image = _plain(self.flip(torch.as_tensor(data["image"])))
        alters = self.brightness or self.contrast or self.gamma or self.gaussian_noise
        if self.resample or alters:
            image = image - self.background  # now 0 is background, which is also what resampling fills in
            if self.resample:
                image = _plain(self.affine(image))
            if alters:
                self._intensities(image)
            image = image + self.background
        return {**data, "image": image}

    def _intensities(self, image: torch.Tensor) -> None:
        """Change the image (C, X, Y, Z), whose background is 0, in place."""
        x = image.numpy()
        head = x != 0  # interpolation between zeros gives exactly 0
        above_black = np.float32(self.background - self.black)
        np.add(x, above_black, out=x, where=head)
        intensities.change(
            x, head, self.brightness_factor, self.contrast_factor, self.gamma_power, self.gaussian_noise, self.noise_rng
        )
        np.subtract(x, above_black, out=x, where=head)


def _plain(image: torch.Tensor) -> torch.Tensor:
    """Without MONAI's metadata, contiguous: the intensities are changed in place."""
    return (image.as_tensor() if hasattr(image, "as_tensor") else image).contiguous()
