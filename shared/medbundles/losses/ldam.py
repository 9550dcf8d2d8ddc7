"""Losses for classes of unequal size: LDAM, deferred re-weighting, and cross entropy to compare with."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from medbundles.errors import ConfigError, in_range, one_of
from medbundles.losses.per_image import at_least_float32
from medbundles.rules import Rule, has_rules

NAMES = ("ldam", "cross_entropy")
DRW_RULES = ("sqrt", "effective")
DIVIDED_BY = ("expected", "batch")


def ldam_margins(counts: Sequence[int], max_m: float) -> torch.Tensor:
    """Margins (N,) float64: max_m * n_j^(-1/4) / max_j(n_j^(-1/4)); the rarest class has the largest, max_m.

    Example:
        >>> ldam_margins([75, 210], 0.5)
        tensor([0.5000, 0.3865], dtype=torch.float64)
    """
    margins = torch.tensor(list(counts), dtype=torch.float64) ** -0.25
    return max_m * margins / margins.max()


def drw_weights(counts: Sequence[int], rule: str = "sqrt", beta: float = 0.9999) -> torch.Tensor:
    """Class weights (N,) float64 of deferred re-weighting.

    - sqrt: sqrt(n_max / n_j)
    - effective: (1 - beta) / (1 - beta^n_j), scaled to the sum N (Cui et al. 2019, as in LDAM's paper)

    Example:
        >>> drw_weights([75, 210], "effective")
        tensor([1.4711, 0.5289], dtype=torch.float64)
    """
    number = torch.tensor(list(counts), dtype=torch.float64)
    if rule == "sqrt":
        return (number.max() / number).sqrt()
    weights = (1 - beta) / (1 - beta**number)
    return len(number) * weights / weights.sum()


def _reweights(start: int | bool | None, epochs: int) -> str | None:
    if start and start > epochs:
        return (
            f"drw_start_epoch: {start} is beyond epochs ({epochs}); the classes would never be re-weighted. "
            f"Use 1 to {epochs}, or --drw_start_epoch False for none."
        )
    return None


def _balanced_once(sampling: str, name: str, max_m: float, start: int | bool | None, allowed: bool) -> str | None:
    margins = ["the margins of loss#name ldam"] if name == "ldam" and max_m > 0 else []
    others = margins + ([f"drw_start_epoch {start}"] if start else [])
    if sampling == "balanced" and others and not allowed:
        return (
            f"sampling: balanced comes on top of {' and '.join(others)}; one way of balancing the classes works "
            "against another. Use --loss#name cross_entropy --drw_start_epoch False with it, or insist: "
            "--allow_double_balancing True."
        )
    return None


@has_rules(
    Rule(("drw_start_epoch", "epochs"), _reweights),
    Rule(("sampling", "loss#name", "loss#max_m", "drw_start_epoch", "allow_double_balancing"), _balanced_once),
)
class LDAMLoss(nn.Module):
    """Label-distribution-aware margin loss with deferred re-weighting (Cao et al. 2019, arXiv:1906.07413).

    For a sample of class y with logits z: -log(exp(s (z_y - m_y)) / (exp(s (z_y - m_y)) + sum_{j != y} exp(s z_j))).
    The mean over a batch is weighted by the classes' weights; before `drw_start_epoch` all are 1. It is divided by the
    weight that a training sample has on average, so that a sample of a class weighs the same in every batch, and in
    training and validation alike. The authors divide by the sum of the batch's own weights (`drw_divide` batch), by
    which a rare sample gains less in a small batch: at batches of 4 it weighs 1.45 instead of 1.67 times a common one.
    Training and validation share the module, and so its state; `set_epoch` sets it, from the epoch alone, so that a
    resumed run has the state it had.

    Args:
        counts: training samples of each class.
        name: ldam; or cross_entropy: the same without margins.
        max_m: margin of the rarest class.
        s: scale.
        drw_start_epoch: first epoch (1-based) with weights; False or None: never.
        drw_rule: sqrt or effective, see `drw_weights`.
        drw_beta: beta of the rule effective.
        drw_divide: expected or batch, see above.
        logit_scale: what the network has multiplied z by already (as `GradingResNet` does, so that the softmax of its
            logits is a probability); 1: the logits are z.

    Attributes:
        weights: (N,) in force now.
        total_weight: what the latest batch counts with in a mean over batches.

    Raises:
        ConfigError: unknown name or rule, a class without samples, or a number out of its range.

    Example:
        >>> loss = LDAMLoss(counts=[75, 210])
        >>> value = loss(torch.zeros(4, 2), torch.tensor([0, 1, 0, 1]))
    """

    def __init__(
        self,
        counts: Sequence[int],
        name: str = "ldam",
        max_m: float = 0.5,
        s: float = 30.0,
        drw_start_epoch: int | bool | None = False,
        drw_rule: str = "sqrt",
        drw_beta: float = 0.9999,
        drw_divide: str = "expected",
        logit_scale: float = 1.0,
    ):
        super().__init__()
        one_of("loss#name", name, NAMES)
        one_of("loss#drw_rule", drw_rule, DRW_RULES)
        one_of("loss#drw_divide", drw_divide, DIVIDED_BY)
        if len(counts) < 2 or min(counts) < 1:
            raise ConfigError(f"loss: the training samples per class are {list(counts)}; each of two or more needs one")
        in_range("loss#max_m", max_m, minimum=0)
        in_range("loss#s", s, above=0)
        in_range("loss#drw_beta", drw_beta, minimum=0, below=1)
        in_range("logit_scale", logit_scale, above=0)
        self.s, self.logit_scale, self.drw_start_epoch = s, logit_scale, drw_start_epoch or None
        self.by_expected = drw_divide == "expected"
        margins = ldam_margins(counts, max_m if name == "ldam" else 0.0)
        self.margins: torch.Tensor
        self.later_weights: torch.Tensor
        self.weights: torch.Tensor
        self.shares: torch.Tensor
        self.register_buffer("margins", margins.float())
        self.register_buffer("later_weights", drw_weights(counts, drw_rule, drw_beta).float())
        self.register_buffer("weights", torch.ones(len(counts)))
        self.register_buffer("shares", torch.tensor(list(counts)) / sum(counts))
        self.total_weight = torch.zeros(())

    def set_epoch(self, epoch: int) -> str:
        """Set the weights of an epoch (1-based); gives a line that says them where it is re-weighted."""
        on = self.drw_start_epoch is not None and epoch >= self.drw_start_epoch
        self.weights = self.later_weights.clone() if on else torch.ones_like(self.later_weights)
        return f"the classes weigh {', '.join(f'{w:.4f}' for w in self.weights.tolist())}" if on else ""

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Logits (B, N) and class indices (B,) -> the weighted mean, a scalar."""
        values, weights = self.per_sample(logits, label)
        self.total_weight = weights.sum().detach()
        return (weights * values).sum() / weights.sum()

    def per_sample(self, logits: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of each sample, and what it counts with in the mean, (B,) and (B,), in at least float32."""
        if self.margins.device != logits.device:
            self.to(logits.device)
        scaled = at_least_float32(logits) * (self.s / self.logit_scale)
        margin = nn.functional.one_hot(label, logits.shape[1]) * self.margins
        values, weights = cross_entropy(scaled - self.s * margin, label, reduction="none"), self.weights[label]
        if not self.by_expected:
            return values, weights
        return values * weights / (self.shares * self.weights).sum().to(values.dtype), torch.ones_like(values)
