"""Validates, saves and publishes an exponential moving average of the weights."""

from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.hooks import RemovableHandle

from medbundles.errors import in_range
from medbundles.handlers.closing import at_end
from medbundles.handlers.stateful import stateful
from medbundles.networks import bare_network


class Ema:
    """Averages the weights after each optimizer step: average = d * average + (1 - d) * weights.

    In step n it is d = min(decay, (1 + n) / (10 + n)), so that the start is soon forgotten (as TensorFlow's
    ExponentialMovingAverage). The network holds the average from the end of an epoch, before the validation, until the
    next epoch starts or the run ends: so it is what is validated, saved as "network" in the checkpoints, and published.
    The training goes on from its own weights, which are in the checkpoints as well. A trainer that a host runs again,
    with other weights, starts a new average. Parameters are averaged, not buffers.

    Ignite's EMAHandler is not used: it averages after every batch, also where the optimizer does not step
    (accumulation, fp16 overflows), and its step count and average are in no state.

    Args:
        decay: above 0 and below 1; 0: off.

    Raises:
        ConfigError: decay is outside.

    Example::

        {"_target_": "medbundles.handlers.Ema", "decay": "@ema_decay"}
    """

    phase = "guard"

    def __init__(self, decay: float = 0.999):
        in_range("ema_decay", decay, minimum=0, below=1)
        self.decay, self.steps, self.resumed = decay, 0, False
        self.weights: list[torch.nn.Parameter] = []
        self.average: list[torch.Tensor] = []
        self.raw: list[torch.Tensor] = []  # the training's weights while the network holds the average
        self.hook: RemovableHandle | None = None

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        if self.decay > 0:
            stateful(engine)["ema"] = self
            engine.add_event_handler(Events.STARTED, self.start)
            engine.add_event_handler(Events.EPOCH_STARTED, self.take_out)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self.put_in)
            at_end(engine, self.close)

    def start(self, engine: SupervisedTrainer) -> None:
        """Start from the network's weights; after resuming these are the average of the checkpoint."""
        if not self.resumed:
            self.steps, self.raw = 0, []
        self.resumed = False
        self.weights = list(bare_network(engine.network).parameters())
        self.average = [weight.detach().clone() for weight in self.weights]
        self.hook = engine.optimizer.register_step_post_hook(self.add)

    def add(self, *_: Any) -> None:
        """Take the weights after a step into the average."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        get_ema_multi_avg_fn(decay)(self.average, self.weights, self.steps)

    @torch.no_grad()
    def put_in(self, engine: Engine | None = None) -> None:
        """The network gets the average; the training's weights are kept."""
        self.raw = [weight.detach().clone() for weight in self.weights]
        _copy(self.average, self.weights)

    @torch.no_grad()
    def take_out(self, engine: Engine | None = None) -> None:
        """The network gets the training's weights again."""
        if self.raw and self.weights:  # none yet where a run is stopped between resuming and its start
            _copy(self.raw, self.weights)
        self.raw = []

    def close(self, error: BaseException | None = None) -> None:
        """The run has ended."""
        self.take_out()
        if self.hook is not None:
            self.hook.remove()

    def state_dict(self) -> dict[str, Any]:
        """Steps so far, and the training's weights; the average is what the network holds at the end of an epoch."""
        return {"steps": self.steps, "raw": self.raw}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.steps, self.raw, self.resumed = state["steps"], state["raw"], True


def _copy(source: list[torch.Tensor], target: list[torch.nn.Parameter]) -> None:
    for new, parameter in zip(source, target, strict=True):
        parameter.copy_(new)
