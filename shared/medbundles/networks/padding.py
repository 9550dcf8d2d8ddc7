"""Images of any size for networks that halve them several times."""

import torch
from torch.nn.functional import pad


def padded(image: torch.Tensor, multiple: int) -> torch.Tensor:
    """The image (B, C, ...) with its last row, column (and plane) repeated until each side is such a multiple."""
    return padded_by_axis(image, [multiple] * (image.dim() - 2))


def padded_by_axis(image: torch.Tensor, multiples: list[int]) -> torch.Tensor:
    """As `padded`, with a multiple for each side.

    Arithmetic instead of an `if` on the shape: a trace or an export then works for other sizes too.
    """
    padding: list[int] = []
    for dim in range(image.dim() - 1, 1, -1):
        multiple = multiples[dim - 2]
        padding += [0, (multiple - image.shape[dim] % multiple) % multiple]
    return pad(image, padding, mode="replicate")


def cropped(image: torch.Tensor, size: list[int]) -> torch.Tensor:
    """The image (B, C, ...) without what `padded` added to one of this size (H, W) or (X, Y, Z)."""
    for dim in range(2, image.dim()):
        image = image.narrow(dim, 0, size[dim - 2])
    return image
