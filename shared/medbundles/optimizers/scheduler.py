"""The learning-rate schedule by its short name."""

from __future__ import annotations

import torch

from medbundles.errors import ConfigError
from medbundles.optimizers.epoch_schedulers import ClosedFormScheduler, EpochScheduler, PlateauScheduler
from medbundles.optimizers.schedules import AfterWarmUp, Constant, Cosine, Polynomial, Schedule, Step, WarmUp

SCHEDULES = ("cosine", "step", "plateau", "polynomial", "constant")
WARM_UPS = ("linear", "constant")


def build_scheduler(
    optimizer: torch.optim.Optimizer,
    name: str,
    epochs: int,
    T_max: int | None = None,
    eta_min: float = 1e-7,
    step_size: int = 30,
    gamma: float = 0.1,
    patience: int = 10,
    factor: float = 0.5,
    mode: str = "max",
    power: float = 0.9,
    warmup_epochs: int = 0,
    warmup_type: str = "linear",
) -> EpochScheduler:
    """A scheduler to step once after every epoch, with `step(metric)`; build it right after the optimizer.

    The schedule proper starts after the warm-up: cosine then spans T_max - warmup_epochs and polynomial
    epochs - warmup_epochs, so both end when they would without a warm-up.

    Args:
        optimizer: the rates of its groups are the base rates.
        name: cosine, step, plateau, polynomial or constant.
        epochs: of the whole training.
        T_max: cosine: the epoch at which the rate is eta_min (it stays there); None: `epochs`.
        eta_min: cosine.
        step_size: step: times gamma every so many epochs.
        gamma: step.
        patience: plateau: epochs without improvement before the rate is multiplied by `factor`.
        factor: plateau.
        mode: plateau: max or min, whether a higher or a lower metric is better.
        power: polynomial: (1 - epoch / epochs)^power.
        warmup_epochs: 0: none.
        warmup_type: linear ((i + 1) / (warmup_epochs + 1) in epoch i) or constant (0.1).

    Raises:
        ConfigError: for an unknown name, mode or warm-up, or a warm-up as long as the schedule.
    """
    if name not in SCHEDULES:
        raise ConfigError(f"unknown schedule {name!r}; choose one of: {', '.join(SCHEDULES)}")
    if warmup_type not in WARM_UPS:
        raise ConfigError(f"unknown warmup_type {warmup_type!r}; choose one of: {', '.join(WARM_UPS)}")
    if mode not in ("max", "min"):
        raise ConfigError(f"unknown mode {mode!r} of the schedule; choose one of: max, min")
    end = (T_max or epochs) if name == "cosine" else epochs
    if warmup_epochs < 0 or warmup_epochs >= end:
        raise ConfigError(
            f"warmup_epochs is {warmup_epochs}; the {name} schedule ends at epoch {end}, so 0 to {end - 1} can warm up"
        )
    warm_up = WarmUp(warmup_epochs, warmup_type)
    if name == "plateau":
        return PlateauScheduler(optimizer, warm_up, mode, factor, patience)
    factors = []
    for group in optimizer.param_groups:
        schedule: Schedule = Constant()
        if name == "cosine":
            schedule = Cosine(end - warmup_epochs, eta_min, group["lr"])
        elif name == "step":
            schedule = Step(step_size, gamma)
        elif name == "polynomial":
            schedule = Polynomial(end - warmup_epochs, power)
        factors.append(AfterWarmUp(warm_up, schedule))
    return ClosedFormScheduler(optimizer, factors)
