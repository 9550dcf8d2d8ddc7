"""Learning-rate schedulers with one interface.

`step(metric)` ends an epoch (None: it was not validated); `monitor` is the name of the validation metric to step it
with (None: it follows none). Their states hold only plain values, so that `torch.load(weights_only=True)` reads them;
load one after the optimizer's.
"""

import math
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from medbundles.optimizers.schedules import Factor


class ClosedFormScheduler(LambdaLR):
    """Learning rate = base rate * factor(epoch), with one factor per parameter group.

    The state is the epoch alone: after loading it the schedule of this object counts, so a run may be resumed with
    more epochs, and the rate is exactly that of an uninterrupted run with as many.

    Args:
        optimizer: its groups' rates are the base rates.
        lr_lambda: the factors, one per group.
    """

    monitor: str | None = None

    def step(self, metric: float | None = None) -> None:  # type: ignore[override]
        """Go to the next epoch; the metric is not needed here."""
        super().step()

    def state_dict(self) -> dict[str, Any]:
        """{"last_epoch": epochs done}."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to the saved epoch and set the learning rates it has on this schedule."""
        self.last_epoch = state_dict["last_epoch"]
        for group, base_lr, factor in zip(self.optimizer.param_groups, self.base_lrs, self.lr_lambdas, strict=True):
            group["initial_lr"] = base_lr
            group["lr"] = base_lr * factor(self.last_epoch)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


class PlateauScheduler:
    """torch's ReduceLROnPlateau, with a warm-up before it, and a patience that counts epochs.

    In the warm-up the rate rises whatever the metric does, and no metric is looked at. Then the metric of each epoch
    counts; an epoch without validation counts as one without improvement, so `patience` means epochs whatever the
    interval of validation is. A NaN metric is never an improvement.

    Args:
        optimizer: its groups' rates are the base rates.
        warm_up: the factors before the plateau schedule, 1 from then on.
        warmup_epochs: how many these are.
        mode: max (a higher metric is better) or min.
        factor: the rate is multiplied by it.
        patience: epochs without improvement that are tolerated.
        monitor: name of the validation metric to step it with.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        warm_up: Factor,
        warmup_epochs: int,
        mode: str,
        factor: float,
        patience: int,
        monitor: str | None = None,
    ):
        self.optimizer, self.monitor = optimizer, monitor
        self.warm_up, self.warmup_epochs = warm_up, warmup_epochs
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self.plateau = ReduceLROnPlateau(optimizer, mode=mode, factor=factor, patience=patience)  # type: ignore[arg-type]
        self.last_epoch = 0
        self.last_metric: float | None = None
        self._warm_up()

    def step(self, metric: float | None = None) -> None:
        """End an epoch; `metric` is its monitored validation value, None if it was not validated."""
        self.last_epoch += 1
        if self.last_epoch <= self.warmup_epochs:
            self._warm_up()
        elif metric is not None:
            self.last_metric = float(metric)
            self.plateau.step(self.last_metric)
        elif self.last_metric is not None:  # the patience has begun: an epoch without improvement
            self.plateau.step(math.inf if self.plateau.mode == "min" else -math.inf)

    def get_last_lr(self) -> list[float]:
        """The current learning rate of each parameter group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Epochs done, the current rates, the best and the last metric, and the count of epochs without improvement."""
        return {
            "last_epoch": self.last_epoch,
            "lrs": self.get_last_lr(),
            "last_metric": self.last_metric,
            "best": self.plateau.best,
            "num_bad_epochs": self.plateau.num_bad_epochs,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state; mode, factor and patience stay those of this object."""
        self.last_epoch = state_dict["last_epoch"]
        self.last_metric = state_dict["last_metric"]
        self.plateau.best = state_dict["best"]
        self.plateau.num_bad_epochs = state_dict["num_bad_epochs"]
        self._set(state_dict["lrs"])

    def _warm_up(self) -> None:
        """Set the rates of an epoch of the warm-up, or of the first one after it."""
        self._set([base_lr * self.warm_up(self.last_epoch) for base_lr in self.base_lrs])

    def _set(self, lrs: list[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, lrs, strict=True):
            group["lr"] = lr


EpochScheduler = ClosedFormScheduler | PlateauScheduler
