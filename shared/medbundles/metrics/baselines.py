"""What costs nothing beside every reconstruction: baselines that store as many numbers as the latent has."""

import hashlib
import logging
import math
from collections.abc import Iterator
from typing import Any

import torch

from medbundles.data.batches.dataset import PlainItems
from medbundles.metrics.block_pca import BlockPCA
from medbundles.metrics.jpeg import best_jpeg
from medbundles.metrics.measures import Output, Reconstruction, reconstruction
from medbundles.metrics.shrinking import shrunk_and_enlarged

logger = logging.getLogger("medbundles")
SIDE = 8  # of a block, in pixels
MOST_VALUES = 2048  # of a block: their covariance has the square of it


class Baselines:
    """Reconstructions without a network, measured as the network's own.

    - bicubic: the image shrunk so that it holds as many numbers as the latent, and enlarged again; see `shrinking`.
      None where the latent holds as many as the image
    - pca: principal components of blocks, as many as the latent has numbers there, fitted on the training part when
      first needed; see `block_pca`. Blocks at the border are whole, so it may store a little more. Left out where a
      block has over 2048 values.
    - jpeg: the best JPEG with no more bytes than the latent has numbers; pictures of 1 or 3 channels only. For
      information: a latent's number takes more than a byte.

    Columns (B,) of each: those of `Reconstruction`, ending in its name ("squared_error_bicubic"), and jpeg_bytes. An
    image is measured once and recognised again, so that a training pays for its first validation only.

    Reads the target of `Reconstruction`, 0 to 1. It is looked at on the CPU, so the iteration waits for a GPU.

    Args:
        factor: how many times the network shrinks each side.
        latent_channels: channels L of the latent.
        dataset: the training part (`medbundles.data.SeededDataset`), whose items have an "image" (C, H, W) or
            (C, X, Y, Z), 0 to 1; what it augments does not count. None: no PCA.
        most: how many of its images the PCA is fitted on, evenly spread.

    Example::

        {"_target_": "medbundles.metrics.Baselines",
         "factor": {"_target_": "medbundles.networks.latent_factor", "network": "@network_def"},
         "latent_channels": "@network_def#latent_channels", "dataset": "@train#dataset"}
    """

    def __init__(self, factor: int, latent_channels: int, dataset: Any = None, most: int = 1000):
        self.factor, self.latent_channels, self.dataset, self.most = factor, latent_channels, dataset, most
        self.measure = Reconstruction(similarities=["ssim"])
        self.known: dict[bytes, dict[str, float]] = {}
        self.pca: BlockPCA | None = None
        self.is_fitted, self.compresses = False, True

    def __call__(self, output: Output) -> dict[str, torch.Tensor]:
        """The columns of a batch."""
        rows = [self._row(image) for image in reconstruction(output)[1].detach().float().cpu()]
        return {name: torch.tensor([row[name] for row in rows], dtype=torch.float64) for name in rows[0]}

    def bicubic(self, image: torch.Tensor) -> torch.Tensor:
        """The image (C, ...) shrunk to as many numbers as its latent has, and enlarged again."""
        sides = image.shape[1:]  # without what the latent has of a padded border
        return shrunk_and_enlarged(image, int(self.latent_channels * math.prod(sides) / self.factor ** len(sides)))

    def _numbers(self, image: torch.Tensor) -> int:
        """How many the latent of an image (C, ...) has."""
        return self.latent_channels * math.prod(-(-side // self.factor) for side in image.shape[1:])

    def _row(self, image: torch.Tensor) -> dict[str, float]:
        key = hashlib.sha256(image.numpy().tobytes()).digest() + bytes(str(image.shape), "ascii")
        if key not in self.known:
            row: dict[str, float] = {}
            for name, made, more in self._made(image):
                columns = self.measure({"pred": made[None], "label": image[None]})
                row |= {f"{column}_{name}": value.item() for column, value in columns.items()} | more
            self.known[key] = row
        return self.known[key]

    def _made(self, image: torch.Tensor) -> Iterator[tuple[str, torch.Tensor, dict[str, float]]]:
        """Name, reconstruction and further columns of each baseline."""
        channels, *sides = image.shape
        if not self.is_fitted:
            self.compresses = self.latent_channels < channels * self.factor ** len(sides)
            self.pca, self.is_fitted = self._fitted(channels, len(sides)), True
        if self.compresses:
            yield "bicubic", self.bicubic(image), {}
        if self.pca is not None:
            yield "pca", self.pca(image), {}
        if len(sides) == 2 and channels in (1, 3):
            made, size = best_jpeg(image, self._numbers(image))
            yield "jpeg", made, {"jpeg_bytes": size}

    def _fitted(self, channels: int, dims: int) -> BlockPCA | None:
        if not self.compresses:
            logger.warning("No baselines: the latent has as many numbers as the image, so nothing is compressed.")
            return None
        if self.dataset is None or not len(self.dataset):
            logger.info("Baseline: no PCA, as there are no training images to fit it on.")
            return None
        side = max(SIDE, self.factor)
        values = channels * side**dims
        if values > MOST_VALUES:
            logger.info("Baseline: no PCA, as a block has %d values, more than %d.", values, MOST_VALUES)
            return None
        numbers = int(self.latent_channels * (side / self.factor) ** dims)
        items = PlainItems(self.dataset, self.most)
        images = (torch.as_tensor(item["image"]).as_subclass(torch.Tensor) for item in items)  # MetaTensors are slow
        found = BlockPCA(images, side, numbers)
        logger.info(
            "Baseline: PCA of %s blocks with %d numbers each, fitted on %d training images.",
            "x".join([str(side)] * dims), numbers, len(items),
        )  # fmt: skip
        return found
