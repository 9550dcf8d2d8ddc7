"""Cross-validation: what each child is told, what goes on after a stop, and (slow) the whole thing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from medbundles.errors import ConfigError, MedbundlesError
from medbundles.runs.checkpoints import save_checkpoint
from tests.medbundles.runs.test_lock import another
from tools import kfold, runs
from tools.cli import main
from tools.kfold_report import write_report
from tools.phantoms.graded import make_graded_phantoms

GLIOMA = "glioma_grading_resnet50_3d"
TINY = {"depth": 10, "spatial_size": [16, 16, 16], "folds": 3, "epochs": 2, "drw_start_epoch": 2, "plot_interval": 0}
# Stands for a training or an evaluation: notes what it was told and leaves what a bundle would.
CHILD = """
import csv, json, os, pathlib, sys, time
folder, files, settings = pathlib.Path(sys.argv[1]), *map(json.loads, sys.argv[2:])
fold, tests = settings["fold"], "configs/evaluate.json" in files
what = f"{'test' if tests else 'train'} {fold}"
plan = json.loads((folder / "plan.json").read_text())
begin = time.time()
time.sleep(plan.get("seconds", {}).get(what, 0))
experiment = pathlib.Path(settings["output_dir"]) / "glioma_grading"
number = len(list(folder.glob("call_*")))
run = experiment / ("evaluation" if tests else "") / f"fold_{fold}" / f"run_20260101_{number:06d}"
if "resume_from" in settings:
    run = pathlib.Path(settings["resume_from"]).parents[1]
for name in ("checkpoints", "metrics", "predictions"):
    (run / name).mkdir(parents=True, exist_ok=True)
code = plan.get("codes", {}).get(what, 0)
if not tests:
    (run / "checkpoints/last.pt").touch()
    folds = settings["folds"]
    of = {"test": {fold}, "val": {(fold + 1) % folds}}
    of["train"] = set(range(folds)) - of["test"] - of["val"]
    names = {part: [f"case_{k}_{label}" for k in sorted(of[part]) for label in (0, 1)] for part in ("train", "val")}
    parts = {part: [{"name": name, "content": ["x"]} for name in some] for part, some in names.items()}
    (run / "config").mkdir(exist_ok=True)
    (run / "config/split.json").write_text(json.dumps({"parts": parts}))
    (run / "config/environment.json").write_text(json.dumps({"versions": {"torch": "2.13.0"}}))
    if not code and what not in plan.get("without_best", []):
        (run / "checkpoints/best.pt").touch()
elif not code:
    head = {"class_names": ["LGG", "HGG"], "class_threshold": 0.5}
    (run / "metrics/test_metrics.json").write_text(json.dumps(head))
    with open(run / "predictions/predictions.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["name", "patient", "source", "file", "label", "predicted", "prob_LGG", "prob_HGG"])
        for label in (0, 1):
            name = f"case_{fold}_{label}"
            row = [name, name, "volumes", f"/d/{name}.nii.gz", label, label, 0.7 - 0.4 * label]
            rows.writerow([*row, 0.3 + 0.4 * label])
told = {"what": what, "files": files, "settings": settings, "threads": os.environ.get("OMP_NUM_THREADS"),
        "begin": begin, "end": time.time()}
(folder / f"call_{number:03d}_{what.replace(' ', '_')}.json").write_text(json.dumps(told))
print("told", what)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "phantoms"
    make_graded_phantoms(folder, cases=(6, 6), size=24)
    return folder


class Children:
    """Lets the bundle's commands run `CHILD` instead, by a plan, and reads what they were told."""

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "child.py").write_text(CHILD)
        self.plan()

    def plan(self, **plan: Any) -> None:
        """What goes wrong: codes and seconds by "train 0" ..., without_best; what was told before is forgotten."""
        (self.folder / "plan.json").write_text(json.dumps(plan))
        self.seen = len(list(self.folder.glob("call_*")))

    def command(self, files: Sequence[str | Path], settings: Mapping[str, Any]) -> list[str]:
        names = [str(name) if isinstance(name, Path) else f"configs/{name}.json" for name in files]
        words = [json.dumps(names), json.dumps(dict(settings))]
        return [sys.executable, "-S", "-E", str(self.folder / "child.py"), str(self.folder), *words]

    def told(self) -> dict[str, dict[str, Any]]:
        """What each was told, in the order of their ends."""
        calls = [json.loads(path.read_text()) for path in sorted(self.folder.glob("call_*"))[self.seen :]]
        return {call["what"]: call for call in calls}


