"""An ensemble: several networks of one kind whose probabilities are averaged."""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from math import log
from typing import Any

import torch
from monai.inferers import Inferer
from torch import nn
from torch.nn.functional import logsigmoid


class EnsembleInferer(Inferer):
    """Runs an image through each network, as an inferer does it (precision, windows, flips), and gives the logits of
    the mean of their probabilities: softmax over the channels of "seg" and "cls", or the sigmoid of each channel of
    masks that may overlap or of a single one. The mean is formed of log-probabilities, so that none is rounded to 0
    or 1, one network after the other, so that two outputs are in memory whatever their number.

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
        with_grad = torch.is_grad_enabled()
        each = (self._of(member, with_grad, inputs, *args, **kwargs) for member in self.members)
        with torch.enable_grad():  # Grad-CAM records gradients where it watches; elsewhere there are none
            total = reduce(lambda one, other: {n: torch.logaddexp(one[n], other[n]) for n in one}, each)
            found = {name: _logits(summed - log(len(self.members))).float() for name, summed in total.items()}
        return found.get("", found)

    def _of(
        self, member: nn.Module, with_grad: bool, inputs: torch.Tensor, *args: Any, **kwargs: Any
    ) -> dict[str, torch.Tensor]:
        """Log-probabilities that a network gives: (B, 1, C, ...) of C channels that exclude each other, (B, 2, C, ...)
        of others: of no and of yes."""
        with torch.set_grad_enabled(with_grad):  # what Grad-CAM switches on ends with this network
            found = self.single(inputs, member, *args, **kwargs)
            parts = found if isinstance(found, Mapping) else {"": found}
            return {name: self._log_probabilities(logits) for name, logits in parts.items()}

    def _log_probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        if logits.ndim == 2:  # of classes; float64 keeps apart what is nearly certain
            return logits.double().log_softmax(dim=1)[:, None]
        if logits.shape[1] == 1 or self.mask_rule == "regions":
            return torch.stack([logsigmoid(-logits), logsigmoid(logits)], dim=1)
        return logits.log_softmax(dim=1)[:, None]


def _logits(log_prob: torch.Tensor) -> torch.Tensor:
    """Logits (B, C, ...) that have these probabilities."""
    return log_prob[:, 1] - log_prob[:, 0] if log_prob.shape[1] == 2 else log_prob[:, 0]
