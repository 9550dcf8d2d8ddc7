"""The mean of the probabilities that several passes give, as logits: of the networks of an ensemble, of flips."""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from math import log
from typing import Any

import torch
from torch.nn.functional import logsigmoid


def mean_probability(passes: Sequence[Callable[[], Any]], mask_rule: str = "classes") -> Any:
    """Runs passes one after the other and gives the logits of the mean of their probabilities, float32: softmax over
    the channels, or the sigmoid of each channel of masks that may overlap or of a single one.

    Probabilities are averaged, not logits as nnU-Net does of folds and flips: that is the probability that one of the
    passes, drawn at random, gives (Lakshminarayanan et al. 2017, arXiv:1612.01474), so that k networks with f flips are
    the mean of k * f passes in whatever order, and none of them has a veto because it is surer than the others. The
    mean is formed of log-probabilities, so that none is rounded to 0 or 1, and as the passes go on, so that two outputs
    are in memory whatever their number.

    Args:
        passes: each gives logits (B, N) of classes or (B, C, ...) of masks, or a dict of them.
        mask_rule: that of `medbundles.transforms.Predictions`: with "regions" masks may overlap.

    Example:
        >>> sure, unsure = torch.tensor([[0.0, 40.0]]), torch.tensor([[0.0, 0.0]])
        >>> mean_probability([lambda: sure, lambda: unsure]).softmax(1)
        tensor([[0.2500, 0.7500]])
    """
    with_grad = torch.is_grad_enabled()

    def log_probabilities(one: Callable[[], Any]) -> dict[str, torch.Tensor]:
        with torch.set_grad_enabled(with_grad):  # what Grad-CAM switches on ends with this pass
            found = one()
            parts = found if isinstance(found, Mapping) else {"": found}
            return {name: _log_probabilities(logits, mask_rule) for name, logits in parts.items()}

    with torch.enable_grad():  # Grad-CAM records gradients where it watches; elsewhere there are none
        each = map(log_probabilities, passes)
        total = reduce(lambda one, other: {name: torch.logaddexp(one[name], other[name]) for name in one}, each)
        found = {name: _logits(summed - log(len(passes))).float() for name, summed in total.items()}
    return found.get("", found)


def _log_probabilities(logits: torch.Tensor, mask_rule: str) -> torch.Tensor:
    """(B, 1, C, ...) of C channels that exclude each other, (B, 2, C, ...) of others: of no and of yes."""
    if logits.ndim == 2:  # of classes; float64 keeps apart what is nearly certain
        return logits.double().log_softmax(dim=1)[:, None]
    if logits.shape[1] == 1 or mask_rule == "regions":
        return torch.stack([logsigmoid(-logits), logsigmoid(logits)], dim=1)
    return logits.log_softmax(dim=1)[:, None]


def _logits(log_prob: torch.Tensor) -> torch.Tensor:
    """Logits (B, C, ...) that have these probabilities."""
    return log_prob[:, 1] - log_prob[:, 0] if log_prob.shape[1] == 2 else log_prob[:, 0]
