"""The three stages: what each child is told, what goes on after a kill, and (slow) the whole thing."""

from __future__ import annotations

import ast
import csv
import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from medbundles.errors import ConfigError, MedbundlesError
from tests.medbundles.runs.test_lock import another
from tools import runs, stages
from tools.child import Command
from tools.cli import main
from tools.phantoms.slices import make_phantoms

TINY = {"image_size": 32, "base_filters": 4, "depth": 3, "batch_size": 4, "epochs": 1}
NAMES = ("stage1_seg_warmup", "stage2_cls_head", "stage3_joint")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "phantoms"
    make_phantoms(folder, patients=(2, 2, 2), slices=4, size=48, pictures=(4, 4, 4))
    return folder


class Children:
    """Stands for the child processes: leaves in the run directories what a bundle would, and keeps what it was told."""

    def __init__(self, fail_at: int = 99):
        self.fail_at = fail_at
        self.told: list[tuple[list[str], dict[str, Any]]] = []

    def __call__(self, jobs: Mapping[str, Generator[Command, int, None]], at_once: int) -> list[str]:
        (job,) = jobs.values()
        with suppress(StopIteration):
            command = next(job)
            while not (code := self.run(command.words)):
                command = job.send(code)
            return [f"{command.what} ended with exit code {code}"]
        return []

    def run(self, command: Sequence[str]) -> int:
        files = ast.literal_eval(command[command.index("--config_file") + 1])
        pairs = [word.removeprefix("--").split("=", 1) for word in command if word.startswith("--") and "=" in word]
        settings = {name: ast.literal_eval(value) for name, value in pairs}
        self.told.append((files, settings))
        if len(self.told) == self.fail_at:
            return 1
        if "configs/evaluate.json" in files:
            self.evaluation(Path(settings["output_dir"]) / settings["experiment#name"] / "evaluation", settings)
        elif "configs/inference.json" not in files:
            self.training(Path(settings["output_dir"]) / Path(files[-1]).stem, settings)
        return 0

    def new(self, folder: Path) -> Path:
        run = folder / f"run_20260101_{len(self.told):06d}"
        for name in ("metrics", "checkpoints", "predictions"):
            (run / name).mkdir(parents=True)
        return run

    def training(self, folder: Path, settings: dict[str, Any]) -> None:
        run = Path(settings["resume_from"]).parents[1] if "resume_from" in settings else self.new(folder)
        for name in ("best.pt", "last.pt"):
            (run / "checkpoints" / name).touch()
        keys = ("epochs", "seconds", "seconds_per_epoch", "monitor", "best_epoch", "best_value")
        (run / "metrics/metrics.json").write_text(json.dumps({"summary": dict.fromkeys(keys, 1.0)}))

    def evaluation(self, folder: Path, settings: dict[str, Any]) -> None:
        run = self.new(folder)
        score = {"value": 0.5, "low": 0.4, "high": 0.6}
        metrics = dict.fromkeys(("dice", "dice_patient", "acc", "auc"), score)
        (run / "metrics/test_metrics.json").write_text(json.dumps({"metrics": metrics}))
        with open(run / "predictions/predictions.csv", "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["name", "patient", "source", "file", "label", "predicted", "dice"])
            rows.writerow(["p/s", "p", "slices", f"{settings['test_dir']}/images/p/s.png", 1, 1, 0.5])


@pytest.fixture
def children(monkeypatch) -> Children:
    fake = Children()
    monkeypatch.setattr(runs, "run_children", fake)
    return fake


def test_stages_hand_the_best_weights_on_and_are_evaluated_on_both_parts(children, data, tmp_path):
    stages.run("brain_tumor_multitask_unet", str(data), str(tmp_path), quick_test=True, infer=True, **TINY)
    trainings, evaluations, (inference,) = children.told[:3], children.told[3:9], children.told[9:]
    assert [files for files, _ in trainings] == [
        ["configs/train.json", "configs/quick_test.json", f"configs/{name}.json"] for name in NAMES
    ]
    first, second, third = (settings for _, settings in trainings)
    assert "init_from" not in first
    assert second["init_from"] == str(tmp_path / NAMES[0] / "run_20260101_000001/checkpoints/best.pt")
    assert third["init_from"] == str(tmp_path / NAMES[1] / "run_20260101_000002/checkpoints/best.pt")
    assert first["epochs"] == 1
    for (files, settings), part, stage in zip(evaluations, ["val"] * 3 + ["test"] * 3, [*range(3)] * 2, strict=True):
        weights = tmp_path / NAMES[stage] / f"run_20260101_00000{stage + 1}/checkpoints"
        assert files == ["configs/train.json", "configs/evaluate.json", str(weights / "trained.json")]
        assert settings["checkpoint"] == str(weights / "best.pt")
        assert (settings["test_dir"], settings["kaggle_test_dir"]) == (f"{data}/{part}", f"{data}/kaggle/{part}")
    assert inference[0][0] == "configs/inference.json"
    assert inference[1]["input"] == f"{data}/test/images"
    report = json.loads((tmp_path / "stages.json").read_text())
    assert report["synthetic"] is True
    assert "SYNTHETIC" in (tmp_path / "stages.md").read_text()


def test_two_in_one_folder_are_refused(children, data, tmp_path):
    arguments = ("brain_tumor_multitask_unet", str(data), str(tmp_path))
    with (
        another(tmp_path) as process,
        pytest.raises(ConfigError, match=f"runs there already .process {process.pid} on"),
    ):
        stages.run(*arguments, **TINY)
    assert not children.told
    stages.run(*arguments, resume=True, **TINY)  # the other one was killed
    assert len(children.told) == 9


def test_without_pictures_that_have_only_a_class(children, data, tmp_path):
    stages.run("brain_tumor_multitask_unet", str(data), str(tmp_path), kaggle_dir=False, **TINY)
    assert all(settings["kaggle_dir"] is False for _, settings in children.told)
    assert {settings["kaggle_test_dir"] for _, settings in children.told[3:]} == {False}


def test_a_source_that_a_stage_switches_off_stays_off(children, data, tmp_path):
    pictures = str(data / "kaggle/train")
    stages.run("brain_tumor_multitask_unet", str(data), str(tmp_path), kaggle_train_dir=pictures, **TINY)
    assert ["kaggle_train_dir" in settings for _, settings in children.told[:3]] == [False, True, True]


def test_a_failed_stage_ends_it_all_with_one_message(monkeypatch, data, tmp_path, capsys):
    monkeypatch.setattr(runs, "run_children", Children(fail_at=2))
    flags = [word for name, value in TINY.items() for word in (f"--{name}", str(value))]
    words = ["stages", "brain_tumor_multitask_unet", "--dataset_dir", str(data), "--output_dir", str(tmp_path), *flags]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert error.startswith("stages: stage 2, classification head (stage2_cls_head) ended with exit code 1")
    assert "--resume True" in error
    assert not (tmp_path / "stages.md").exists()


def test_resume_goes_on_with_the_stage_that_was_stopped(monkeypatch, data, tmp_path):
    monkeypatch.setattr(runs, "run_children", Children())
    stages.run("brain_tumor_multitask_unet", str(data), str(tmp_path), **TINY)  # an earlier, complete call
    killed = Children(fail_at=2)
    killed.told = [([], {})] * 20  # so that its runs are named after those of the first call
    killed.fail_at = 22
    monkeypatch.setattr(runs, "run_children", killed)
    with pytest.raises(MedbundlesError, match=r"stage 2, classification head"):
        stages.run("brain_tumor_multitask_unet", str(data), str(tmp_path), **TINY)
    again = Children()
    again.told = [([], {})] * 40
    monkeypatch.setattr(runs, "run_children", again)
    stages.run("brain_tumor_multitask_unet", str(data), str(tmp_path), resume=True, **TINY)
    first, second, third = (settings for _, settings in again.told[40:43])
    assert first["resume_from"] == str(tmp_path / NAMES[0] / "run_20260101_000021/checkpoints/last.pt")
    assert first["init_from"] is False
    # the first call's runs of stages 2 and 3 are older than this stage 1, so they belong to other weights
    assert "resume_from" not in second
    assert second["init_from"] == str(tmp_path / NAMES[0] / "run_20260101_000021/checkpoints/best.pt")
    assert "resume_from" not in third


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batchsize": 4}, "unknown setting --batchsize; did you mean --batch_size?"),
        ({"init_from": "x.pt"}, "--init_from: stages hands the weights on"),
        ({"epochs": "many"}, "epochs: 'many' is not allowed"),
        ({"amp": "false"}, "amp: 'false' is text"),
        ({"kaggle_test_dir": "/nowhere"}, "kaggle_test_dir: /nowhere does not exist"),  # only the last step needs it
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(children, data, tmp_path, settings, message):
    with pytest.raises(MedbundlesError) as error:
        stages.run("brain_tumor_multitask_unet", str(data), str(tmp_path / "runs"), **settings)
    assert message in str(error.value)
    assert children.told == []
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_three_stages_on_phantoms(data, tmp_path, capfd):
    report = stages.run("brain_tumor_multitask_unet", str(data), str(tmp_path), quick_test=True, infer=True, **TINY)
    monitors = [training["monitor"] for training in report["training"].values()]
    assert monitors == ["val_dice", "val_balanced_acc", "val_combined"]
    scores = report["parts"]["test"]["phases"]["2.3"]
    assert scores["combined"]["value"] == pytest.approx((scores["dice"]["value"] + scores["acc"]["value"]) / 2)
    pictures = [line.split("  ")[1].strip() for line in capfd.readouterr().out.splitlines() if "Dice 0." in line]
    assert pictures
    assert all(Path(path).is_file() for path in pictures)
