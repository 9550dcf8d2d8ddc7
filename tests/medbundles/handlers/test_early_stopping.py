from __future__ import annotations

import logging
import math
from itertools import chain, repeat

import pytest
from ignite.engine import Engine, Events

from medbundles.errors import ConfigError
from medbundles.handlers import EarlyStopping, Monitor
from medbundles.handlers.stateful import stateful
from tests.medbundles.handlers.sharing import share


def train(values, epochs=200, interval=1, start=0, state=None, **options):
    """Runs epochs whose validation gives one value after the other; the trainer, stopped or not."""
    trainer, validator, values = Engine(lambda *_: None), Engine(lambda *_: None), iter(values)

    @trainer.on(Events.EPOCH_COMPLETED(every=interval))
    def validate():
        validator.state.epoch, validator.state.metrics = trainer.state.epoch, {"val": next(values)}

    names = ("mode", "min_delta", "tie_break")
    share(trainer, validator=validator, **{name: options.pop(name) for name in names if name in options})
    EarlyStopping(**options).attach(trainer)

    @trainer.on(Events.STARTED)
    def resume():
        trainer.state.epoch = start
        if state:
            stateful(trainer)["early_stopping"].load_state_dict(state)

    trainer.run([0], max_epochs=epochs)
    return trainer


def stopped_at(*args, **options):
    return train(*args, **options).state.epoch


def test_the_worked_example_of_document_000_stops_in_epoch_52():
    values = chain([0.70, 0.72], repeat(0.71))
    assert stopped_at(values, patience=50, min_delta=0.0005) == 52
    assert stopped_at(chain([0.70, 0.72], repeat(0.72)), patience=50, min_delta=0.0005) == 52


def test_many_small_gains_add_up_to_an_improvement():
    # 0.002 per epoch against min_delta 0.005: epochs 1, 4, 7 ... count, so patience 3 never runs out, 2 does at once
    assert stopped_at([0.002 * e for e in range(30)], epochs=30, patience=3, min_delta=0.005) == 30
    assert stopped_at([0.002 * e for e in range(30)], epochs=30, patience=2, min_delta=0.005) == 3


def test_a_gain_of_exactly_min_delta_is_none():
    assert stopped_at(chain([0.5, 0.75], repeat(1.0)), patience=2, min_delta=0.25) == 5
    assert stopped_at(repeat(0.5), patience=4) == 5


def test_smaller_is_better_in_mode_min():
    assert stopped_at(chain([3.0, 2.0, 1.0], repeat(1.5)), patience=4, mode="min") == 7
    assert stopped_at(chain([3.0, 2.0, 1.0], repeat(1.5)), patience=4, mode="max") == 5


def test_nan_is_never_an_improvement_and_is_told(caplog):
    with caplog.at_level(logging.WARNING, "medbundles"):
        assert stopped_at(chain([0.5], repeat(math.nan)), patience=3) == 4
    assert "val is NaN in epoch 2: not an improvement" in caplog.text
    assert stopped_at(repeat(math.nan), patience=3) == 3
    assert stopped_at(chain([math.nan, 0.5], repeat(0.4)), patience=3) == 5  # a number after it is one


@pytest.mark.parametrize("mode", ["max", "min"])
def test_an_infinite_metric_does_not_switch_it_off(mode):
    assert stopped_at(repeat(math.inf), epochs=20, patience=3, mode=mode) <= 4


def test_it_waits_for_min_epochs():
    assert stopped_at(repeat(0.5), patience=2, min_epochs=10) == 10
    assert stopped_at(repeat(0.5), patience=2, min_epochs=2) == 3


def test_patience_counts_epochs_when_only_every_second_is_validated():
    # validated in 2, 4, 6, 8: the best is in epoch 2; 4 epochs later is 6
    assert stopped_at(repeat(0.5), patience=4, interval=2) == 6
    assert stopped_at(repeat(0.5), patience=5, interval=2) == 8


def test_switched_off_it_never_stops():
    assert stopped_at(repeat(0.5), epochs=30, patience=1, enabled=False) == 30


def test_after_a_restart_it_goes_on_counting():
    first = train(chain([0.7, 0.72], repeat(0.71)), epochs=6, patience=10)
    state = stateful(first)["early_stopping"].state_dict()
    assert (state["best"], state["best_epoch"]) == (0.72, 2)
    assert stopped_at(repeat(0.715), start=6, state=state, patience=10) == 12
    assert stopped_at(chain(repeat(0.715, 3), [0.73], repeat(0.7)), start=6, state=state, patience=10) == 20


def test_an_unknown_metric_is_refused():
    validator = Engine(print)
    validator.state.epoch, validator.state.metrics = 1, {"val": 1.0}
    trainer = Engine(lambda *_: None)
    share(trainer, validator=validator, metric="dice")
    EarlyStopping().attach(trainer)
    with pytest.raises(ConfigError, match="early_stopping#monitor: no metric is named 'dice'; there are val"):
        trainer.run([0])


def test_no_stop_before_what_begins_later_has_had_its_patience():
    """Document 004's defaults: patience 7, min_epochs 10, re-weighting from epoch 15 on."""
    flat = {"patience": 7, "min_epochs": 10}
    assert stopped_at(repeat(0.5), **flat) == 10
    assert stopped_at(repeat(0.5), **flat, hold_until=15) == 22
    assert stopped_at(chain([0.5] * 19, repeat(0.9)), **flat, hold_until=15) == 27
    assert stopped_at(repeat(0.5), **flat, hold_until=False) == 10


def test_an_equal_value_with_a_better_second_one_is_an_improvement():
    def stops(seconds, **options):
        trainer, validator, seconds = Engine(lambda *_: None), Engine(lambda *_: None), iter(seconds)

        @trainer.on(Events.EPOCH_COMPLETED)
        def validate():
            validator.state.epoch = trainer.state.epoch
            validator.state.metrics = {"auc": 1.0, "f1": next(seconds)}

        share(trainer, validator=validator, metric="auc", **options)
        EarlyStopping(patience=3).attach(trainer)
        trainer.run([0], max_epochs=50)
        return trainer.state.epoch

    rising = chain([0.1, 0.2, math.nan, 0.3], repeat(0.3))
    assert stops(rising, tie_break="f1") == 7
    assert stops(repeat(0.1), tie_break="f1") == 4
    assert stops(chain([0.1, 0.2, 0.3], repeat(0.3))) == 4


def test_the_second_value_is_resumed():
    one, two = EarlyStopping(), EarlyStopping()
    one.best, one.best_epoch = [0.9, 0.5], 4
    two.load_state_dict(one.state_dict())
    assert (two.best, two.best_epoch) == ([0.9, 0.5], 4)


def test_with_the_name_of_a_metric_it_makes_the_runs_monitor():
    monitor = EarlyStopping(monitor="val_loss", mode="min", min_delta=0.5, tie_break="val_f1").monitor
    assert vars(monitor) == vars(Monitor("val_loss", "min", "val_f1", 0.5))
    assert EarlyStopping().monitor is None
