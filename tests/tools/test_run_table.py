"""Runs at a glance: what is listed of them, and what is removed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.medbundles.runs.test_lock import another
from tools import run_removal
from tools.cli import main
from tools.run_table import list_runs


def make_run(folder: Path, epochs: int = 2, asked: int = 2, **summary: Any) -> Path:
    """A run of so many of the epochs that it was asked for."""
    for name in ("config", "metrics"):
        (folder / name).mkdir(parents=True)
    changed = {"lr": {"value": 0.003, "default": 0.001}, "epochs": {"value": asked, "default": 100}}
    (folder / "config/environment.json").write_text(json.dumps({"bundle": "toy", "changed": changed}))
    (folder / "config/config.json").write_text(json.dumps({"epochs": asked, "early_stopping": {"mode": "max"}}))
    found = {"epochs": epochs, "monitor": "val_dice", "best_value": 0.5, "best_epoch": 1, "seconds": 90.0, **summary}
    content = {"summary": found, "epochs": [{"epoch": n + 1} for n in range(epochs)]}
    (folder / "metrics/metrics.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def runs(tmp_path) -> Path:
    """Three runs: finished, stopped, and one of a fold."""
    make_run(tmp_path / "e/run_20260101_000000")
    make_run(tmp_path / "e/run_20260101_000000_2", 3, 9, best_value=0.7)
    make_run(tmp_path / "k/fold_1/run_20251231_000000", best_value=None)
    return tmp_path


def test_state_score_time_and_settings(runs, capsys):
    rows = {row["name"]: row for row in list_runs(str(runs), format="json")}
    assert json.loads(capsys.readouterr().out) == list(rows.values())
    assert list(rows) == ["k/fold_1/run_20251231_000000", "e/run_20260101_000000", "e/run_20260101_000000_2"]
    assert [row["state"] for row in rows.values()] == ["finished", "finished", "stopped at epoch 3"]
    one = rows["e/run_20260101_000000"]
    assert (one["bundle"], one["monitor"], one["score"], one["seconds"]) == ("toy", "val_dice", 0.5, 90.0)
    assert one["changed"] == {"lr": 0.003, "epochs": 2}
    assert [row["score"] for row in list_runs(str(runs), sort="score")] == [0.7, 0.5, None]
    text = capsys.readouterr().out
    assert "best val_dice 0.5000 (epoch 1)" in text
    assert "lr 0.003, epochs 2" in text
    assert max(map(len, text.splitlines()[1:])) <= 80


def test_early_stopping_is_an_end_until_it_is_resumed(runs):
    run = runs / "e/run_20260101_000000_2"
    (run / "metrics/val_metrics.json").write_text("{}")
    assert list_runs(str(run))[0]["state"] == "finished"
    later = run.stat().st_mtime + 60
    os.utime(run / "metrics/metrics.json", (later, later))
    assert list_runs(str(run))[0]["state"] == "stopped at epoch 3"


@pytest.mark.skipif(os.name != "posix", reason="the lock needs fcntl")
def test_running_is_what_holds_its_lock_and_is_not_removed(runs, capsys):
    run = runs / "e/run_20260101_000000_2"
    with another(run) as process:
        assert [row["state"] for row in list_runs(str(runs))][-1] == "running"
        assert f"process {process.pid} on" in capsys.readouterr().out
        assert main(["runs", str(runs), "--remove", "e/run_20260101_000000", run.name, "--yes"]) == 1
        assert "is running" in capsys.readouterr().err
    with another(runs / "k"):  # a cross-validation, whose folds wait for each other
        assert main(["runs", str(runs), "--remove", "k/fold_1/run_20251231_000000", "--yes"]) == 1
    assert (run / ".lock").is_file()  # it was killed
    assert [row["state"] for row in list_runs(str(runs))] == ["finished", "finished", "stopped at epoch 3"]


def test_a_broken_file_is_named_and_the_others_are_listed(runs, capsys):
    (runs / "e/run_20260101_000000/metrics/metrics.json").write_text("{")
    assert [row["state"] for row in list_runs(str(runs))] == ["finished", "broken", "stopped at epoch 3"]
    assert "metrics.json" in capsys.readouterr().out


def test_what_is_named_is_removed_and_nothing_else(runs, capsys):
    outside = make_run(runs.parent / f"{runs.name}_outside" / "run_20240101_000000")
    (runs / "run_20250101_000000").symlink_to(outside)
    (runs / "notes").mkdir()
    for name in ("notes", "e", ".", "..", str(outside), f"../{outside.parent.name}/{outside.name}", "run_2025"):
        assert main(["runs", str(runs), "--remove", name, "--yes"]) == 1, name
        assert "is no run in" in capsys.readouterr().err
    assert main(["runs", str(runs), "--remove", "run_20250101_000000", "--yes"]) == 1  # a link
    words = ["--remove", "run_20260101_000000_2", "fold_1/run_20251231_000000"]
    assert main(["runs", str(runs), *words]) == 1
    assert "nobody can be asked" in capsys.readouterr().err
    assert len(list_runs(str(runs))) == 3
    assert main(["runs", str(runs), *words, "--yes"]) == 0
    assert [row["name"] for row in list_runs(str(runs))] == ["e/run_20260101_000000"]
    assert outside.is_dir()
    assert (runs / "notes").is_dir()


def test_a_name_of_several_runs_is_refused(runs, capsys):
    make_run(runs / "other/run_20260101_000000")
    assert main(["runs", str(runs), "--remove", "run_20260101_000000", "--yes"]) == 1
    assert "fits 2 runs" in capsys.readouterr().err


def test_a_terminal_is_asked(runs, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for answer, left in (("", 3), ("n", 3), ("y", 2)):
        monkeypatch.setattr("builtins.input", lambda _, answer=answer: answer)
        assert main(["runs", str(runs), "--remove", "run_20260101_000000_2"]) == 0
        capsys.readouterr()
        assert len(list_runs(str(runs))) == left


def test_an_interrupted_removal_leaves_no_half_of_a_run(runs, monkeypatch, capsys):
    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_removal.shutil, "rmtree", killed)
        assert main(["runs", str(runs), "--remove", "run_20260101_000000_2", "--yes"]) == 130
    row = list_runs(str(runs))[-1]
    assert (row["name"], row["state"]) == ("e/.removing~run_20260101_000000_2", "being removed")
    assert main(["runs", str(runs), "--remove", row["name"], "--yes"]) == 0
    assert len(list_runs(str(runs))) == 2
    capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: is no folder"),
        (["--sort", "scores"], "did you mean 'score'?"),
        (["--format", "yaml"], "use one of: text, json"),
        (["--yes"], "--yes: goes with --remove"),
        (["--remove"], "--remove needs a value"),
    ],
)
def test_what_is_typed_wrong(words, message, capsys):
    assert main(["runs", *words]) == 1
    assert message in capsys.readouterr().err


def test_an_evaluation_that_loses_its_weights_is_told(runs, capsys):
    evaluation = make_run(runs / "e/evaluation/run_20260102_000000")
    run = runs / "e/run_20260101_000000"
    changed = {"checkpoint": {"value": f"{run}/checkpoints/best.pt", "default": "models/model.pt"}}
    (evaluation / "config/environment.json").write_text(json.dumps({"bundle": "toy", "changed": changed}))
    assert main(["runs", str(runs), "--remove", "e/run_20260101_000000_2", "--yes"]) == 0
    assert "note" not in capsys.readouterr().out
    assert main(["runs", str(runs), "--remove", "e/run_20260101_000000", "--yes"]) == 0
    told = "note: e/evaluation/run_20260102_000000 stays, an evaluation whose weights are removed"
    assert told in capsys.readouterr().out
    assert evaluation.is_dir()
