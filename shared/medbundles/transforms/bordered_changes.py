"""The random changes of images that have no background: what comes in from outside repeats their border."""

from typing import Any

import torch
from monai.transforms import Affine

from medbundles.transforms.random_changes import MODES, RandomChanges


class BorderedChanges(RandomChanges):
    """Flip left and right, and rotation and zoom as one resampling.

    A subclass sets `spatial_dims` (2 or 3) and draws `flips` (bool), `angles` (radians; of a picture the first counts)
    and `zoom`.
    """

    spatial_dims: int
    flips: bool
    angles: list[float]
    zoom: float

    def flip(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
        axis = -1 if self.spatial_dims == 2 else 1
        return [torch.flip(x, [axis]) for x in images] if self.flips else images

    def resample(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
        affine: Any = Affine(
            rotate_params=self.angles[0] if self.spatial_dims == 2 else self.angles,
            scale_params=[self.zoom] * self.spatial_dims,
            padding_mode="border",
            image_only=True,
        )
        return [affine(x.float(), mode=m).to(x.dtype) for x, m in zip(images, MODES, strict=False)]
