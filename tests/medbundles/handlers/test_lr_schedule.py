from __future__ import annotations

import math

import pytest
import torch
from ignite.engine import Engine, Events

from medbundles.errors import ConfigError
from medbundles.handlers import LrSchedule
from tests.medbundles.handlers.sharing import share


class Scheduler:
    def __init__(self):
        self.metrics, self.monitor = [], "val"

    def step(self, metric=None):
        self.metrics.append(metric)


def test_each_epoch_steps_once_with_the_metric_if_it_was_validated_and_is_a_number():
    trainer, validator, values = Engine(lambda *_: None), Engine(lambda *_: None), iter([0.5, math.nan, 0.7])

    @trainer.on(Events.EPOCH_COMPLETED(every=2))
    def validate():
        validator.state.epoch, validator.state.metrics = trainer.state.epoch, {"val": next(values)}

    scheduler = Scheduler()
    share(trainer, validator=validator, scheduler=scheduler, metric="another")
    LrSchedule().attach(trainer)
    trainer.run([0, 0], max_epochs=7)
    assert scheduler.metrics == [None, 0.5, None, None, None, 0.7, None]


def test_a_schedule_of_torch_steps_once_per_epoch():
    trainer, optimizer = Engine(lambda *_: None), torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    share(trainer, validator=Engine(print), scheduler=torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5))
    LrSchedule().attach(trainer)
    optimizer.step()
    trainer.run([0, 0], max_epochs=3)
    assert optimizer.param_groups[0]["lr"] == 0.125


def test_a_metric_that_no_validation_has_is_named_with_those_there_are():
    trainer, validator, scheduler = Engine(lambda *_: None), Engine(lambda *_: None), Scheduler()
    validator.state.epoch, validator.state.metrics = 1, {"val_dice": 0.5}
    share(trainer, validator=validator, scheduler=scheduler)
    LrSchedule().attach(trainer)
    with pytest.raises(ConfigError, match="scheduler#monitor: no metric is named 'val'; there are val_dice"):
        trainer.run([0], max_epochs=1)
