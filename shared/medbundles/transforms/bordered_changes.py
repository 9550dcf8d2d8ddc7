"""The random changes of images that have no background: what comes in from outside repeats their border."""

from typing import Any

import numpy as np
import torch
from monai.transforms import Affine, create_rotate, create_scale

from medbundles.transforms.random_changes import MODES, RandomChanges

THICK = 3.0  # times another side: such voxels are not mixed across it (nnU-Net's limit, Isensee et al. 2021)


class BorderedChanges(RandomChanges):
    """Flip left and right, and rotation and zoom as one resampling.

    They are those of the body, not of the array: where voxels are not cubes, an angle is one in millimetres. Slices
    that are more than three times as thick as a voxel is wide are not mixed: these are turned and zoomed in their plane
    alone, as nnU-Net does, because what is interpolated between slices far apart is neither of them, and a mask can but
    take one of both.

    A subclass sets `spatial_dims` (2 or 3) and draws `flips` (bool), `angles` (radians; of a picture the first counts)
    and `zoom`; it may set `spacing`, the sides of a voxel.
    """

    spatial_dims: int
    flips: bool
    angles: list[float]
    zoom: float
    spacing: np.ndarray | None = None

    def flip(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
        axis = -1 if self.spatial_dims == 2 else 1
        return [torch.flip(x, [axis]) for x in images] if self.flips else images

    def sides(self) -> np.ndarray:
        """Sides of a voxel, of which the smallest is 1."""
        return np.ones(self.spatial_dims) if self.spacing is None else self.spacing / self.spacing.min()

    def moved(self) -> torch.Tensor:
        """Where in the image each place of the changed one comes from: a matrix of voxels around the middle."""
        dims, sides = self.spatial_dims, self.sides()
        if dims == 2:
            rotation = create_rotate(2, self.angles[0], backend="torch")
        else:  # an angle about an axis mixes the two others
            mixed = [np.delete(sides, axis) for axis in range(3)]
            angles = [a if two.max() <= THICK * two.min() else 0.0 for a, two in zip(self.angles, mixed, strict=True)]
            rotation = create_rotate(3, angles, backend="torch")
        zoom = create_scale(dims, [self.zoom if side <= THICK else 1.0 for side in sides], backend="torch")
        each = np.append(sides, 1.0)
        in_voxels = torch.as_tensor(each / each[:, None], dtype=torch.float32)
        return (torch.as_tensor(rotation) @ torch.as_tensor(zoom)).float() * in_voxels

    def resample(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
        affine: Any = Affine(affine=self.moved(), padding_mode="border", image_only=True)
        return [affine(x.float(), mode=m).to(x.dtype) for x, m in zip(images, MODES, strict=False)]
