from __future__ import annotations

import pytest
from ignite.engine import Engine, Events

from medbundles.handlers import at_end


def engine_with_two(step) -> tuple[Engine, list]:
    engine, closed = Engine(step), []
    at_end(engine, lambda error: closed.append(("first", error)))
    at_end(engine, lambda error: closed.append(("second", error)))
    return engine, closed


def test_all_are_closed_when_the_run_completes():
    engine, closed = engine_with_two(lambda engine, batch: None)
    engine.run([1, 2], max_epochs=1)
    assert closed == [("first", None), ("second", None)]


def test_all_are_closed_when_the_run_is_terminated():
    engine, closed = engine_with_two(lambda engine, batch: engine.terminate())
    engine.run([1, 2], max_epochs=1)
    assert closed == [("first", None), ("second", None)]


@pytest.mark.parametrize("where", ["iteration", "handler"])
@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt])
def test_an_error_reaches_all_and_goes_on(kind, where):
    """With two plain handlers of EXCEPTION_RAISED the first hides the error from the second, or both swallow it."""
    error = kind("stop")

    def fail(*_):
        raise error

    engine, closed = engine_with_two(fail if where == "iteration" else lambda engine, batch: None)
    if where == "handler":
        engine.add_event_handler(Events.EPOCH_COMPLETED, fail)
    with pytest.raises(kind) as caught:
        engine.run([1], max_epochs=1)
    assert caught.value is error
    assert {name for name, reason in closed if reason is error} == {"first", "second"}
    assert all(reason is error for _, reason in closed)
