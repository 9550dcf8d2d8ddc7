"""Folds that are jobs of their own, and their report."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from medbundles.errors import ConfigError, DataError, MedbundlesError
from tests.medbundles.runs.test_lock import another
from tests.tools.test_kfold import Children, children, data, run  # noqa: F401  # fixtures
from tools import kfold
from tools.cli import main
from tools.kfold_collect import collect, without_fold
from tools.kfold_report import write_report

ROOT = Path(__file__).parents[2]
SBATCH = ROOT / "docs/slurm/kfold.sbatch"


@pytest.fixture
def experiment(children, data, tmp_path) -> Path:  # noqa: F811
    """Three folds, trained one by one."""
    for fold in range(3):
        run(data, tmp_path, fold=fold)
    return tmp_path / "runs/glioma_grading"


def test_the_report_is_that_of_one_machine(children, data, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr(kfold, "write_report", write_report)
    run(data, tmp_path)
    for call in tmp_path.glob("call_*"):  # they number the runs
        call.unlink()
    (tmp_path / "runs").rename(tmp_path / "whole")
    for fold in range(3):
        run(data, tmp_path, fold=fold)
    assert main(["collect", str(tmp_path / "runs/glioma_grading")]) == 0
    whole, ours = (tmp_path / name / "glioma_grading/kfold" for name in ("whole", "runs"))
    files = sorted(path.name for path in whole.iterdir())
    assert {"kfold.json", "kfold.md", "oof_predictions.csv"} < set(files)
    assert sorted(path.name for path in ours.iterdir()) == files
    for name in files:
        assert (ours / name).read_bytes() == (whole / name).read_bytes(), name
    record = json.loads((ours.parent / kfold.RECORD).read_text())
    assert [*record["done"]] == ["0", "1", "2"]


def test_it_is_found_where_it_was_copied_to(experiment, tmp_path):
    moved = shutil.move(experiment, tmp_path / "elsewhere")
    assert collect(str(moved))["n_cases"] == 6
    assert str(experiment) not in json.dumps(json.loads((Path(moved) / kfold.RECORD).read_text())["done"])


def test_a_fold_alone_does_not_disturb_the_others(children, data, experiment, tmp_path):  # noqa: F811
    told = children.told()
    assert list(told) == ["train 0", "test 0", "train 1", "test 1", "train 2", "test 2"]
    with pytest.raises(ConfigError, match="was trained as a job of its own"):
        run(data, tmp_path)
    with pytest.raises(ConfigError, match="holds a cross-validation already"):
        run(data, tmp_path, fold=1)
    with another(experiment / "fold_1"), pytest.raises(ConfigError, match="fold 1 of a cross-validation runs there"):
        run(data, tmp_path, fold=1, resume=True)
    children.plan()
    run(data, tmp_path, fold=1, resume=True)
    assert not children.told()


def test_a_fold_that_was_stopped_goes_on(children, data, tmp_path):  # noqa: F811
    children.plan(codes={"train 1": -9})
    with pytest.raises(MedbundlesError, match="training of fold 1 ended"):
        run(data, tmp_path, fold=1)
    with pytest.raises(DataError, match="fold 1: is not trained yet"):
        collect(str(tmp_path / "runs/glioma_grading"))
    children.plan()
    run(data, tmp_path, fold=1, resume=True)
    assert "resume_from" in children.told()["train 1"]["settings"]


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_fold_that_is_missing_or_different_is_named(experiment, tmp_path):
    with pytest.raises(DataError, match="has no folds of their own"):
        collect(str(tmp_path))
    record = experiment / "fold_2/kfold_run.json"
    split = next((experiment / "fold_2").glob("run_*/config/split.json"))
    table = next((experiment / "evaluation/fold_2").glob("run_*/predictions/predictions.csv"))
    for file, old, new, message in (
        (record, '"epochs": 2', '"epochs": 3', "fold 2: was asked for something else than fold 0: epochs 2 -> 3"),
        (split, '"x"', '"y"', "fold 2: has other images than fold 0: case_"),
        (split, "case_1_1", "case_1_9", "fold 2: has other images than fold 0: case_1_"),
        (table, "case_2_1", "case_0_1", "case_"),
    ):
        kept = file.read_text()
        change(file, old, new)
        with pytest.raises(DataError, match=message):
            collect(str(experiment))
        file.write_text(kept)
        assert not (experiment / "kfold").exists()
    shutil.rmtree(experiment / "fold_1")
    with pytest.raises(DataError, match="of 3 folds missing: 1"):
        collect(str(experiment))


def test_a_fold_of_other_versions_is_told(experiment, capsys):
    collect(str(experiment))
    assert "note" not in capsys.readouterr().out
    (environment,) = (experiment / "fold_2").glob("run_*/config/environment.json")
    change(environment, "2.13.0", "2.9.1")
    collect(str(experiment))
    assert "note: fold 2: was trained with other versions than fold 0: torch '2.13.0' -> '2.9.1'." in (
        capsys.readouterr().out
    )


def test_the_command_is_that_of_all_folds():
    assert without_fold("python -m tools kfold x --fold 2 --lr 0.1") == "python -m tools kfold x --lr 0.1"
    assert without_fold("kfold x --fold=2 --folds 3 --fold_seed 1") == "kfold x --folds 3 --fold_seed 1"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_example_for_slurm_starts_its_fold(tmp_path):
    """What Slurm would start, with its variables set by hand; `python` notes what it is told."""
    subprocess.run(["bash", "-n", str(SBATCH)], check=True)
    fake = tmp_path / "python"
    fake.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    runs = tmp_path / "the runs"
    words = ["bash", str(SBATCH), "glioma_grading_resnet50_3d", "/data with space", str(runs), "--epochs", "2"]
    again = {"SLURM_RESTART_COUNT": "1"}
    for restarts, begun, more in (({}, 0, []), (again, 0, []), (again, 1, ["--resume", "True"])):
        if begun:
            (runs / "glioma_grading/fold_3").mkdir(parents=True)
            (runs / "glioma_grading/fold_3/kfold_run.json").touch()
        path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "SLURM_ARRAY_TASK_ID": "3", **restarts}
        told = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
        expected = ["-m", "tools", "kfold", "glioma_grading_resnet50_3d", "--dataset_dir", "/data with space"]
        assert told == [*expected, "--output_dir", str(runs), "--epochs", "2", "--fold", "3", *more]
