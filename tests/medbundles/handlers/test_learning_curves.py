from __future__ import annotations

import pytest
from ignite.engine import Engine

from medbundles.handlers import LearningCurves
from medbundles.handlers.history import History
from medbundles.handlers.stateful import stateful
from medbundles.runs import RunDirectory, figures


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """drawn(every, epochs): what the figure was asked for each time."""
    run_dir = RunDirectory(str(tmp_path), "exp")
    run_dir.start()
    calls = []
    monkeypatch.setattr(figures, "learning_curves", lambda records, path, best_epoch: calls.append((path, best_epoch)))

    def run(every=0, values=(0.5, 0.7, 0.6)):
        calls.clear()
        engine = Engine(lambda *_: None)
        history = History(run_dir, None, "val")
        history.epochs = [{"epoch": i + 1, "val": v} for i, v in enumerate(values)]
        stateful(engine)["history"] = history
        LearningCurves(run_dir, every).attach(engine)
        engine.run([0], max_epochs=3)
        return [(path.relative_to(run_dir.path).as_posix(), best) for path, best in calls]

    return run


def test_the_picture_is_drawn_once_at_the_end_or_on_the_way_too(drawn):
    assert drawn() == [("plots/learning_curves.png", 2)]
    assert len(drawn(every=1)) == 4
    assert len(drawn(every=2)) == 2


def test_without_epochs_there_is_none_and_without_a_best_one_it_is_not_marked(drawn):
    assert drawn(values=()) == []
    assert drawn(values=(float("nan"),)) == [("plots/learning_curves.png", None)]
