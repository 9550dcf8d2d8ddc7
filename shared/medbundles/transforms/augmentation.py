"""The random changes of a training slice."""

import math

import numpy as np
import torch
from torch.nn.functional import grid_sample, pad

from medbundles.transforms.elastic import elastic_field, kernel_radius, smooth
from medbundles.transforms.normalise import BACKGROUND
from medbundles.transforms.random_changes import MODES, RandomChanges, field_generator

BLUR_SIGMAS = (0.5, 0.75, 1.0)  # pixels


class Augmentation(RandomChanges):
    """Random geometry for image and mask, random intensities for the image.

    Geometry: flips, then rotation, scale and elastic distortion as one resampling (image linear, mask nearest pixel,
    outside: background). Intensity, in this order: blur, brightness, contrast, gamma, noise. Intensities count from
    the background as black, as in a picture, and only the head changes: the background stays what it is. What is 0
    or off costs nothing. `set_random_state(seed)` fixes everything, and switching one change leaves the draws of the
    others as they were.

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
    """

    nearly_background = 1e-3  # our resampling of zeros gives a few float errors

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
        super().__init__(dict(locals()), black=background)
        self.random_flip_h, self.random_flip_v, self.gaussian_blur = random_flip_h, random_flip_v, gaussian_blur
        self.elastic_alpha, self.elastic_sigma = (elastic_alpha if elastic_deform else 0.0), elastic_sigma
        self.resamples = self.resamples or self.elastic_alpha > 0

    def randomize(self, data: object = None) -> None:
        u = self.R.uniform(size=6)
        self.flips = [axis for axis, on in ((-1, u[0] < self.random_flip_h), (-2, u[1] < self.random_flip_v)) if on]
        self.angle = math.radians(self.random_rotate * (2 * u[2] - 1))
        self.zoom = 1 + self.random_scale * (2 * u[3] - 1)
        self.blur_sigma = BLUR_SIGMAS[int(len(BLUR_SIGMAS) * u[5])] if u[4] < self.gaussian_blur else 0.0
        self.draw_factors()
        self.elastic_rng, self.noise_rng = map(field_generator, self.R.randint(2**31, size=2))

    def alters(self) -> bool:
        return super().alters() or self.blur_sigma > 0 or self.resamples  # it leaves float errors, which go here

    def flip(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
        # torch's, which MONAI's RandFlip calls: the metadata that MONAI keeps costs a fifth of the whole augmentation
        return [torch.flip(x, self.flips) for x in images] if self.flips else images

    def resample(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
        # not MONAI's RandAffine and Rand2DElastic: one resampling for both, so that the image is blurred once
        grid = self._grid(*images[0].shape[-2:])
        modes = zip(images, MODES, strict=False)
        return [grid_sample(x[None].float(), grid, mode=m, align_corners=False)[0].to(x.dtype) for x, m in modes]

    def blur(self, image: torch.Tensor) -> None:
        if self.blur_sigma:
            image[:] = smooth(pad(image, [kernel_radius(self.blur_sigma)] * 4, mode="replicate"), self.blur_sigma)

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
