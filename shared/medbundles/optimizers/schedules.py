"""Learning rate as a function of the epoch, in closed form: the past does not matter, so any epoch can be resumed."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class WarmUp:
    """Factor on the learning rate in the first epochs: epoch i = 0 .. epochs - 1 has (i + 1) / (epochs + 1), or 0.1.

    Args:
        epochs: length; 0: none.
        kind: linear or constant (0.1).
    """

    epochs: int = 0
    kind: str = "linear"

    def __call__(self, epoch: int) -> float:
        return (epoch + 1) / (self.epochs + 1) if self.kind == "linear" else 0.1


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from the base rate to eta_min over `span` epochs, then eta_min (Loshchilov & Hutter 2017).

    Args:
        span: epochs from the top to eta_min.
        eta_min: lowest learning rate.
        base_lr: learning rate at the start.
    """

    span: int
    eta_min: float
    base_lr: float

    def __call__(self, epoch: int) -> float:
        cosine = (1 + math.cos(math.pi * min(epoch / self.span, 1.0))) / 2
        return (self.eta_min + (self.base_lr - self.eta_min) * cosine) / self.base_lr


@dataclass(frozen=True)
class Step:
    """Times gamma every step_size epochs."""

    step_size: int
    gamma: float

    def __call__(self, epoch: int) -> float:
        return self.gamma ** (epoch // self.step_size)


@dataclass(frozen=True)
class Polynomial:
    """(1 - epoch / span)^power, then 0."""

    span: int
    power: float

    def __call__(self, epoch: int) -> float:
        return (1 - min(epoch / self.span, 1.0)) ** self.power


@dataclass(frozen=True)
class Constant:
    """The base learning rate."""

    def __call__(self, epoch: int) -> float:
        return 1.0


Schedule = Cosine | Step | Polynomial | Constant


@dataclass(frozen=True)
class AfterWarmUp:
    """A warm-up, then the schedule from its own epoch 0 on. Picklable, one per parameter group."""

    warm_up: WarmUp
    schedule: Schedule

    def __call__(self, epoch: int) -> float:
        if epoch < self.warm_up.epochs:
            return self.warm_up(epoch)
        return self.schedule(epoch - self.warm_up.epochs)
