"""Stops a run whose loss does not fit the network, and at the first loss that is not a number."""

import traceback
from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents

from medbundles.errors import ConfigError, MedbundlesError, first_few
from medbundles.handlers.advice import advice
from medbundles.handlers.run import settings_of
from medbundles.memory import ran_out
from medbundles.networks import bare_network


class NoNumberError(MedbundlesError):
    """A loss, or weights, are NaN or infinite."""


class LossGuard:
    """Stops before the weights are changed, and names the iteration, the batch's files and what to try.

    Weights that are no numbers stop it, too, after an epoch: a gradient may overflow where the loss does not.

    On the first batch the loss is tried once more than needed: one of someone else's that does not take what the
    network gives is then an error that says so, with the shapes, instead of a stack trace.

    Ignite's TerminateOnNan is not used: it cannot stand in a config's handlers (it has no `attach`), and it ends the
    run as if it had succeeded.
    """

    phase = "guard"

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer; LOSS_COMPLETED comes before the backward pass."""
        self.is_tried = False
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self.try_loss)
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.check_weights)

    def try_loss(self, engine: SupervisedTrainer) -> None:
        """Refuse a loss that does not work on the first batch."""
        if self.is_tried:
            return
        self.is_tried = True
        pred, target = engine.state.output["pred"], engine.state.output["label"]
        try:
            with torch.no_grad(), torch.random.fork_rng():  # a loss may draw numbers: the training draws its own
                value = engine.loss_function(pred, target)
                if isinstance(value, torch.Tensor):
                    value.mean()  # as MONAI's trainer does
        except MedbundlesError:
            raise
        except Exception as error:  # whatever a loss raises that does not take these
            if ran_out(error):
                raise
            *_, where = traceback.extract_tb(error.__traceback__)
            raise ConfigError(
                f"loss: {name_of(engine.loss_function)} does not take what the network gives, {shapes(pred)}, "
                f"with the target {shapes(target)}: {type(error).__name__} in {where.filename}:{where.lineno}: {error}"
            ) from error
        if not isinstance(value, torch.Tensor):
            raise ConfigError(
                f"loss: {name_of(engine.loss_function)} gives {shapes(value)}; a training needs one tensor, of several "
                "parts their sum."
            )

    def __call__(self, engine: SupervisedTrainer) -> None:
        loss = engine.state.output["loss"]
        if torch.isfinite(loss.detach()):
            if not loss.requires_grad:
                raise ConfigError(
                    f"loss: {name_of(engine.loss_function)} gives a number without a gradient, from which nothing is "
                    "learned; compute it from what the network gives, without argmax, round, comparisons, .item(), "
                    ".detach() or torch.no_grad()."
                )
            return
        batch = engine.state.batch
        files: list = batch.get("image_path", []) if isinstance(batch, dict) else []
        names = ", ".join(map(str, files)) or "unknown"
        where = f"in epoch {engine.state.epoch}, iteration {engine.state.iteration}"
        raise NoNumberError(f"the loss is {float(loss.detach())} {where}. Its batch: {names}. {then_try(engine)}")

    def check_weights(self, engine: SupervisedTrainer) -> None:
        """Stop before weights that are no numbers are validated, and saved in the place of good ones."""
        weights = dict(bare_network(engine.network).named_parameters())
        finite = torch.stack([weight.detach().isfinite().all() for weight in weights.values()]).tolist()
        broken = [name for name, is_finite in zip(weights, finite, strict=True) if not is_finite]
        if broken:
            raise NoNumberError(
                f"weights are no numbers after epoch {engine.state.epoch}, iteration {engine.state.iteration}: "
                f"{first_few(broken, 3)}. {then_try(engine)}"
            )


def name_of(loss: Any) -> str:
    """What a loss is called: a module by its class, a function by its own name."""
    loss = getattr(loss, "loss", loss)  # that of a `MaskLoss`
    return getattr(loss, "__name__", type(loss).__name__)


def then_try(engine: Engine) -> str:
    """What is left of the run, and what to try."""
    done = engine.state.epoch - 1
    kept = f"The checkpoints up to epoch {done} are kept. " if done else ""
    return kept + advice("is no number", settings_of(engine))


def shapes(value: Any) -> str:
    """What a network or a batch gives, for a message: the shape of a tensor, entries of a dict or tuple, or the type.

    Example:
        >>> shapes({"seg": torch.zeros(2, 1, 8, 8), "cls": torch.zeros(2, 2)})
        '{seg: (2, 1, 8, 8), cls: (2, 2)}'
    """
    if isinstance(value, torch.Tensor):
        return str(tuple(value.shape))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {shapes(entry)}" for name, entry in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of " + " and ".join(map(shapes, value))
    return type(value).__name__
