"""Learning rate as a function of the epoch, in closed form: the past does not matter, so any epoch can be resumed.

Not torch's schedulers: their saved state holds T_max and the like, so a run resumed with more epochs would stay on the
old curve; and torch's cosine rises again after T_max.
"""

import math
from collections.abc import Callable

Factor = Callable[[int], float]  # epoch -> what the base learning rate is multiplied by


def after_warm_up(epoch: int, schedule: Factor, warmup_epochs: int, warmup_type: str) -> float:
    """A warm-up, then a schedule from its own epoch 0 on.

    Args:
        epoch: since the start.
        schedule: what follows the warm-up.
        warmup_epochs: length of the warm-up; 0: none.
        warmup_type: linear ((epoch + 1) / (warmup_epochs + 1)) or constant (0.1).
    """
    if epoch >= warmup_epochs:
        return schedule(epoch - warmup_epochs)
    return (epoch + 1) / (warmup_epochs + 1) if warmup_type == "linear" else 0.1


def cosine(epoch: int, span: int, eta_min: float, base_lr: float) -> float:
    """Half a cosine from the base rate to eta_min over `span` epochs, then eta_min (Loshchilov & Hutter 2017).

    Args:
        epoch: since the warm-up.
        span: epochs from the top to eta_min.
        eta_min: lowest learning rate.
        base_lr: learning rate at the start.
    """
    if base_lr == 0:
        return 1.0
    height = (1 + math.cos(math.pi * min(epoch / span, 1.0))) / 2
    return (eta_min + (base_lr - eta_min) * height) / base_lr


def step(epoch: int, step_size: int, gamma: float) -> float:
    """Times gamma every step_size epochs."""
    return gamma ** (epoch // step_size)


def polynomial(epoch: int, span: int, power: float) -> float:
    """(1 - epoch / span)^power, then 0."""
    return (1 - min(epoch / span, 1.0)) ** power


def constant(epoch: int) -> float:
    """The base learning rate."""
    return 1.0
