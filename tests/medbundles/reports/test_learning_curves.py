from __future__ import annotations

import pytest
from ignite.engine import Engine

from medbundles.handlers.history import History
from medbundles.handlers.stateful import stateful
from medbundles.reports import LearningCurves, curves
from medbundles.runs import RunDirectory
from tests.medbundles.handlers.sharing import share


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """drawn(every, values, ...): what the figure was asked for each time."""
    run_dir = RunDirectory(str(tmp_path), "exp")
    run_dir.start()
    calls = []
    for name in ("learning_curves", "loss_curve"):
        monkeypatch.setattr(curves, name, lambda records, path, best_epoch: calls.append((path, best_epoch)))

    def run(every=0, values=(0.5, 0.7, 0.6), **options):
        calls.clear()
        engine = Engine(lambda *_: None)
        history = History()
        share(engine, run_dir)
        history.epochs = [{"epoch": i + 1, "val": v} for i, v in enumerate(values)]
        stateful(engine)["history"] = history
        LearningCurves(every, **options).attach(engine)
        engine.run([0], max_epochs=3)
        return [(path.relative_to(run_dir.path).as_posix(), best) for path, best in calls]

    return run


def test_the_picture_is_drawn_once_at_the_end_or_on_the_way_too(drawn):
    assert drawn() == [("plots/learning_curves.png", 2)]
    assert drawn(every=2) == [("plots/learning_curves_epoch_2.png", 2), ("plots/learning_curves.png", 2)]
    assert len(drawn(every=1)) == 4


def test_the_losses_alone_are_drawn_beside_them(drawn):
    assert [path for path, _ in drawn(every=3, loss_curve=True)] == [
        "plots/learning_curves_epoch_3.png", "plots/loss_curve_epoch_3.png",
        "plots/learning_curves.png", "plots/loss_curve.png",
    ]  # fmt: skip


def test_without_epochs_there_is_none_and_without_a_best_one_it_is_not_marked(drawn):
    assert drawn(values=()) == []
    assert drawn(values=(float("nan"),)) == [("plots/learning_curves.png", None)]
