"""An image shrunk to fewer pixels and enlarged again: what any network must beat that stores as many numbers."""

import torch
from torch.nn.functional import interpolate


def shrunk_and_enlarged(image: torch.Tensor, share: float) -> torch.Tensor:
    """The image as it comes back from a smaller one, which holds `share` of its values.

    In 2D bicubic both ways, with antialiasing, as Pillow's resize does it; in 3D area means, then trilinear.

    Args:
        image: (C, H, W) or (C, X, Y, Z) float, 0 to 1.
        share: above 0; each side is multiplied by its square (cubic) root and rounded down. From 1 on the image stays
            as it is.

    Returns:
        The same shape, clipped to 0 to 1.
    """
    sides = image.shape[1:]
    scale = min(1.0, share) ** (1 / len(sides))
    small = [max(1, int(side * scale + 1e-9)) for side in sides]
    if len(sides) == 2:
        shrunk = interpolate(image[None], small, mode="bicubic", antialias=True)
        made = interpolate(shrunk, sides, mode="bicubic", antialias=True)
    else:
        made = interpolate(interpolate(image[None], small, mode="area"), sides, mode="trilinear")
    return made[0].clamp(0, 1)
