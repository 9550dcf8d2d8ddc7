from __future__ import annotations

import json
import logging
import time
from contextlib import nullcontext

import pytest
from ignite.engine import Engine, Events

from medbundles.atomic_files import HOST
from medbundles.errors import DataError
from medbundles.handlers import Run, run
from medbundles.reports import LearningCurves, RunPage
from medbundles.runs import RunDirectory


@pytest.fixture
def run_dir(tmp_path):
    directory = RunDirectory(str(tmp_path), "exp")
    directory.record({"epochs": 3, "lr": "$1e-3"}, {"epochs": 3}, set())
    return directory


def test_config_environment_and_log_are_written_when_the_run_starts(run_dir, tmp_path):
    engine = Engine(lambda *_: logging.getLogger("other").warning("from elsewhere"))
    Run(run_dir, "cpu", 7).attach(engine)
    assert list(tmp_path.iterdir()) == []  # nothing before
    seen = []
    engine.on(Events.EPOCH_STARTED)(
        lambda: seen.append(json.loads((run_dir.folder("config") / "config.json").read_text()))
    )
    engine.run([0])
    assert seen == [{"epochs": 3, "lr": "$1e-3"}]
    environment = json.loads((run_dir.folder("config") / "environment.json").read_text())
    assert (environment["seed"], environment["device"]) == (7, "cpu")
    log = (run_dir.folder("logs") / "train.log").read_text()
    assert "WARNING from elsewhere" in log
    logging.getLogger("other").warning("later")
    assert "later" not in (run_dir.folder("logs") / "train.log").read_text()


def test_a_resumed_run_appends_to_its_log(run_dir):
    for text in ("first", "second"):
        engine = Engine(lambda *_, text=text: logging.getLogger("x").warning(text))
        Run(run_dir, "cpu", 7).attach(engine)
        engine.run([0])
    log = (run_dir.folder("logs") / "train.log").read_text()
    assert "first" in log
    assert "second" in log


def test_only_rank_0_writes(run_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "is_rank_0", lambda: False)
    engine = Engine(lambda *_: None)
    Run(run_dir, "cpu", 7).attach(engine)
    engine.run([0])
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_what_else_belongs_to_the_run_is_written_when_it_starts(run_dir, tmp_path):
    class Folds:
        def record(self):
            return tmp_path / "made" / "folds.json", {"fold": [1, 2]}

    class Nothing:
        def record(self):
            return None

    engine = Engine(lambda *_: None)
    Run(run_dir, "cpu", 7, records=[Nothing(), Folds()]).attach(engine)
    assert not (tmp_path / "made").exists()
    engine.run([0, 0])
    assert json.loads((tmp_path / "made" / "folds.json").read_text()) == {"fold": [1, 2]}


def test_what_comes_last_is_still_in_the_log_and_then_the_folder_is_free(run_dir):
    engine = Engine(lambda *_: None)
    Run(run_dir, "cpu", 7).attach(engine)
    taken = []
    engine.add_event_handler(Events.COMPLETED, lambda: logging.getLogger("medbundles").warning("published"))
    engine.add_event_handler(Events.COMPLETED, lambda: taken.append((run_dir.path / ".lock").is_file()))
    engine.run([0])
    assert "published" in (run_dir.folder("logs") / "train.log").read_text()
    assert taken == [True]
    assert not (run_dir.path / ".lock").exists()


@pytest.mark.parametrize(("error", "stays"), [(DataError("a.png: is broken"), False), (OSError("a bug"), True)])
def test_of_a_run_that_is_refused_before_its_first_epoch_nothing_stays(tiny_training, tmp_path, error, stays):
    def fail():
        raise error

    trainer = tiny_training()
    trainer.data_loader.dataset.prepare = fail
    with pytest.raises(type(error)):
        trainer.run()
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(left) == (["config.json", "environment.json", "train.log"] if stays else [])
    assert (tmp_path / "runs").exists() is stays
    assert not [handler for handler in logging.getLogger().handlers if isinstance(handler, run.RunLog)]


def test_a_run_that_fails_later_lets_go_of_its_folder(tiny_training, tmp_path):
    trainer = tiny_training()

    @trainer.on(Events.ITERATION_COMPLETED)
    def fail():
        raise DataError("a.png: is broken")

    with pytest.raises(DataError):
        trainer.run()
    assert (trainer.run_dir.folder("logs") / "train.log").is_file()
    assert not list(tmp_path.rglob(".lock"))


def test_a_host_may_run_an_engine_again_that_has_handlers_for_the_end(tiny_training):
    trainer = tiny_training(epochs=1, after_history=lambda *_: [LearningCurves()])
    trainer.run()
    trainer.state.max_epochs = 2
    trainer.run()
    assert trainer.state.epoch == 2


