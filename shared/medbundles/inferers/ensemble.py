"""An ensemble: several networks of one kind whose probabilities are averaged."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from monai.inferers import Inferer
from torch import nn

from medbundles.inferers.mean_probability import mean_probability


class EnsembleInferer(Inferer):
    """Runs an image through each network, as an inferer does it (precision, windows, flips), and gives the logits of
    the mean of their probabilities, see `medbundles.inferers.mean_probability`.

    MONAI's MeanEnsemble averages what it is given, all members' outputs at once.

    Args:
        inferer: runs one network.
        members: the networks; they are put into evaluation mode.
        mask_rule: that of `medbundles.transforms.Predictions`: with "regions" masks may overlap.

    Attributes:
        single: the inferer.
        precision: its precision.

    Example:
        >>> from medbundles.inferers import AutocastInferer
        >>> member = torch.nn.Conv2d(1, 2, 1)
        >>> ensemble = EnsembleInferer(AutocastInferer("fp32"), [member, torch.nn.Conv2d(1, 2, 1)])
        >>> ensemble(torch.zeros(1, 1, 8, 8), member).softmax(1).sum().round()
        tensor(64., grad_fn=<RoundBackward0>)
    """

    def __init__(self, inferer: Any, members: Sequence[nn.Module], mask_rule: str = "classes"):
        super().__init__()
        self.single, self.members, self.mask_rule = inferer, [member.eval() for member in members], mask_rule
        self.precision = getattr(inferer, "precision", "that of the engine")

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Image (B, C, ...) -> what one network returns: logits (B, N) or (B, C, ...), or a dict of them."""
        passes = [partial(self.single, inputs, member, *args, **kwargs) for member in self.members]
        return mean_probability(passes, self.mask_rule)
