from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events

from medbundles.errors import ConfigError
from medbundles.handlers import EpochOfLoss
from medbundles.losses import LDAMLoss


def weights_by_epoch(start: int, epochs: int) -> dict[int, list[float]]:
    """First class's weight in each iteration of a run that goes on after epoch `start`."""
    seen: dict[int, list[float]] = {}
    loss = LDAMLoss([1, 4], drw_start_epoch=3)

    def step(engine, batch):
        seen.setdefault(engine.state.epoch, []).append(float(loss.weights[0]))

    trainer = Engine(step)
    trainer.loss_function = loss
    EpochOfLoss().attach(trainer)

    @trainer.on(Events.STARTED)
    def resume():
        trainer.state.epoch = start

    trainer.run([0, 1], max_epochs=epochs)
    return seen


def test_the_first_weighted_epoch_is_drw_start_epoch_from_its_first_iteration_on():
    assert weights_by_epoch(0, 4) == {1: [1, 1], 2: [1, 1], 3: [2, 2], 4: [2, 2]}


def test_a_resumed_run_is_weighted_at_once():
    assert weights_by_epoch(3, 5) == {4: [2, 2], 5: [2, 2]}


def test_it_is_told_once(caplog):
    with caplog.at_level(logging.INFO, "medbundles"):
        weights_by_epoch(0, 5)
    assert [r.message for r in caplog.records] == ["loss: from epoch 3 on the classes weigh 2.0000, 1.0000"]


def test_loss_can_stand_on_another_device_than_it_was_built_on():
    loss = LDAMLoss([1, 4], drw_start_epoch=1)
    loss.set_epoch(1)
    assert loss(torch.zeros(2, 2, device="meta"), torch.zeros(2, dtype=torch.long, device="meta")).device.type == "meta"


def test_a_loss_without_weights_is_refused_unless_there_is_no_re_weighting():
    trainer = Engine(lambda *_: None)
    trainer.loss_function = SimpleNamespace()
    EpochOfLoss("drw_start_epoch", False).attach(trainer)
    trainer.run([0])
    EpochOfLoss("drw_start_epoch", 2).attach(trainer)
    with pytest.raises(ConfigError, match=r"drw_start_epoch: SimpleNamespace cannot change .* --drw_start_epoch False"):
        trainer.run([0])
