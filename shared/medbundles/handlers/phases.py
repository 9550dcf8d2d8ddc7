"""The order in which handlers act, and the check that a config keeps it."""

import logging
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from ignite.engine import Engine
from monai.handlers import ValidationHandler

from medbundles.data.reading.checkpoint_files import Checkpoint
from medbundles.errors import ConfigError

logger = logging.getLogger("medbundles")

PHASES = (
    "start",  # seeds, signals, what the loss weighs
    "resume",  # goes on from a checkpoint
    "load",  # starts from weights in a file
    "open",  # makes the run's folder: what may refuse the run stands before it
    "guard",  # acts within the iterations, and before a validation
    "validate",
    "record",  # writes the epoch down
    "watch",  # shows the record
    "decide",  # follows the record: learning rate, early stopping, the best epoch's report
    "save",  # keeps the state of all before
    "end",  # after the last epoch
)


def phase_of(handler: Any) -> str | None:
    """The phase that a handler (an object or a class) acts in; None for others than ours, which may stand anywhere."""
    kind = handler if isinstance(handler, type) else type(handler)
    return "validate" if issubclass(kind, ValidationHandler) else getattr(kind, "phase", None)


def check_order(engine: Engine) -> None:
    """Make sure that on each event the handlers act in the order of their phases.

    Raises:
        ConfigError: naming two that do not, and the right order.
    """
    events = [[_owner(handler) for handler, *_ in entries] for entries in engine._event_handlers.values()]
    for owners in events:
        for first, second in pairwise(owner for owner in owners if phase_of(owner)):
            if _place(second) < _place(first):
                ours = sorted({(_place(o), type(o).__name__) for owners in events for o in owners if phase_of(o)})
                raise ConfigError(
                    f"handlers: {type(second).__name__} ({phase_of(second)}) must stand before {type(first).__name__} "
                    f"({phase_of(first)}). The right order is: {', '.join(name for _, name in ours)}."
                )


def owners(engine: Engine) -> Iterator[Any]:
    """The objects whose methods an engine's events call; one with several methods comes several times."""
    return (_owner(handler) for entries in engine._event_handlers.values() for handler, *_ in entries)


def weights_of(engine: Engine, checkpoint: Checkpoint) -> Checkpoint:
    """The file (or several) whose weights an evaluator works with: "" where none of its handlers loads any.

    A federated client disables these handlers, by the same part of their name, as it brings weights of its own.
    """
    if not checkpoint or any("CheckpointLoader" in type(owner).__name__ for owner in owners(engine)):
        return checkpoint
    logger.warning(
        "weights: no handler loads any, so the results are those of the network as it is: with the weights that a host "
        "gave it, or with random ones."
    )
    return ""


def _place(handler: Any) -> int:
    return PHASES.index(phase_of(handler) or "")


def _owner(handler: Any) -> Any:
    """The object whose method an event calls, behind Ignite's wrapper of handlers that act every so often."""
    handler = handler._parent() if hasattr(handler, "_parent") else handler
    return getattr(handler, "__self__", handler)
