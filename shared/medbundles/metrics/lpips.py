"""LPIPS: how far apart two images are for a network that has seen photographs."""

import importlib.util
import logging
from pathlib import Path
from typing import Any

import torch
from monai.losses import PerceptualLoss

from medbundles.errors import ConfigError, one_of
from medbundles.metrics.measures import Output, reconstruction

logger = logging.getLogger("medbundles")
WEIGHTS = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}  # torchvision's, which lpips loads
PACKAGES = ("lpips", "torchvision")
SMALLEST = 32  # side of an image, in pixels: what is left by the networks' poolings


class Lpips:
    """lpips (B,): MONAI's LPIPS (Zhang et al. 2018), 0 is best; NaN where an image has a side below 32 pixels.

    Of volumes it is the sum of the means over the slices of the three axes. Reads what `Reconstruction` reads, 0 to 1.
    It needs the packages of the extra "perceptual" and a file of weights, and never downloads it.

    Args:
        network_type: "alex" (233 MB, the usual one for a measure) or "vgg" (528 MB).
        enabled: True; False: no column; "auto": no column where packages or weights are missing, which the log says.

    Raises:
        ConfigError: another network_type or `enabled`; with True, what is missing and where it belongs.
    """

    def __init__(self, network_type: str = "alex", enabled: bool | str = "auto"):
        one_of("network_type", network_type, WEIGHTS)
        one_of("enabled", enabled, ("auto", True, False))
        missing = missing_for(network_type) if enabled else None
        if missing and enabled is True:
            raise ConfigError(f"lpips: {missing}")
        if missing:
            logger.info("LPIPS is left out: %s", missing)
        self.network_type, self.enabled = network_type, bool(enabled) and not missing
        self.loss: Any = None  # built when first used: building a config loads no weights

    @torch.no_grad()
    def __call__(self, output: Output) -> dict[str, torch.Tensor]:
        """The column of a batch."""
        if not self.enabled:
            return {}
        made, target = (2 * values.float() - 1 for values in reconstruction(output))  # LPIPS takes -1 to 1
        if min(made.shape[2:]) < SMALLEST:
            return {"lpips": torch.full((len(made),), torch.nan, device=made.device)}
        if self.loss is None:
            loss = PerceptualLoss(made.ndim - 2, self.network_type, fake_3d_ratio=1.0)  # all slices, no random ones
            self.loss = loss.to(made.device).eval()
        return {"lpips": torch.stack([self.loss(made[i : i + 1], target[i : i + 1]) for i in range(len(made))])}


def missing_for(network_type: str) -> str | None:
    """What LPIPS lacks here, and what would be right; None: nothing."""
    packages = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if packages:
        return f'package {" and ".join(packages)} missing; install the extra: pip install "medbundles[perceptual]".'
    file = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS[network_type]
    if not file.is_file():
        return f"{file} is missing; nothing is downloaded unasked. Put torchvision's file of this name there."
    return None
