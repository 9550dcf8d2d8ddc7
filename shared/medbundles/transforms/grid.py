"""The network's grid of pixels or voxels, and the way back."""

from collections.abc import Sequence

import torch
from monai.transforms import Transform
from monai.utils import ensure_tuple_rep
from torch.nn.functional import interpolate

from medbundles.errors import ConfigError
from medbundles.transforms.geometry import padded, shrunk, to_original
from medbundles.transforms.modality_intensities import AUTO


class ToSpacing(Transform):
    """A volume on voxels of another size: the image is interpolated, the mask takes the nearest voxel.

    Not MONAI's Spacing, whose grid begins at the first voxel's centre and keeps no whole number of voxels: here the
    volume is stretched as a whole (as nnU-Net does), so that `to_input_grid` needs nothing but the sizes.

    Reads "image" (C, X, Y, Z), "mask" (1, X, Y, Z) where there is one, and "original_spacing"; writes the first two.

    Args:
        spacing: [x, y, z] in mm; None: the volume stays as it is.

    Raises:
        ConfigError: when it is called: the spacing is "auto", which only a training knows.
    """

    def __init__(self, spacing: Sequence[float] | str | None):
        self.spacing = spacing

    def __call__(self, data: dict) -> dict:
        if not self.spacing:
            return data
        if self.spacing == AUTO:
            raise ConfigError("spacing: 'auto' is known to a training alone; use the trained.json beside the weights")
        shape = data["image"].shape[1:]
        wanted = zip(shape, data["original_spacing"].tolist(), self.spacing, strict=True)
        size = tuple(max(1, round(n * there / float(here))) for n, there, here in wanted)
        if size == tuple(shape):
            return data
        image = interpolate(data["image"][None], size, mode="trilinear")[0]
        return {**data, "image": image} | ({"mask": shrunk(data["mask"], size)} if "mask" in data else {})


class ToSize(Transform):
    """A picture padded to the network's aspect with its darkest value and resized; the mask takes the nearest pixel.

    Reads "image" (C, H, W) and "mask" (1, H, W) where there is one; writes both.

    Args:
        size: [H, W], or one number for both.
    """

    def __init__(self, size: int | Sequence[int]):
        self.size = ensure_tuple_rep(size, 2)

    def __call__(self, data: dict) -> dict:
        low = data["image"].min()
        whole = padded(data["image"] - low, self.size)[None]
        image = interpolate(whole, self.size, mode="bilinear", antialias=True)[0] + low
        return {**data, "image": image} | (
            {"mask": shrunk(padded(data["mask"], self.size), self.size)} if "mask" in data else {}
        )


def to_input_grid(values: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Values (K, ...) on the network's grid, on that of the input, whose sides are `size`: the way back from `ToSize`
    and `ToSpacing`. What is there already stays as it is."""
    shape = tuple(int(side) for side in size)
    if tuple(values.shape[1:]) == shape:
        return values
    if len(shape) == 2:
        return to_original(values, (0, 0, *shape), shape)
    return interpolate(values[None], shape, mode="trilinear")[0]