@pytest.fixture
def children(monkeypatch, tmp_path) -> Children:
    fake = Children(tmp_path)
    for module in (kfold, runs):
        monkeypatch.setattr(module, "bundle_command", fake.command)
    monkeypatch.setattr(kfold, "write_report", _no_report)  # its pictures take seconds
    return fake


def _no_report(evaluations: dict[int, Path], folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    return {"evaluations": evaluations, "folder": folder, **about}


def run(data: Path, tmp_path: Path, **more: Any) -> dict[str, Any]:
    return kfold.kfold(GLIOMA, str(data), str(tmp_path / "runs"), **{**TINY, **more})


def words(data: Path, tmp_path: Path, *more: str) -> list[str]:
    flags = [word for name, value in TINY.items() for word in (f"--{name}", str(value))]
    where = ["--dataset_dir", str(data), "--output_dir", str(tmp_path / "runs")]
    return ["kfold", GLIOMA, *where, *flags, *more]


def test_every_fold_is_trained_and_tested_with_its_best_weights(children, data, tmp_path, monkeypatch):
    monkeypatch.setattr(kfold, "write_report", write_report)
    report = run(data, tmp_path, quick_test=True, overlays=("cross_entropy",))
    told = children.told()
    assert list(told) == ["train 0", "test 0", "train 1", "test 1", "train 2", "test 2"]
    files = ["configs/train.json", "configs/quick_test.json", "configs/cross_entropy.json"]
    for fold in range(3):
        training, test = told[f"train {fold}"], told[f"test {fold}"]
        assert training["files"] == files
        assert training["settings"]["publish"] is False
        assert training["settings"]["selection"] == "inner"
        assert "resume_from" not in training["settings"]
        weights = tmp_path / "runs/glioma_grading" / f"fold_{fold}" / f"run_20260101_{2 * fold:06d}/checkpoints"
        assert test["files"] == [*files, "configs/evaluate.json", str(weights / "trained.json")]
        assert test["settings"] == {**training["settings"], "checkpoint": str(weights / "best.pt")}
    written = json.loads((tmp_path / "runs/glioma_grading/kfold/kfold.json").read_text())
    assert written["n_cases"] == report["n_cases"] == 6
    assert written["synthetic"] is True


def test_a_failed_training_ends_it_and_is_resumed_where_it_stopped(children, data, tmp_path, capsys):
    children.plan(codes={"train 1": 1})
    assert main(words(data, tmp_path)) == 1
    error = capsys.readouterr().err
    assert error.startswith("kfold: training of fold 1 ended with exit code 1")
    assert "--resume True" in error
    assert list(children.told()) == ["train 0", "test 0", "train 1"]
    children.plan()
    assert main(words(data, tmp_path, "--resume", "True")) == 0
    assert "1 of 3 folds are done already" in capsys.readouterr().out
    told = children.told()
    assert list(told) == ["train 1", "test 1", "train 2", "test 2"]
    stopped = tmp_path / "runs/glioma_grading/fold_1/run_20260101_000002/checkpoints"
    assert told["train 1"]["settings"]["resume_from"] == str(stopped / "last.pt")
    assert told["train 1"]["settings"]["init_from"] is False
    assert told["test 1"]["settings"]["checkpoint"] == str(stopped / "best.pt")
    assert "resume_from" not in told["train 2"]["settings"]


def test_two_in_one_folder_are_refused(children, data, tmp_path):
    experiment = tmp_path / "runs/glioma_grading"
    experiment.mkdir(parents=True)
    with another(experiment), pytest.raises(ConfigError, match="a cross-validation runs there already"):
        run(data, tmp_path)
    assert not children.told()
    assert not (experiment / kfold.RECORD).exists()


def test_a_trained_fold_is_not_trained_again(children, data, tmp_path):
    children.plan(codes={"test 0": -9})
    with pytest.raises(MedbundlesError, match="test of fold 0 ended with exit code"):
        run(data, tmp_path)
    children.plan()
    first = run(data, tmp_path, resume=True)
    assert list(first["evaluations"]) == [0, 1, 2]
    assert list(children.told()) == ["test 0", "train 1", "test 1", "train 2", "test 2"]
    children.plan()
    again = run(data, tmp_path, resume=True)  # nothing left: only the report is written again
    assert children.told() == {}
    assert again == first


def test_a_run_that_was_there_before_is_not_taken_for_ours(children, data, tmp_path):
    by_hand = tmp_path / "runs/glioma_grading/fold_1/run_20251231_000000/checkpoints"
    by_hand.mkdir(parents=True)
    for name in ("best.pt", "last.pt"):
        (by_hand / name).touch()
    run(data, tmp_path)
    assert "resume_from" not in children.told()["train 1"]["settings"]
    assert "run_20260101" in children.told()["test 1"]["settings"]["checkpoint"]


def test_resuming_keeps_the_settings_but_for_those_that_change_no_result(children, data, tmp_path):
    with pytest.raises(MedbundlesError, match="there is no cross-validation in"):
        run(data, tmp_path, resume=True)
    run(data, tmp_path, lr=1e-3)
    children.plan()
    with pytest.raises(MedbundlesError, match="holds a cross-validation already"):
        run(data, tmp_path, lr=1e-3)
    with pytest.raises(MedbundlesError, match=r"other settings: epochs 2 -> 3; lr 0\.001 -> 'not given'"):
        run(data, tmp_path, epochs=3, resume=True)
    with pytest.raises(MedbundlesError, match=r"files \['train'\] -> \['train', 'quick_test'\]"):
        run(data, tmp_path, lr=1e-3, quick_test=True, resume=True)
    with pytest.raises(MedbundlesError, match="selection 'inner' -> 'held_out'"):
        run(data, tmp_path, lr=1e-3, selection="held_out", resume=True)
    run(data, tmp_path, lr=1e-3, num_workers=0, cache="none", resume=True)
    assert children.told() == {}


def test_a_cross_validation_of_version_0_1_is_resumed(children, data, tmp_path):
    run(data, tmp_path)
    path = tmp_path / "runs/glioma_grading/kfold_run.json"
    record = json.loads(path.read_text())
    record["knobs"] = record.pop("settings")
    path.write_text(json.dumps(record))
    children.plan()
    with pytest.raises(MedbundlesError, match=r"other settings: lr 'not given' -> 0\.001"):
        run(data, tmp_path, lr=1e-3, resume=True)
    assert run(data, tmp_path, resume=True)["settings"]["selection"] == "inner"
    assert children.told() == {}


def test_several_processes_run_side_by_side_each_with_its_log_and_share(children, data, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("medbundles.cores.core_count", _twelve)
    children.plan(seconds={"train 0": 1.0, "train 1": 1.0})
    run(data, tmp_path, processes=2)
    told = children.told()
    assert len(told) == 6
    assert told["train 1"]["begin"] < told["train 0"]["end"]
    assert told["train 2"]["begin"] > min(told["test 0"]["end"], told["test 1"]["end"])
    assert {call["threads"] for call in told.values()} == {"6"}
    assert {call["settings"]["num_workers"] for call in told.values()} == {6}
    for fold in range(3):
        log = tmp_path / f"runs/glioma_grading/fold_{fold}/kfold.log"
        assert log.read_text().splitlines() == [f"told train {fold}", f"told test {fold}"]
    assert "fold 2: done" in capsys.readouterr().out


def _twelve() -> int:
    return 12


def test_a_failure_lets_the_others_end_and_starts_no_more(children, data, tmp_path):
    children.plan(codes={"train 0": 3}, seconds={"train 1": 1.0})
    with pytest.raises(MedbundlesError, match=r"training of fold 0 ended with exit code 3; its output is in .*fold_0"):
        run(data, tmp_path, processes=2)
    assert list(children.told()) == ["train 0", "train 1", "test 1"]


def test_a_training_without_best_weights_is_told_and_disturbs_no_other(children, data, tmp_path):
    children.plan(without_best=["train 0"], seconds={"train 1": 1.0})
    with pytest.raises(MedbundlesError, match=r"training of fold 0 left no checkpoints/best.pt in .*run_2026"):
        run(data, tmp_path, processes=2)
    assert list(children.told()) == ["train 0", "train 1", "test 1"]


def test_ctrl_c_says_how_to_go_on(data, tmp_path, monkeypatch, capsys):
    def interrupted(jobs: Mapping[str, Any], at_once: int) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "run_children", interrupted)
    assert main(words(data, tmp_path)) == 130
    assert "go on with the same command and --resume True" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("visible", "settings", "expected"),
    [
        (None, {}, ["0", "1", "0"]),
        ("5,7", {}, ["5", "7", "5"]),
        (None, {"device": "cpu"}, [None] * 3),
        ("", {}, ["", "", ""]),
    ],
)
def test_places_share_the_gpus(visible, settings, expected, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", int if visible == "" else _two)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    places = kfold.Places.of_this_machine(3, settings)
    seen = [place.get("CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES")) for place in places.environments]
    assert seen == expected


