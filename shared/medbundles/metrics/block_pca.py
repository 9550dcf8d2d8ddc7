"""Principal components of an image's blocks: the best linear code, which any network must beat."""

from collections.abc import Iterable

import torch
from einops import rearrange

from medbundles.networks.padding import padded

BLOCKS = {2: ("c (h i) (w j)", "(h w) (c i j)", "ij"), 3: ("c (h i) (w j) (d k)", "(h w d) (c i j k)", "ijk")}


class BlockPCA:
    """Stores each block of an image as its first principal components.

    Fitted in float64, one image at a time. (scikit-learn's IncrementalPCA approximates; the covariance of blocks is
    small enough to be summed up.)

    Args:
        images: (C, H, W) or (C, X, Y, Z) each, at least one.
        side: of the blocks, in pixels.
        numbers: components that are kept of each block.
    """

    def __init__(self, images: Iterable[torch.Tensor], side: int, numbers: int):
        self.side = side
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for image in images:
            blocks = self._blocks(image.cpu())
            count, total, squares = count + len(blocks), total + blocks.sum(0), squares + blocks.T @ blocks
        self.mean = total / count
        covariance = squares / count - torch.outer(self.mean, self.mean)
        self.components = torch.linalg.eigh(covariance).eigenvectors[:, -numbers:]  # (values of a block, numbers)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """The image (C, ...) as its components give it back, clipped to 0 to 1."""
        mean, components = self.mean.to(image.device), self.components.to(image.device)
        made = (self._blocks(image) - mean) @ components @ components.T + mean
        whole, blocks, axes = BLOCKS[image.ndim - 1]
        counts = {name: -(-side // self.side) for name, side in zip("hwd", image.shape[1:], strict=False)}
        sides = dict.fromkeys(axes, self.side)
        found = rearrange(made, f"{blocks} -> {whole}", c=len(image), **counts, **sides)
        return found[(slice(None), *(slice(side) for side in image.shape[1:]))].clamp(0, 1).to(image.dtype)

    def _blocks(self, image: torch.Tensor) -> torch.Tensor:
        """Blocks (n, values) float64 of an image (C, ...), whose border is repeated up to whole ones."""
        whole, blocks, axes = BLOCKS[image.ndim - 1]
        image = padded(image[None].double(), self.side)[0]
        return rearrange(image, f"{whole} -> {blocks}", **dict.fromkeys(axes, self.side))
