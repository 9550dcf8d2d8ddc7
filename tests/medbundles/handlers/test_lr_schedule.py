from __future__ import annotations

import math

from ignite.engine import Engine, Events

from medbundles.handlers import LrSchedule


class Scheduler:
    def __init__(self):
        self.metrics = []

    def step(self, metric=None):
        self.metrics.append(metric)


def test_each_epoch_steps_once_with_the_metric_if_it_was_validated_and_is_a_number():
    trainer, validator, values = Engine(lambda *_: None), Engine(lambda *_: None), iter([0.5, math.nan, 0.7])

    @trainer.on(Events.EPOCH_COMPLETED(every=2))
    def validate():
        validator.state.epoch, validator.state.metrics = trainer.state.epoch, {"val": next(values)}

    scheduler = Scheduler()
    LrSchedule(scheduler, validator, "val").attach(trainer)
    trainer.run([0, 0], max_epochs=7)
    assert scheduler.metrics == [None, 0.5, None, None, None, 0.7, None]
