from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
from ignite.engine import Engine, Events
from monai.handlers import ValidationHandler

from medbundles.errors import ConfigError
from medbundles.handlers import (
    CheckpointSaver,
    EarlyStopping,
    History,
    LrSchedule,
    Progress,
    Run,
    Seeding,
    WeightsCheckpointLoader,
)
from medbundles.handlers.phases import PHASES, check_order, phase_of


class Someone:
    """A handler of someone else's."""

    def attach(self, engine):
        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: None)
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine): ...


def validation():
    return ValidationHandler(1)


RIGHT = (validation, History, Progress, EarlyStopping, CheckpointSaver)


def engine_of(makers):
    engine = Engine(lambda *_: None)
    for make in makers:
        make().attach(engine)
    return engine


@pytest.mark.parametrize("order", list(permutations(range(len(RIGHT)))))
def test_every_other_order_than_the_right_one_is_refused(order):
    engine = engine_of(RIGHT[i] for i in order)
    if order == tuple(range(len(RIGHT))):
        check_order(engine)
    else:
        right = "ValidationHandler, History, Progress, EarlyStopping, CheckpointSaver"
        with pytest.raises(ConfigError, match=f"must stand before .* The right order is: {right}"):
            check_order(engine)


def test_both_handlers_and_their_phases_are_named():
    with pytest.raises(ConfigError, match=r"ValidationHandler \(validate\) must stand before CheckpointSaver \(save\)"):
        check_order(engine_of([History, CheckpointSaver, validation]))


def test_handlers_of_one_phase_and_those_of_someone_else_may_stand_anywhere():
    check_order(engine_of([Someone, validation, Someone, History, LrSchedule, EarlyStopping, Someone]))
    check_order(engine_of([validation, History, EarlyStopping, LrSchedule]))


def test_a_run_in_the_wrong_order_leaves_nothing(tmp_path: Path):
    from medbundles.runs import RunDirectory

    run = Run(RunDirectory(str(tmp_path), "exp"), validator=Engine(print))
    engine = engine_of([Seeding7, lambda: run, History, validation])
    with pytest.raises(ConfigError, match=r"ValidationHandler \(validate\) must stand before History \(record\)"):
        engine.run([0])
    assert list(tmp_path.iterdir()) == []


def Seeding7():  # noqa: N802 - stands for a class
    return Seeding(7)


def test_all_of_ours_have_a_phase():
    import medbundles.handlers as handlers
    import medbundles.reports as reports

    ours = [kind for room in (handlers, reports) for kind in vars(room).values() if hasattr(kind, "attach")]
    assert len(ours) > 20
    ours.remove(handlers.OnEvent)  # it stands for a handler of someone else, which may stand anywhere
    assert [kind.__name__ for kind in ours if phase_of(kind) not in PHASES] == []
    assert phase_of(WeightsCheckpointLoader) == "load"
    assert phase_of(Someone) is None
