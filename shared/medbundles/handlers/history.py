"""The run's history: losses, metrics, learning rates, gradient norms and times of every epoch, in metrics.json."""

import math
import time
from statistics import fmean, stdev
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer

from medbundles.atomic_files import write_json_atomic
from medbundles.errors import ConfigError
from medbundles.handlers.monitor import Monitor
from medbundles.handlers.run import Run, run_of
from medbundles.handlers.stateful import stateful
from medbundles.memory import most_memory
from medbundles.metrics.epoch_score import metrics_of
from medbundles.metrics.measures import UNTRAINED
from medbundles.ranks import is_rank_0, rank_and_world, summed

LOSSES = ("train_loss", "val_loss")


class History:
    """Collects one record per epoch and writes metrics/metrics.json after each.

    MONAI's MetricLogger and MetricsSaver are not used: the first has neither rates, gradient norms nor times, the
    second writes CSV only.

    The training loss and its terms are means over samples, kept as tensors until the epoch ends, so that nothing waits
    for a GPU. The loss module has its `parts` (name: mean) and `counts` (name: number of samples). Other handlers
    read `engine.state.epoch_record` (this epoch's record).

    Scores and losses of an output that is not trained are left out.

    Attributes:
        sections: further entries of metrics.json, by name; part of the state.
    """

    phase = "record"

    def __init__(self) -> None:
        self.epochs: list[dict[str, Any]] = []
        self.sections: dict[str, Any] = {}
        self.sums: dict[str, list[torch.Tensor]] = {}
        self.norms: list[torch.Tensor] = []
        self.samples = 0
        self.started = self.seconds = 0.0

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        stateful(engine)["history"] = self
        engine.add_event_handler(Events.EPOCH_STARTED, self.start_epoch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def state_dict(self) -> dict[str, Any]:
        """The records so far."""
        return {"epochs": self.epochs, "sections": self.sections}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the records of a checkpoint."""
        self.epochs, self.sections = state["epochs"], state.get("sections", {})

    def start_epoch(self, engine: SupervisedTrainer) -> None:
        """Start counting."""
        self.sums, self.norms, self.samples, self.started = {}, [], 0, time.perf_counter()

    def add(self, engine: SupervisedTrainer) -> None:
        """Add an iteration's loss, its terms and the gradient norm."""
        output = engine.state.output
        count = len(output["image"])
        loss: Any = engine.loss_function
        # a loss that weighs its samples is a mean over weights, not over samples
        self._add("loss", output["loss"].detach(), getattr(loss, "total_weight", torch.tensor(count)))
        for name, mean in getattr(loss, "parts", {}).items():
            if name not in output.get(UNTRAINED, ()):
                self._add(f"{name}_loss", mean, loss.counts[name])
        if getattr(engine.state, "grad_norm", None) is not None:
            self.norms.append(engine.state.grad_norm)
            engine.state.grad_norm = None
        self.samples += count
        self.seconds = time.perf_counter() - self.started

    def _add(self, name: str, mean: torch.Tensor, number: torch.Tensor) -> None:
        number = number.to(mean.device, torch.float64)
        total = torch.where(number > 0, mean.double() * number, torch.zeros_like(number))
        before = self.sums.get(name)
        self.sums[name] = [total, number] if before is None else [before[0] + total, before[1] + number]

    def running(self) -> dict[str, float]:
        """Mean of the loss and its terms over the epoch so far, on this process."""
        return {name: float(total / number) for name, (total, number) in self.sums.items() if float(number) > 0}

    def __call__(self, engine: SupervisedTrainer) -> None:
        record: dict[str, Any] = {"epoch": engine.state.epoch}
        for pair in self.sums.values():
            pair[0], pair[1] = summed(torch.stack(pair))  # over all processes
        record |= {f"train_{name}": value for name, value in self.running().items()}
        run = run_of(engine)
        record |= metrics_of(engine)
        record |= {} if run.validation(engine) is None else metrics_of(run.validator)
        # the rates that this epoch was trained with: the schedule has not been stepped yet
        rates = {f"lr_{group.get('name', i)}": group["lr"] for i, group in enumerate(engine.optimizer.param_groups)}
        record |= rates if len(rates) > 1 else {"lr": next(iter(rates.values()))}
        if self.norms:
            norms = torch.stack(self.norms).double()
            norms = norms[norms.isfinite()] if norms.isfinite().any() else norms  # fp16 overflows are skipped steps
            record |= {"grad_norm_mean": float(norms.mean()), "grad_norm_max": float(norms.max())}
        record["epoch_seconds"] = time.perf_counter() - self.started
        record["samples_per_second"] = self.samples * rank_and_world()[1] / max(self.seconds, 1e-9)
        self.epochs.append(record)
        engine.state.epoch_record = record
        self.write(run)

    def write(self, run: Run) -> None:
        """Write metrics.json, on rank 0."""
        if is_rank_0():
            write_json_atomic(
                run.directory.folder("metrics") / "metrics.json", self.summary(run.monitor, run.cache_seconds)
            )

    def best(self, monitor: Monitor) -> dict[str, Any] | None:
        """The best epoch's record; NaN is never best, the first of equals is."""
        validated = [record for record in self.epochs if monitor.value(record) is not None]
        return max(validated, key=lambda record: monitor.value(record) or [], default=None)

    def summary(self, monitor: Monitor, cache_seconds: float = 0.0) -> dict[str, Any]:
        """What metrics.json holds; NaN is null there.

        Args:
            monitor: says which epoch is the best.
            cache_seconds: that filling the caches took when this process started; in no epoch's time.
        """
        best = self.best(monitor)
        seconds = [e["epoch_seconds"] for e in self.epochs]
        losses = {name: [e[name] for e in self.epochs if math.isfinite(e.get(name, math.nan))] for name in LOSSES}
        return {
            "summary": {
                "epochs": len(self.epochs),
                "monitor": monitor.metric,
                "best_epoch": best["epoch"] if best else None,
                "best_value": best[monitor.metric] if best else None,
                **{name: spread(values) for name, values in losses.items() if values},
                "seconds": sum(seconds),
                "seconds_per_epoch": sum(seconds) / len(seconds),
                "cache_seconds": cache_seconds,
                "most_memory": most_memory(),
                "most_gpu_memory": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
                "last": self.epochs[-1],
            },
            "best": best,
            **self.sections,
            "epochs": self.epochs,
        }


def history_of(engine: Engine) -> History:
    """The history of a trainer.

    Raises:
        ConfigError: none of its handlers is a `History`.
    """
    history = stateful(engine).get("history")
    if not isinstance(history, History):
        raise ConfigError("handlers: medbundles.handlers.History is missing; the others read the epochs from it.")
    return history


def spread(values: list[float]) -> dict[str, float]:
    """Smallest, largest, mean and standard deviation (n - 1) of a list."""
    std = stdev(values) if len(values) > 1 else 0.0
    return {"min": min(values), "max": max(values), "mean": fmean(values), "std": std}