def test_caches_are_filled_before_the_first_epoch_whose_time_this_is_not(tiny_training):
    trainer = tiny_training(epochs=1)
    order = []

    def fill():
        order.append("filled")
        time.sleep(0.3)

    for engine in (trainer, trainer.validator):
        engine.data_loader.dataset.prepare = fill
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda: order.append("epoch"))
    trainer.run()
    assert order == ["filled", "filled", "epoch"]
    summary = json.loads((trainer.run_dir.folder("metrics") / "metrics.json").read_text())["summary"]
    assert summary["cache_seconds"] >= 0.6
    assert summary["seconds"] < summary["cache_seconds"] + 5


def test_a_runs_first_lines_say_what_it_trains_on(tiny_training, caplog):
    trainer = tiny_training(epochs=1)
    trainer.run_dir.settings["class_names"] = ["no", "yes"]
    with caplog.at_level(logging.INFO, "medbundles"):
        trainer.run()
    lines = [line for line in caplog.messages if line.startswith(("training", "validation", "network"))]
    assert lines == [
        "training: 8 images, classes: no 4, yes 4",
        "validation: 5 images, classes: no 3, yes 2",
        "network: TinyNetwork with 14 parameters",
    ]


def test_a_full_disk_at_the_log_is_said_once_and_the_run_goes_on(run_dir, capsys, caplog):
    def step(engine, batch):
        log = next(h for h in logging.getLogger().handlers if isinstance(h, run.RunLog)) if batch == 0 else None
        if log:
            log.stream.close()
            log.stream = open("/dev/full", "w")  # noqa: SIM115
        logging.getLogger("other").warning("line %d", batch)

    engine = Engine(step)
    Run(run_dir, "cpu", 7).attach(engine)
    engine.run([0, 1, 2])
    assert sum("the disk is full; the run goes on without its log." in line for line in caplog.messages) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_what_killed_processes_left_in_the_run_is_removed_when_it_is_resumed(run_dir):
    run_dir.start()
    run_dir.release()
    left = run_dir.folder("checkpoints") / f".{2**22 + 1}-{HOST}~last.pt"  # no process has so high a number
    left.write_text("x")
    RunDirectory(run_dir.output_dir, run_dir.name).start(run_dir.path.name)
    assert not left.exists()


class MLFlowHandler:
    """Stands in for MONAI's, known by its name."""

    run_finish_status, experiment_param = "FINISHED", None

    def __init__(self):
        self.ended, self.tracked = [], None

    def attach(self, engine):
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.epoch_completed)

    def start(self, engine):
        self.tracked = dict(self.experiment_param)

    def epoch_completed(self, engine):
        if engine.last_event_name is Events.EPOCH_COMPLETED and engine.state.batch == "broken":
            raise ValueError("broken")
        if engine.state.batch == "stopped":
            raise KeyboardInterrupt

    def close(self):
        self.ended.append(self.run_finish_status)


@pytest.mark.parametrize(
    ("batch", "raised", "ended"),
    [("fine", None, "FINISHED"), ("broken", ValueError, "FAILED"), ("stopped", KeyboardInterrupt, "KILLED")],
)
def test_tracking_ends_as_the_run_does(run_dir, batch, raised, ended):
    engine, tracker = Engine(lambda *_: None), MLFlowHandler()
    Run(run_dir, "cpu", 7).attach(engine)
    tracker.attach(engine)
    with pytest.raises(raised) if raised else nullcontext():
        engine.run([batch])
    assert tracker.ended == [ended]
    assert tracker.run_finish_status == "FINISHED"  # of the next run


def test_tracked_are_settings_that_were_changed_and_stay(run_dir):
    settings = {"lr": 0.1, "batch_size": 4, "seed": 1, "epochs": 3, "loss#name": "dice"}
    run_dir.record({}, settings, {"epochs"}, about={"changed": {"loss#name": {}, "epochs": {}}})
    engine, tracker = Engine(lambda *_: None), MLFlowHandler()
    Run(run_dir, "cpu", 7).attach(engine)
    tracker.attach(engine)
    engine.run([0])
    assert tracker.tracked == {"loss.name": "dice", "lr": 0.1, "batch_size": 4}


def test_a_page_that_fails_leaves_the_run_as_it_is(run_dir, caplog, monkeypatch):
    monkeypatch.setattr("medbundles.reports.page.page.page_of", lambda runs: 1 / 0)
    engine = Engine(lambda *_: None)
    Run(run_dir, "cpu", 7).attach(engine)
    RunPage().attach(engine)
    engine.run([0])
    assert "report.html was not written: ZeroDivisionError" in caplog.text
    assert not (run_dir.path / "report.html").exists()
