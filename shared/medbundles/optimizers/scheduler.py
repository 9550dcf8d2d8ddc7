"""The learning-rate schedule by its short name."""

from functools import partial

import torch

from medbundles.errors import in_range, one_of, refuse
from medbundles.optimizers.epoch_schedulers import ClosedFormScheduler, EpochScheduler, PlateauScheduler
from medbundles.optimizers.schedules import Factor, after_warm_up, constant, cosine, polynomial, step
from medbundles.rules import Rule, has_rules, idle_without, ignored

SCHEDULES = ("cosine", "step", "plateau", "polynomial", "constant")
USED_BY = {
    **dict.fromkeys(("T_max", "eta_min"), ("cosine",)),
    **dict.fromkeys(("step_size", "gamma"), ("step",)),
    **dict.fromkeys(("patience", "factor", "monitor", "mode"), ("plateau",)),
    "power": ("polynomial",),
}
WARM_UPS = ("linear", "constant")


def _end(epochs: int, name: str, T_max: int | None) -> int:
    """The epoch in which the schedule ends."""
    return (T_max or epochs) if name == "cosine" else epochs


def _ends_after_warm_up(warmup_epochs: int, epochs: int, name: str, T_max: int | None) -> str | None:
    end = _end(epochs, name, T_max)
    if warmup_epochs >= end:
        return (
            f"scheduler#warmup_epochs: {warmup_epochs} leaves nothing of {end} epochs; the {name} schedule ends there, "
            f"so 0 to {end - 1} can warm up."
        )
    return None


def _falls(setting: str, name: str, eta_min: float, lr: float) -> str | None:
    if name == "cosine" and eta_min > lr:
        return f"scheduler#eta_min: {eta_min:g} is above {setting} {lr:g}, so that the rate would rise; give less."
    return None


def _sees_validations(name: str, patience: int, interval: int) -> str | None:
    if name == "plateau" and patience + 1 < interval:
        return (
            f"scheduler#patience: {patience} epochs are fewer than those between two validations (val_interval "
            f"{interval}), so that the rate falls however much each is better; use at least {interval - 1}."
        )
    return None


@has_rules(
    ignored("scheduler", USED_BY),
    idle_without("scheduler#warmup_epochs", "scheduler#warmup_type"),
    Rule(("scheduler#warmup_epochs", "epochs", "scheduler#name", "scheduler#T_max"), _ends_after_warm_up),
    *(Rule(("scheduler#name", "scheduler#eta_min", lr), partial(_falls, lr)) for lr in ("lr", "encoder_lr")),
    Rule(("scheduler#name", "scheduler#patience", "val_interval"), _sees_validations),
)
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
    monitor: str | None = None,
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
        monitor: plateau: name of the validation metric that the returned scheduler is to be stepped with.
        mode: plateau: max or min, whether a higher or a lower metric is better.
        power: polynomial: (1 - epoch / epochs)^power.
        warmup_epochs: 0: none.
        warmup_type: linear ((i + 1) / (warmup_epochs + 1) in epoch i) or constant (0.1).

    Raises:
        ConfigError: for an unknown name, mode or warm-up, or a warm-up as long as the schedule.
    """
    one_of("scheduler#name", name, SCHEDULES)
    one_of("scheduler#warmup_type", warmup_type, WARM_UPS)
    one_of("scheduler#mode", mode, ("max", "min"))
    in_range("scheduler#warmup_epochs", warmup_epochs, minimum=0)
    refuse([_ends_after_warm_up(warmup_epochs, epochs, name, T_max)])
    warmed_up = partial(after_warm_up, warmup_epochs=warmup_epochs, warmup_type=warmup_type)
    if name == "plateau":
        warm_up = partial(warmed_up, schedule=constant)
        return PlateauScheduler(optimizer, warm_up, warmup_epochs, mode, factor, patience, monitor)
    span = _end(epochs, name, T_max) - warmup_epochs
    schedules: dict[str, Factor] = {
        "step": partial(step, step_size=step_size, gamma=gamma),
        "polynomial": partial(polynomial, span=span, power=power),
        "constant": constant,
    }
    factors: list[Factor] = []
    for group in optimizer.param_groups:
        schedules["cosine"] = partial(cosine, span=span, eta_min=eta_min, base_lr=group["lr"])
        factors.append(partial(warmed_up, schedule=schedules[name]))
    return ClosedFormScheduler(optimizer, factors)
