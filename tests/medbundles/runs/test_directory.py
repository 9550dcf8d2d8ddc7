from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medbundles import ranks
from medbundles.errors import CheckpointError, ConfigError
from medbundles.runs import RunDirectory, directory


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    monkeypatch.setattr(directory.time, "strftime", lambda form: "run_20260102_030405")


def make_run(folder, *names):
    for name in names:
        (folder / name / "checkpoints").mkdir(parents=True)
        (folder / name / "checkpoints" / "last.pt").write_text(name)


def test_nothing_is_made_before_the_start(tmp_path):
    run = RunDirectory(str(tmp_path / "runs"), "exp")
    assert not run.started
    assert run.resume_file() is None
    with pytest.raises(RuntimeError, match="named when the trainer starts"):
        _ = run.path
    assert list(tmp_path.iterdir()) == []


def test_layout(tmp_path):
    run = RunDirectory(str(tmp_path / "runs"), "exp")
    assert run.start() == tmp_path / "runs/exp/run_20260102_030405" == run.path
    shown = sorted(p.name for p in run.path.iterdir() if not p.name.startswith("."))
    assert shown == ["checkpoints", "config", "logs", "metrics", "plots", "predictions"]
    assert run.start() == run.path  # a trainer that is run again stays in its folder
    assert len(list((tmp_path / "runs/exp").iterdir())) == 1


def test_runs_in_the_same_second_and_of_a_fold_have_their_own_folders(tmp_path):
    names = [RunDirectory(str(tmp_path), "exp").start().name for _ in range(3)]
    assert names == ["run_20260102_030405", "run_20260102_030405_2", "run_20260102_030405_3"]
    assert RunDirectory(str(tmp_path), "exp", fold=0).start() == tmp_path / "exp/fold_0/run_20260102_030405"


def test_an_absolute_checkpoint_and_log_folder(tmp_path):
    run = RunDirectory(str(tmp_path), "exp", checkpoint_dir=str(tmp_path / "elsewhere"), log_dir="texts")
    run.start()
    assert run.folder("checkpoints") == tmp_path / "elsewhere"
    assert run.folder("logs") == run.path / "texts"
    assert (tmp_path / "elsewhere").is_dir()
    assert (run.path / "texts").is_dir()
    resumed = RunDirectory(str(tmp_path), "exp", checkpoint_dir=str(tmp_path / "elsewhere"), resume=True)
    with pytest.raises(CheckpointError):
        resumed.resume_file()
    (tmp_path / "elsewhere" / "last.pt").write_text("")
    assert resumed.resume_file() == tmp_path / "elsewhere" / "last.pt"
    assert resumed.start(run.path.name) == run.path


@pytest.mark.parametrize(
    ("names", "newest"),
    [
        (["run_20260101_000000", "run_20260101_000001"], "run_20260101_000001"),
        (["run_20260101_000000_2", "run_20260101_000000"], "run_20260101_000000_2"),
        (["run_20260101_000000_2", "run_20260101_000000_10", "run_20260101_000000_9"], "run_20260101_000000_10"),
        (["run_20260101_000000_2", "run_20260101_000001"], "run_20260101_000001"),
        (["run_20260101_000000", "run_20260101_000000_backup", "run_zzz"], "run_20260101_000000"),
    ],
)
def test_the_newest_run_is_resumed(tmp_path, names, newest):
    make_run(tmp_path / "exp", *names)
    for age, name in enumerate(names):  # times on disk do not matter
        os.utime(tmp_path / "exp" / name, (age, age))
    run = RunDirectory(str(tmp_path), "exp", resume=True)
    assert run.resume_file().read_text() == newest
    assert run.start(newest) == tmp_path / "exp" / newest


def test_the_newest_run_decides_though_it_never_completed_an_epoch(tmp_path):
    make_run(tmp_path / "exp", "run_20260101_000000", "run_20260101_000001")
    (tmp_path / "exp/run_20260101_000001/checkpoints/last.pt").unlink()
    with pytest.raises(CheckpointError, match=r"newest run has no .*000001/checkpoints/last.pt: .* --resume_from FILE"):
        RunDirectory(str(tmp_path), "exp", resume=True).resume_file()


