"""Handlers of Ignite's without `attach`."""

from __future__ import annotations

import pytest
from ignite.engine import Engine
from ignite.handlers import TimeLimit

from medbundles.errors import ConfigError
from medbundles.handlers import OnEvent


def test_a_time_limit_ends_a_run_after_an_epoch_that_is_complete():
    trainer, limit = Engine(lambda *_: None), TimeLimit(1)
    OnEvent("EPOCH_COMPLETED", limit).attach(trainer)
    trainer.run([0, 0], max_epochs=2)
    assert trainer.state.epoch == 2
    limit.start_time -= 2
    trainer.run([0, 0], max_epochs=5)
    assert (trainer.state.epoch, trainer.state.iteration) == (3, 6)


def test_an_unknown_event_is_refused():
    with pytest.raises(ConfigError, match=r"event: 'EPOCH_COMPLETE' is unknown.*did you mean 'EPOCH_COMPLETED'"):
        OnEvent("EPOCH_COMPLETE", print)
