"""The random changes of a training slice."""

from __future__ import annotations

import math

import numpy as np
import torch
from monai.transforms import RandomizableTransform
from torch.nn.functional import grid_sample, pad

from medbundles.transforms import intensities
from medbundles.transforms.elastic import elastic_field, kernel_radius, smooth
from medbundles.transforms.normalise import BACKGROUND

RANGES = {
    "random_flip_h": (0, 1),
    "random_flip_v": (0, 1),
    "random_rotate": (0, 180),
    "random_scale": (0, 0.5),
    "elastic_alpha": (0, 1000),
    "elastic_sigma": (0.5, 50),
    "gaussian_blur": (0, 1),
    **intensities.RANGES,
}
BLUR_SIGMAS = (0.5, 0.75, 1.0)  # pixels


class Augmentation(RandomizableTransform):
    """Random geometry for image and mask, random intensities for the image.

    Geometry: flips, then rotation, scale and elastic distortion as one resampling (image linear, mask nearest pixel,
    outside: background). Intensity, in this order: blur, brightness, contrast, gamma, noise. Intensities count from
    the background as black, as in a picture, and only the head changes: the background stays what it is. What is 0
    or off costs nothing. `set_random_state(seed)` fixes everything, and switching one part leaves the draws of the
    other parts as they were.

    Reads "image" float32 (C, H, W) as `HeadNormalise` leaves it, and "mask" uint8 (1, H, W) unless "has_mask" is
    False. Writes both; the tensors it read stay as they were.

    Args:
        enabled: False returns every item untouched.
        random_flip_h: probability of swapping left and right.
        random_flip_v: probability of swapping top and bottom.
        random_rotate: largest angle in degrees, either way.
        random_scale: largest zoom, either way: 0.15 is 0.85 to 1.15.
        elastic_deform: elastic distortion of every item (see `elastic_field`).
        elastic_alpha: its strength in pixels.
        elastic_sigma: its smoothness in pixels.
        gaussian_noise: standard deviation, as a fraction of the image's range (background to brightest pixel).
        gaussian_blur: probability of a Gaussian blur with a standard deviation of 0.5, 0.75 or 1 pixel.
        brightness: the image is multiplied by 1 +- up to this.
        contrast: distances from the head's mean are multiplied by 1 +- up to this.
        gamma: the image, scaled to [0, 1], is raised to the power 1 +- up to this, and scaled back.
        background: value of what is not head.

    Raises:
        ConfigError: a value outside its range.
    """

    def __init__(
        self,
        enabled: bool = True,
        random_flip_h: float = 0.5,
        random_flip_v: float = 0.5,
        random_rotate: float = 20,
        random_scale: float = 0.15,
        elastic_deform: bool = True,
        elastic_alpha: float = 50,
        elastic_sigma: float = 5,
        gaussian_noise: float = 0.02,
        gaussian_blur: float = 0.3,
        brightness: float = 0.2,
        contrast: float = 0.2,
        gamma: float = 0.2,
        background: float = BACKGROUND,
    ):
        super().__init__()
        settings = dict(locals())
        intensities.check_ranges(settings, RANGES, ("enabled", "elastic_deform"))
        self.enabled = enabled
        self.random_flip_h, self.random_flip_v = random_flip_h, random_flip_v
        self.random_rotate, self.random_scale = random_rotate, random_scale
        self.elastic_alpha, self.elastic_sigma = (elastic_alpha if elastic_deform else 0.0), elastic_sigma
        self.gaussian_noise, self.gaussian_blur = gaussian_noise, gaussian_blur
        self.brightness, self.contrast, self.gamma = brightness, contrast, gamma
        self.background = background

    def randomize(self, data: object = None) -> None:
        """Draw everything for one item from the random state; a part that is off keeps its place in the stream."""
        u = self.R.uniform(size=9)
        self.flips = [axis for axis, on in ((-1, u[0] < self.random_flip_h), (-2, u[1] < self.random_flip_v)) if on]
        self.angle = math.radians(self.random_rotate * (2 * u[2] - 1))
        self.zoom = 1 + self.random_scale * (2 * u[3] - 1)
        self.blur_sigma = BLUR_SIGMAS[int(len(BLUR_SIGMAS) * u[5])] if u[4] < self.gaussian_blur else 0.0
        self.brightness_factor = 1 + self.brightness * (2 * u[6] - 1)
        self.contrast_factor = 1 + self.contrast * (2 * u[7] - 1)
        self.gamma_power = 1 + self.gamma * (2 * u[8] - 1)
        # Whole fields of numbers come from generators that are several times faster than the random state itself.
        seeds = self.R.randint(2**31, size=2)
        self.elastic_rng, self.noise_rng = (np.random.Generator(np.random.SFC64(seed)) for seed in seeds)

    def __call__(self, data: dict) -> dict:
        if not self.enabled:
            return data
        self.randomize()
        item = dict(data)
        image = item["image"]
        mask = item["mask"] if "mask" in item and bool(item.get("has_mask", True)) else None
        if self.flips:
            image = torch.flip(image, self.flips)
            mask = None if mask is None else torch.flip(mask, self.flips)
        resample = self.random_rotate or self.random_scale or self.elastic_alpha
        if resample or self.blur_sigma or self.brightness or self.contrast or self.gamma or self.gaussian_noise:
            image = image - self.background  # now 0 is background, which is also what resampling fills in
            if resample:
                grid = self._grid(*image.shape[-2:])
                image = grid_sample(image[None], grid, mode="bilinear", align_corners=False)[0]
                if mask is not None:
                    warped = grid_sample(mask[None].float(), grid, mode="nearest", align_corners=False)[0]
                    mask = warped.to(mask.dtype)
            self._intensities(image)
            image += self.background
        item["image"] = image
        if mask is not None:
            item["mask"] = mask
        return item

    def _grid(self, height: int, width: int) -> torch.Tensor:
        """(1, H, W, 2) of where each pixel comes from, as grid_sample wants it: x, y from -1 to 1 over the image."""
        y = np.arange(height, dtype=np.float32)[:, None] - np.float32((height - 1) / 2)
        x = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)
        cos, sin = np.float32(math.cos(self.angle) / self.zoom), np.float32(math.sin(self.angle) / self.zoom)
        source_y, source_x = cos * y + sin * x, cos * x - sin * y
        if self.elastic_alpha:
            shift = elastic_field((height, width), self.elastic_alpha, self.elastic_sigma, self.elastic_rng)
            source_y += shift[0]
            source_x += shift[1]
        grid = torch.empty(1, height, width, 2)
        np.multiply(source_x, np.float32(2 / width), out=grid.numpy()[0, ..., 0])
        np.multiply(source_y, np.float32(2 / height), out=grid.numpy()[0, ..., 1])
        return grid

    def _intensities(self, image: torch.Tensor) -> None:
        """Change the image (C, H, W), whose background is 0, in place."""
        x = image.numpy()
        head = x > 1e-3  # resampling leaves the background a few float errors above 0
        if self.blur_sigma:
            image[:] = smooth(pad(image, [kernel_radius(self.blur_sigma)] * 4, mode="replicate"), self.blur_sigma)
        intensities.change(
            x, head, self.brightness_factor, self.contrast_factor, self.gamma_power, self.gaussian_noise, self.noise_rng
        )