@pytest.mark.parametrize("name", ["../..", "/tmp/elsewhere", "best", "run_20260101_000000/../x"])
def test_a_checkpoint_cannot_name_another_folder(tmp_path, name):
    (tmp_path / "last.pt").touch()
    run = RunDirectory(str(tmp_path / "runs"), "exp", resume_from=str(tmp_path / "last.pt"))
    with pytest.raises(CheckpointError, match="which is no run's name"):
        run.start(name)
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("renamed", ["best_run", "run_20260101_000009"])
def test_a_run_folder_that_was_renamed_is_not_resumed(tmp_path, renamed):
    make_run(tmp_path / "exp", "run_20260101_000000")
    folder = (tmp_path / "exp/run_20260101_000000").rename(tmp_path / "exp" / renamed)
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config/config.json").write_text("{}")
    run = RunDirectory(str(tmp_path), "exp", resume_from=str(folder / "checkpoints/last.pt"))
    with pytest.raises(CheckpointError, match=rf"lies in the run folder '{renamed}' and belongs to run_20260101"):
        run.start("run_20260101_000000")


def test_the_copy_of_a_run_does_not_lead_into_the_run(tmp_path):
    make_run(tmp_path / "exp", "run_20260101_000000")
    folder = tmp_path / "exp/run_20260101_000000"
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config/config.json").write_text("{}")
    shutil.copytree(folder, tmp_path / "exp/run_20270101_000000")
    run = RunDirectory(str(tmp_path), "exp", resume=True)
    with pytest.raises(CheckpointError, match="lies in the run folder 'run_20270101_000000' and belongs to run_2026"):
        run.start("run_20260101_000000")


@pytest.mark.parametrize(
    ("folder", "is_wrong"), [("../shared", True), ("..", True), ("a/../../b", True), ("a/../b", False), ("/abs", False)]
)
def test_a_relative_folder_lies_in_the_run(folder, is_wrong):
    (rule,) = RunDirectory.rules
    for checkpoints, logs in ((folder, "logs"), ("checkpoints", folder)):
        line = rule.line({"checkpoint_dir": checkpoints, "log_dir": logs}, "train")
        assert bool(line) == is_wrong
        assert not line or f"{folder} leads out of the run's folder" in line


def test_a_checkpoint_that_lies_in_no_run_is_not_resumed(tmp_path):
    (tmp_path / "e" / "checkpoints").mkdir(parents=True)
    (tmp_path / "e" / "checkpoints" / "last.pt").touch()
    with pytest.raises(CheckpointError, match=r"there is no run below"):
        RunDirectory(str(tmp_path), "e", resume=True).resume_file()


def test_only_runs_of_the_same_experiment_and_fold_are_resumed(tmp_path):
    make_run(tmp_path / "other", "run_20260101_000000")
    make_run(tmp_path / "exp/fold_1", "run_20260101_000000")
    for fold in (None, 0):
        with pytest.raises(CheckpointError, match=r"resume: there is no run below .* Start without --resume"):
            RunDirectory(str(tmp_path), "exp", fold=fold, resume=True).resume_file()
    assert RunDirectory(str(tmp_path), "exp", fold=1, resume=True).resume_file()


def test_resume_from_a_file_goes_on_in_its_run_wherever_that_is(tmp_path):
    make_run(tmp_path / "old/exp", "run_20250101_000000")
    file = tmp_path / "old/exp/run_20250101_000000/checkpoints/last.pt"
    run = RunDirectory(str(tmp_path / "new"), "exp", resume_from=str(file))
    assert run.resume_file() == file
    assert run.start("run_20250101_000000") == file.parents[1]
    copy = tmp_path / "copy.pt"
    copy.write_text("")
    loose = RunDirectory(str(tmp_path / "new"), "exp", resume_from=str(copy))
    assert loose.start("run_20250101_000000") == tmp_path / "new/exp/run_20250101_000000"
    with pytest.raises(CheckpointError, match=r"resume_from: .*gone\.pt does not exist"):
        RunDirectory(str(tmp_path), "exp", resume_from=str(tmp_path / "gone.pt")).resume_file()
    with pytest.raises(CheckpointError, match=r"resume_from: .* is a folder; name .* such as .*last\.pt"):
        RunDirectory(str(tmp_path), "exp", resume_from=str(file.parents[1])).resume_file()


