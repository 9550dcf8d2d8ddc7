"""The logits of masks, taken out of what a network gives."""

from collections.abc import Mapping
from typing import Any

import torch

from medbundles.errors import ConfigError
from medbundles.losses.per_image import at_least_float32


def mask_logits(pred: Any, mask: torch.Tensor) -> torch.Tensor:
    """The logits (B, C, ...) of any float type, or those under "seg", in at least float32.

    Args:
        pred: output of the network.
        mask: (B, 1 or C, ...), of the same images.

    Raises:
        ConfigError: it is no tensor of the mask's size, as of a network with deep supervision.
    """
    logits = pred.get("seg") if isinstance(pred, Mapping) else pred
    if isinstance(logits, torch.Tensor) and logits.shape[2:] == mask.shape[2:]:
        return at_least_float32(logits)
    several = f"a {type(logits).__name__} of {len(logits)}" if isinstance(logits, (list, tuple)) else None
    keys = f"the outputs {', '.join(map(str, pred))}" if isinstance(pred, Mapping) and logits is None else None
    shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    raise ConfigError(
        f"network_def: the network gives {several or keys or shape} for masks {tuple(mask.shape)}; one tensor "
        '(B, C, ...) of their size is needed, alone or as "seg". One with deep supervision gives several: switch that '
        "off."
    )
