"""The random changes of a training volume."""

import math

import torch
from monai.transforms import RandAffine, RandFlip

from medbundles.transforms.normalise import BACKGROUND, VOLUME_BACKGROUND
from medbundles.transforms.random_changes import MODES, RandomChanges, field_generator


class VolumeAugmentation(RandomChanges):
    """Random geometry (MONAI's RandFlip and RandAffine), then random intensities, as `Augmentation` has them in 2D.

    Intensities count from black, the head's darkest value, in this order: brightness, contrast, gamma, noise. Only the
    head changes; what comes in from outside the volume is background. What is 0 costs nothing.
    `set_random_state(seed)` fixes everything, and switching one change leaves the draws of the others as they were.

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
        super().__init__(dict(locals()), black)
        self.random_flip = RandFlip(prob=random_flip, spatial_axis=0)
        self.affine = RandAffine(
            prob=1.0,
            rotate_range=[math.radians(random_rotate)] * 3,
            scale_range=[random_scale] * 3,
            padding_mode="zeros",
        )

    def randomize(self, data: object = None) -> None:
        flip, affine, noise = self.R.randint(2**31, size=3)
        self.random_flip.set_random_state(seed=int(flip))
        self.affine.set_random_state(seed=int(affine))
        self.noise_rng = field_generator(noise)
        self.draw_factors()

    def flip(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
        return [self.random_flip(x, randomize=x is images[0]) for x in images]  # the mask as the image

    def resample(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
        modes = zip(images, MODES, strict=False)
        return [self.affine(x.float(), mode=m, randomize=x is images[0]).to(x.dtype) for x, m in modes]
