"""An image shrunk to fewer pixels and enlarged again: what any network must beat that stores as many numbers."""

import math

import torch
from torch.nn.functional import interpolate


def shrunk_and_enlarged(image: torch.Tensor, numbers: int) -> torch.Tensor:
    """The image as it comes back from a smaller one, of at most so many numbers.

    In 2D bicubic both ways, with antialiasing, as Pillow's resize does it; in 3D area means, then trilinear.

    Args:
        image: (C, H, W) or (C, X, Y, Z) float, 0 to 1.
        numbers: how many values, of all channels, the smaller one may have. Its sides have the image's proportions,
            rounded up as far as that allows, and at least 1: an image thinner than the network's factor keeps more.

    Returns:
        The same shape, clipped to 0 to 1.
    """
    channels, *sides = image.shape
    scale = min(1.0, numbers / image.numel()) ** (1 / len(sides))
    small = [max(1, int(side * scale + 1e-9)) for side in sides]
    for dim in sorted(range(len(sides)), key=lambda dim: small[dim] / sides[dim]):  # the most cut first
        grown = [side + (d == dim) for d, side in enumerate(small)]
        if small[dim] < sides[dim] and channels * math.prod(grown) <= numbers:
            small = grown
    if len(sides) == 2:
        shrunk = interpolate(image[None], small, mode="bicubic", antialias=True)
        made = interpolate(shrunk, sides, mode="bicubic", antialias=True)
    else:
        made = interpolate(interpolate(image[None], small, mode="area"), sides, mode="trilinear")
    return made[0].clamp(0, 1)
