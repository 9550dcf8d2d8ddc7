"""Adds a handler without `attach`, as some of Ignite's are, to an engine's event."""

from collections.abc import Callable
from typing import Any

from ignite.engine import Engine, Events

from medbundles.errors import one_of


class OnEvent:
    """Calls something with the engine on an event, for handlers that a config could not attach otherwise.

    Args:
        event: name of an event of Ignite's, such as "EPOCH_COMPLETED".
        handler: takes the engine.

    Raises:
        ConfigError: there is no such event.

    Example: stop after eight hours, at the end of an epoch. The run is not finished, so `--resume True` goes on::

        {"_target_": "medbundles.handlers.OnEvent", "event": "EPOCH_COMPLETED",
         "handler": {"_target_": "ignite.handlers.TimeLimit", "limit_sec": 28800}}
    """

    def __init__(self, event: str, handler: Callable[[Engine], Any]):
        one_of("event", event, Events.__members__)
        self.event, self.handler = Events[event], handler

    def attach(self, engine: Engine) -> None:
        """Wire it to the engine."""
        engine.add_event_handler(self.event, self.handler)