def _two() -> int:
    return 2


def test_the_settings_for_all_folds_together_are_written_or_it_is_said_why_not(children, data, tmp_path, capsys):
    run(data, tmp_path, folds=2, selection="held_out")
    experiment = tmp_path / "runs/glioma_grading"
    best = sorted(experiment.glob("fold_*/run_*/checkpoints/best.pt"))
    for threshold, path in enumerate(best):
        trained = {"depth": 10, "class_threshold": 0.25 + threshold / 2}
        save_checkpoint(path, {"run": path.parts[-3], "epoch": 1, "trained": trained, "network": {}})
    kfold.write_ensemble_settings(experiment)
    settings = json.loads((experiment / "kfold/trained.json").read_text())
    assert settings == {"depth": 10, "class_threshold": 0.5}
    assert f"--checkpoint {experiment} --input DIR" in capsys.readouterr().out
    save_checkpoint(best[0], {"run": "run", "epoch": 1, "trained": {"depth": 18}, "network": {}})
    kfold.write_ensemble_settings(experiment)
    assert f"no ensemble, as they were trained with other settings: depth is 18 in {best[0]}" in capsys.readouterr().out


def test_held_out_works_with_two_folds(children, data, tmp_path):
    run(data, tmp_path, folds=2, selection="held_out")
    assert list(children.told()) == ["train 0", "test 0", "train 1", "test 1"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batchsize": 4}, "unknown setting --batchsize; did you mean --batch_size?"),
        ({"fold": 3}, "--fold: 3, but the folds are 0 to 2"),
        (
            {"config_file": "configs/volumes.json"},
            "--config_file: name the files that follow train.json with --overlays",
        ),
        ({"part": "all"}, "--part: kfold tests each fold on its held-out cases"),
        ({"processes": 0}, "--processes: 0 must be at least 1"),
        ({"folds": 2}, "selection: inner takes one fold to test, one to choose and trains on the rest; folds is 2"),
        ({"folds": 7}, "class LGG: 6 patient(s) cannot fill 7 folds"),
        ({"epochs": 1}, "drw_start_epoch"),
        ({"overlays": ("no_such",)}, "no_such.json: cannot be read"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(children, data, tmp_path, settings, message):
    with pytest.raises(MedbundlesError) as error:
        run(data, tmp_path, **settings)
    assert message in str(error.value)
    assert children.told() == {}
    assert not (tmp_path / "runs").exists()


def test_a_bundle_without_folds_is_refused(tmp_path):
    with pytest.raises(MedbundlesError, match="is not cross-validated; it has no setting 'folds'"):
        kfold.kfold("dental_vae_autoencoder", str(tmp_path))


@pytest.mark.slow
def test_three_folds_of_phantoms(data, tmp_path):
    report = run(data, tmp_path, selection="inner", num_workers=0, processes=2)
    assert report["n_cases"] == 12
    assert report["out_of_fold"]["auc"]["n_images"] == 12
    folder = tmp_path / "runs/glioma_grading/kfold"
    pictures = {"confusion_matrix.png", "roc_curve.png", "pr_curve.png", "reliability.png"}
    assert {path.name for path in folder.iterdir()} == pictures | {
        "kfold.json",
        "kfold.md",
        "oof_predictions.csv",
        "trained.json",
    }
