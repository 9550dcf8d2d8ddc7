"""Gradient clipping by norm or value, on unscaled gradients, only when the optimizer is about to step."""

import torch
from ignite.engine import Engine
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents

from medbundles.errors import in_range, one_of
from medbundles.rules import has_rules, idle_without


def is_stepping(engine: SupervisedTrainer) -> bool:
    """Whether the optimizer steps in this iteration (MONAI accumulates over `accumulation_steps` batches)."""
    every = engine.accumulation_steps
    inside = (engine.state.iteration - 1) % engine.state.epoch_length + 1
    return inside % every == 0 or inside == engine.state.epoch_length


@has_rules(idle_without("grad_clip", "grad_clip_type"))
class GradientClip:
    """Clips the gradients; keeps their norm before clipping in `engine.state.grad_norm` (a tensor, not synchronised).

    Args:
        limit: largest norm, or largest absolute value; None or 0: off, the norm is still measured.
        kind: "norm" or "value".

    Raises:
        ConfigError: unknown kind or negative limit.

    Example::

        {"_target_": "medbundles.handlers.GradientClip", "limit": "@grad_clip"}
    """

    phase = "guard"

    def __init__(self, limit: float | None = None, kind: str = "norm"):
        one_of("grad_clip_type", kind, ("norm", "value"))
        in_range("grad_clip", limit or 0, minimum=0)
        self.limit, self.kind = limit or None, kind

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer; BACKWARD_COMPLETED comes just before the optimizer's step."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: SupervisedTrainer) -> None:
        if not is_stepping(engine):
            return
        if engine.scaler is not None:
            engine.scaler.unscale_(engine.optimizer)
        parameters = [p for group in engine.optimizer.param_groups for p in group["params"] if p.grad is not None]
        if self.limit and self.kind == "norm":
            engine.state.grad_norm = torch.nn.utils.clip_grad_norm_(parameters, self.limit)
            return
        engine.state.grad_norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if self.limit:
            torch.nn.utils.clip_grad_value_(parameters, self.limit)