def test_tracking_knows_a_runs_name_before_its_folder_is_there(tmp_path):
    run = RunDirectory(str(tmp_path), "exp")
    name = run.tracked_name
    assert list(tmp_path.iterdir()) == []
    assert run.start().name == name
    make_run(tmp_path / "old", "run_20250101_000000")
    file = tmp_path / "old/run_20250101_000000/checkpoints/last.pt"
    resumed = RunDirectory(str(tmp_path), "exp", resume_from=str(file))
    assert resumed.tracked_name == "run_20250101_000000"


def test_a_folder_that_cannot_be_made_is_a_readable_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"output_dir: cannot make a run folder below .*file/exp: Not a directory"):
        RunDirectory(str(tmp_path / "file"), "exp").start()


def test_rank_0_alone_makes_the_folder_and_tells_the_others(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(ranks, "from_rank_0", lambda value: told.append(value) or (Path("/told/by/rank_0"), None))
    monkeypatch.setattr(ranks, "is_rank_0", lambda: False)
    assert RunDirectory(str(tmp_path), "exp").start() == Path("/told/by/rank_0")
    assert told == [(None, None)]
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(ranks, "from_rank_0", lambda value: (None, ConfigError("output_dir: no.")))
    with pytest.raises(ConfigError, match=r"output_dir: no\."):  # every rank stops
        RunDirectory(str(tmp_path), "exp").start()


def test_a_new_run_does_not_take_over_the_checkpoints_of_another(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    first = RunDirectory(str(tmp_path / "runs"), "exp", checkpoint_dir=str(shared))
    first.start()
    (shared / "best.pt").write_bytes(b"x")
    second = RunDirectory(str(tmp_path / "runs"), "exp", checkpoint_dir=str(shared))
    with pytest.raises(ConfigError, match="holds the checkpoints of another run"):
        second.start()
    assert len(first.runs()) == 1


HOLD = """
import os, sys, time
from medbundles.runs import RunDirectory
run = RunDirectory(sys.argv[1], "e")
run.start(sys.argv[2])
worker = os.fork()  # as a loader's worker
if worker:
    print(worker, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="locks of runs are POSIX ones")
def test_a_run_that_still_runs_is_not_resumed_but_a_killed_one_is(tmp_path):
    mine = RunDirectory(str(tmp_path), "e")
    run = mine.start()
    assert (run / ".lock").is_file()
    mine.release()  # as at the end of a run
    assert not (run / ".lock").exists()
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path), run.name], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    worker = int(other.stdout.readline())
    try:
        with pytest.raises(ConfigError, match="another process still writes to this run"):
            RunDirectory(str(tmp_path), "e").start(run.name)
        other.kill()
        other.wait()
        os.kill(worker, 0)  # still there, and no hindrance
        assert RunDirectory(str(tmp_path), "e").start(run.name) == run
    finally:
        other.kill()
        os.kill(worker, signal.SIGKILL)


def test_what_was_made_for_a_refused_run_goes_again_and_no_more(tmp_path):
    (tmp_path / "there").mkdir()
    shared = tmp_path / "there/checkpoints"
    refused = RunDirectory(str(tmp_path / "there/runs"), "exp", checkpoint_dir=str(shared))
    refused.start()
    assert shared.is_dir()
    refused.release()
    refused.discard()
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]
    first = RunDirectory(str(tmp_path), "exp")
    path = first.start()
    first.release()
    resumed = RunDirectory(str(tmp_path), "exp")
    resumed.start(path.name)
    resumed.discard()  # not made by it
    assert path.is_dir()
