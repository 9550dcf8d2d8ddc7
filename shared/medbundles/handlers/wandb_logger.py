"""Follows a run in Weights & Biases."""

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents

from medbundles.errors import MedbundlesError, in_range
from medbundles.handlers.closing import at_end
from medbundles.handlers.run import run_of
from medbundles.handlers.stateful import stateful
from medbundles.handlers.tensorboard import finite_values
from medbundles.networks import bare_network
from medbundles.ranks import done_by_rank_0
from medbundles.rules import has_rules, idle_without
from medbundles.runs.environment import environment

PER_EPOCH = ("train_*", "val_*", "lr*", "grad_norm_*", "epoch_seconds", "samples_per_second", "weights/*")
CACHES = ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR")


OWN = ("project", "entity", "name", "tags", "notes", "log_gradients", "log_weights", "log_frequency")


@has_rules(idle_without("wandb#enabled", *(f"wandb#{name}" for name in OWN)))
@dataclass(eq=False)
class WandB:
    """Logs a run to Weights & Biases.

    Once: all settings, the merged config, the network (text and number of parameters), the machine and versions.
    Every `log_frequency` batches: the batch's loss (`batch/loss`) and the gradient norm of the latest optimizer step
    before clipping (`batch/grad_norm`). Every epoch: the history's record under its names (train_loss, val_dice, lr,
    epoch_seconds ...). The step is the trainer's iteration; epoch values have `epoch` as x-axis.

    Everything stays below the run's logs folder. WANDB_MODE=offline needs no account, and `wandb sync FOLDER` uploads
    later. The id is part of the checkpoints: a resumed run goes on in the same W&B run (offline: in a second folder of
    the same id). Only rank 0 logs.

    Ignite's WandBLogger is not used: it opens its run when it is built, before a resumed run knows its id.

    Args:
        enabled: False: nothing is imported, nothing is done.
        project: W&B project; None: W&B's default.
        entity: user or team; None: the account's default.
        name: name of the run; None: W&B makes one up.
        tags: for filtering runs.
        notes: free text.
        log_gradients: log gradient norms, of batches and epochs.
        log_weights: log a histogram of each weight tensor every epoch (large).
        log_frequency: batches between two logs of the batch loss; each waits for a GPU.

    Raises:
        ConfigError: log_frequency below 1.
        MedbundlesError: in `attach`: wandb is not installed; at the start: nobody is logged in, the server does not
            answer.

    Example::

        {"_target_": "medbundles.handlers.WandB", "enabled": true, "project": "my-project"}
    """

    phase = "watch"
    enabled: bool = False
    project: str | None = None
    entity: str | None = None
    name: str | None = None
    tags: Sequence[str] = ()
    notes: str | None = None
    log_gradients: bool = True
    log_weights: bool = False
    log_frequency: int = 100

    def __post_init__(self) -> None:
        in_range("wandb#log_frequency", self.log_frequency, minimum=1)
        self.id: str | None = None
        self.opened = False
        self.run: Any = None
        self.norm: torch.Tensor | None = None

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        stateful(engine)["wandb"] = self  # also when off: a run keeps its id while it is resumed without
        if self.enabled:
            done_by_rank_0(_import_wandb)
            engine.add_event_handler(Events.EPOCH_STARTED, self.open)
            # the optimizer has stepped, History has not taken the norm yet
            engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self.log_batch)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self.log_epoch)
            at_end(engine, self.close)

    def state_dict(self) -> dict[str, Any]:
        """The id of the W&B run."""
        return {"id": self.id}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on in the same W&B run."""
        self.id = state["id"]

    def open(self, engine: Engine) -> None:
        """Start the W&B run, or go on with it, before the first epoch."""
        if self.opened:
            return
        self.opened = True
        done_by_rank_0(lambda: self._init(engine))

    def _init(self, engine: Engine) -> None:
        import wandb

        resume = "allow" if self.id else None
        self.id = self.id or secrets.token_hex(4)  # not from `random`, whose numbers belong to the training
        logs = run_of(engine).directory.folder("logs")
        try:
            with _caches_below(logs / "wandb" / "cache"):
                self.run = wandb.init(
                    project=self.project, entity=self.entity, name=self.name, tags=list(self.tags), notes=self.notes,
                    dir=str(logs), id=self.id, resume=resume, config=self._config(engine),
                )  # fmt: skip
        except wandb.Error as error:
            raise MedbundlesError(
                f"wandb: {error} Log in with `wandb login`, set WANDB_MODE=offline, "
                "or switch it off: --wandb#enabled False."
            ) from error
        self.run.define_metric("epoch")
        for name in PER_EPOCH:
            self.run.define_metric(name, step_metric="epoch")

    def _config(self, engine: Engine) -> dict[str, Any]:
        directory, network = run_of(engine).directory, bare_network(engine.network)  # type: ignore[attr-defined]
        weights = list(network.parameters())
        architecture = {
            "class": type(network).__name__,
            "parameters": sum(w.numel() for w in weights),
            "trainable_parameters": sum(w.numel() for w in weights if w.requires_grad),
            "text": str(network),
        }
        device = engine.state.device  # type: ignore[attr-defined]
        system = environment(device, directory.settings.get("seed", 0))
        known = {"bundle_config": directory.config, "architecture": architecture, "system": system}
        return directory.settings | known

    def log_batch(self, engine: Engine) -> None:
        """Log the loss and the gradient norm of every `log_frequency`-th batch."""
        if self.run is None:
            return
        state: Any = engine.state
        norm = getattr(state, "grad_norm", None)
        self.norm = self.norm if norm is None else norm  # with accumulation not every batch is one that steps
        if state.iteration % self.log_frequency == 0:
            values = {"batch/loss": float(state.output["loss"].detach())}
            if self.log_gradients and self.norm is not None:
                values["batch/grad_norm"] = float(self.norm)
            self.run.log(values, step=state.iteration)

    def log_epoch(self, engine: Engine) -> None:
        """Log the epoch's record and histograms."""
        if self.run is None:
            return
        values = dict(engine.state.epoch_record)  # type: ignore[attr-defined]
        if not self.log_gradients:
            values = {name: value for name, value in values.items() if not name.startswith("grad_norm")}
        if self.log_weights:
            network = bare_network(engine.network)  # type: ignore[attr-defined]
            values |= {f"weights/{name}": _histogram(weight) for name, weight in network.named_parameters()}
        self.run.log(values, step=engine.state.iteration)

    def close(self, error: BaseException | None = None) -> None:
        """End the W&B run: finished, or failed when there was an error."""
        if self.run is not None:
            self.run.finish(exit_code=0 if error is None else 1)
        self.run, self.opened = None, False


def _import_wandb() -> None:
    try:
        from wandb import init as init  # a folder wandb/ that another program left where we run has no init
    except ImportError as error:
        raise MedbundlesError(
            f"wandb#enabled: wandb cannot be imported ({error}). Install it with `pip install -e '.[wandb]'` in the "
            "repository's root, or switch it off: --wandb#enabled False."
        ) from error


@contextmanager
def _caches_below(folder: Path) -> Iterator[None]:
    """W&B keeps caches and logs of its own in the home folder, unless these variables say otherwise when it starts."""
    mine = {name: str(folder) for name in CACHES if name not in os.environ}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name in mine:
            del os.environ[name]


def _histogram(weight: torch.Tensor) -> Any:
    import numpy as np
    import wandb

    return wandb.Histogram(np_histogram=np.histogram(finite_values(weight), bins=64))
