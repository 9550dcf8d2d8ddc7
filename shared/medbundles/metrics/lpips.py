"""LPIPS: how far apart two images are for a network that has seen photographs."""

import logging

import torch

from medbundles.errors import ConfigError, one_of
from medbundles.losses.perceptual import LEAST_SIDES, Perceptual, missing
from medbundles.metrics.measures import Output, reconstruction

logger = logging.getLogger("medbundles")


class Lpips:
    """lpips (B,): MONAI's LPIPS (Zhang et al. 2018), 0 is best; NaN where an image is too small for the network.

    Of volumes it is the sum of the means over the slices of the three axes. Reads what `Reconstruction` reads, 0 to 1.
    It needs the packages of the extra "perceptual" and a file of weights, and never downloads it.

    Args:
        network: "alex" (233 MB, the usual one for a measure), "vgg" (528 MB) or "squeeze".
        enabled: True; False: no column; "auto": no column where packages or weights are missing, which the log says.

    Raises:
        ConfigError: another network or `enabled`; with True, what is missing and where it belongs.
    """

    def __init__(self, network: str = "alex", enabled: bool | str = "auto"):
        one_of("lpips", enabled, ("auto", True, False))
        lacking = missing(network) if enabled else None
        if lacking and enabled is True:
            raise ConfigError(f"lpips: {lacking}")
        if lacking:
            logger.info("LPIPS is left out: %s", lacking)
        self.network, self.enabled = network, bool(enabled) and not lacking
        self.loss: Perceptual | None = None

    @torch.no_grad()
    def __call__(self, output: Output) -> dict[str, torch.Tensor]:
        """The column of a batch."""
        if not self.enabled:
            return {}
        made, target = reconstruction(output)
        if min(made.shape[2:]) < LEAST_SIDES[self.network]:
            return {"lpips": torch.full((len(made),), torch.nan, device=made.device)}
        self.loss = self.loss or Perceptual(made.ndim - 2, self.network, fake_3d_ratio=1.0)  # all slices
        return {"lpips": self.loss.per_image(made, target).flatten()}
