"""Stops a run at the first loss that is not a number."""

import torch
from ignite.engine import Engine
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents

from medbundles.errors import MedbundlesError


class NanGuard:
    """Stops before the weights are changed, and names the iteration, the batch's files and what to try.

    Ignite's TerminateOnNan is not used: it cannot stand in a config's handlers (it has no `attach`), and it ends the
    run as if it had succeeded.
    """

    phase = "guard"

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer; LOSS_COMPLETED comes before the backward pass."""
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self)

    def __call__(self, engine: SupervisedTrainer) -> None:
        loss = engine.state.output["loss"].detach()
        if torch.isfinite(loss):
            return
        batch = engine.state.batch
        files: list = batch.get("image_path", []) if isinstance(batch, dict) else []
        raise MedbundlesError(
            f"the loss is {float(loss)} in epoch {engine.state.epoch}, iteration {engine.state.iteration}. "
            f"Its batch: {', '.join(map(str, files)) or 'unknown'}. The last good checkpoint is kept. "
            "Try a lower lr, grad_clip 1.0, amp False, and `python -m tools check-data` on the data."
        )
