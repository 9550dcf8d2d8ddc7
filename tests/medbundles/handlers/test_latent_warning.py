from __future__ import annotations

import logging
import math
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events

from medbundles.errors import ConfigError
from medbundles.handlers import LatentWarning
from medbundles.metrics import Cases, Latent, Reconstruction
from tests.medbundles.handlers.sharing import share

FINE, FLAT, HUGE = 1.0, 0.05, 300.0  # spread of the means


def run_epochs(spreads: list[float | None]) -> None:
    """A trainer whose validations find latents of these spreads; None: an epoch without validation."""
    cases = Cases([Latent()])
    validator, trainer = Engine(lambda engine, batch: None), Engine(lambda engine, batch: None)
    share(trainer, validator=validator)

    def validate(engine: Engine) -> None:
        spread = spreads[engine.state.epoch - 1]
        if spread is None:
            return
        cases.start()
        mean = spread * torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        output = {"pred": {"mean": mean, "sigma": torch.full_like(mean, 0.1)}}
        cases.collect(SimpleNamespace(state=SimpleNamespace(iteration=1, output=output, batch=None)))
        validator.state.epoch, validator.state.metrics = engine.state.epoch, {"val_l1": 0.1}

    trainer.add_event_handler(Events.EPOCH_COMPLETED, validate)
    LatentWarning(cases).attach(trainer)
    trainer.run([0], max_epochs=len(spreads))


@pytest.mark.parametrize(
    ("spreads", "said"),
    [
        ([FINE, FINE, None], []),
        ([FLAT, FLAT], [("collapsed (epoch 1)", "Lower --kl_weight")]),
        ([FINE, FLAT, None, FINE, FLAT], [("collapsed (epoch 2)", "Lower"), ("collapsed (epoch 5)", "Lower")]),
        ([HUGE, HUGE, FLAT], [("exploded (epoch 1)", "standard deviation is 30"), ("collapsed (epoch 3)", "Lower")]),
        ([math.nan], [("exploded (epoch 1)", "is nan. Raise --kl_weight")]),
    ],
)
def test_each_is_said_once_until_it_recovers(caplog, spreads, said):
    caplog.set_level(logging.WARNING, "medbundles")
    run_epochs(spreads)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == len(said)
    for message, parts in zip(messages, said, strict=True):
        assert all(part in message for part in parts), message


def test_without_the_latent_measured_it_says_what_is_missing():
    cases = Cases([Reconstruction()])
    trainer, validator = Engine(lambda engine, batch: None), Engine(lambda engine, batch: None)
    share(trainer, validator=validator)

    def validate(engine: Engine) -> None:
        validator.state.epoch, validator.state.metrics = 1, {"val_l1": 0.1}

    trainer.add_event_handler(Events.EPOCH_COMPLETED, validate)
    LatentWarning(cases).attach(trainer)
    with pytest.raises(ConfigError, match="score 'active_channels': nothing measured gives latent_sum"):
        trainer.run([0], max_epochs=1)
