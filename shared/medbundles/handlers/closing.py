"""Closes what a handler holds open, however the run ends."""

from collections.abc import Callable

from ignite.engine import Engine, Events


def at_end(engine: Engine, close: Callable[[BaseException | None], None]) -> None:
    """Call `close(error)` once the engine is done: completed or terminated (None), failed or interrupted (the error).

    Ignite leaves raising an error to the first handler of EXCEPTION_RAISED, which then hides it from the others; so
    all that is to be closed is collected here, and the error goes on after the last.

    Args:
        engine: the trainer or evaluator.
        close: must bear being called twice.
    """
    if not hasattr(engine, "closes"):
        engine.closes = []  # type: ignore[attr-defined]
        engine.add_event_handler(Events.COMPLETED, _close_all)
        engine.add_event_handler(Events.EXCEPTION_RAISED, _close_all)
    engine.closes.append(close)  # type: ignore[attr-defined]


def _close_all(engine: Engine, error: BaseException | None = None) -> None:
    for close in engine.closes:  # type: ignore[attr-defined]
        close(error)
    if error is not None:
        raise error
