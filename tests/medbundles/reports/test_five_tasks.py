"""Five kinds of networks go through the same classes: each file that an evaluation writes, and the figures in it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.engines import PrepareBatchDefault, SupervisedEvaluator, SupervisedTrainer
from monai.handlers import ValidationHandler
from PIL import Image
from torch import nn

from medbundles.handlers import History, Monitor, Run
from medbundles.metrics import Cases, Classes, Masks, Reconstruction, Score
from medbundles.metrics.cases import as_columns, as_rows
from medbundles.metrics.scores import SCORES
from medbundles.reports import EvaluationReport, GradCam, ValidationReport
from medbundles.reports.evaluation import Evaluation
from medbundles.reports.prediction_pictures import PredictionPictures
from medbundles.runs import RunDirectory
from medbundles.transforms import Predictions, PrepareMaskBatch, PrepareMultitaskBatch

COUNT, SIDE = 12, 16


class Lambda(nn.Module):
    """A network without weights that matter; one parameter, so that a trainer has something to move."""

    def __init__(self, forward: Callable[[torch.Tensor], Any]):
        super().__init__()
        self.unused, self.made = nn.Parameter(torch.zeros(1)), forward

    def forward(self, image: torch.Tensor) -> Any:
        return self.made(image)


def class_logits(image: torch.Tensor) -> torch.Tensor:
    return image[:, 0, 0, :2]


@dataclass
class Task:
    """What a bundle of this task would say in its config, and what must come out."""

    network: Callable[[torch.Tensor], Any]
    measures: list[Any]
    prepare: Any
    files: set[str]
    scores: list[str]
    predictions: Predictions = field(default_factory=Predictions)
    class_names: list[str] = field(default_factory=list)
    channel_names: list[str] = field(default_factory=list)
    in_channels: int = 1
    classes_of_masks: int = 1


CLASS_FILES = {f"predictions/test_{name}.npy" for name in ("probs", "preds", "labels")} | {
    f"plots/{name}.png" for name in ("confusion_matrix", "roc_curve", "pr_curve")
}
MASK_SCORES, CLASS_SCORES = (
    ["dice", "dice_patient", "iou", "fp_area"],
    ["acc", "balanced_acc", "sensitivity", "specificity", "auc", "f1"],
)
MASK_FILES = {f"plots/{end}_dice_{n}.png" for end in ("worst", "best") for n in (1, 2)}
WORST_CLASS = {"plots/worst_class_1.png", "plots/worst_class_2.png"}
PARTS = ["core", "oedema", "enhancing"]
TASKS = {
    "classification": Task(
        class_logits, [Classes()], PrepareBatchDefault(), CLASS_FILES, CLASS_SCORES,
        class_names=["no", "yes"],
    ),
    "segmentation": Task(lambda image: image, [Masks()], PrepareMaskBatch(), MASK_FILES, MASK_SCORES),
    "segmentation of three classes": Task(
        lambda image: image, [Masks()], PrepareMaskBatch(), MASK_FILES,
        [full for name in MASK_SCORES for full in (name, *(f"{name}_{channel}" for channel in PARTS))],
        Predictions(mask_rule="classes"), channel_names=PARTS, in_channels=4, classes_of_masks=3,
    ),
    "both": Task(
        lambda image: {"seg": image, "cls": class_logits(image)}, [Classes(), Masks()], PrepareMultitaskBatch(),
        MASK_FILES | CLASS_FILES | WORST_CLASS, [*MASK_SCORES, *CLASS_SCORES], class_names=["no", "yes"],
    ),
    "reconstruction": Task(
        lambda image: {"reconstruction": 0.9 * image}, [Reconstruction(data_range=8.0)], lambda batch, *_, **__: (
            batch["image"], None
        ),
        {f"plots/{end}_reconstruction_{n}.png" for end in ("worst", "best") for n in (1, 2)},
        ["l1", "mse", "psnr", "ssim", "ms_ssim"],
    ),
}  # fmt: skip


class Identity:
    """Postprocessing of a network that gives what is measured."""

    def __call__(self, data: Any) -> Any:
        return data


def batches(task: Task) -> list[dict[str, Any]]:
    """Batches of 4; four patients, the first item of each batch has an empty mask."""
    generator, found = torch.Generator().manual_seed(3), []
    for start in range(0, COUNT, 4):
        rows = range(start, start + 4)
        mask = torch.randint(0, task.classes_of_masks + 1, (4, 1, SIDE, SIDE), generator=generator, dtype=torch.uint8)
        mask[0] = 0
        found.append(
            {
                "image": torch.randn(4, task.in_channels, SIDE, SIDE, generator=generator), "mask": mask,
                "label": torch.tensor([(i // 2) % 2 for i in rows]), "has_mask": torch.ones(4, dtype=torch.bool),
                "name": [f"case {i:02d}" for i in rows], "patient": [f"p{i // 3}" for i in rows],
                "source": ["hospital"] * 4, "image_path": [f"/data/{i}.png" for i in rows],
            }
        )  # fmt: skip
    return found


class Folder:
    """As much of a run directory as the reports need."""

    def __init__(self, path: Path):
        self.path = path

    def folder(self, name: str) -> Path:
        return self.path / name


def evaluator_of(task: Task, data: list[dict[str, Any]], cases: Cases, handlers: list[Any]) -> SupervisedEvaluator:
    metrics = {f"val_{name}": Score(name, cases) for name in task.scores if "_" not in name or name == "fp_area"}
    key = next(iter(metrics))
    return SupervisedEvaluator(
        device=torch.device("cpu"), val_data_loader=data, epoch_length=len(data), network=Lambda(task.network),
        prepare_batch=task.prepare, postprocessing=Identity() if key == "val_l1" else task.predictions,
        key_val_metric={key: metrics.pop(key)}, additional_metrics=metrics, val_handlers=handlers, decollate=False,
    )  # fmt: skip


def by_hand(task: Task, data: list[dict[str, Any]]) -> dict[str, float]:
    """Some of the scores in float64, without the package."""
    image = torch.cat([batch["image"] for batch in data]).double().numpy()
    mask, label = (torch.cat([batch[key] for batch in data]).numpy() for key in ("mask", "label"))
    found: dict[str, float] = {}
    if "acc" in task.scores:
        positive, negative = (image[label == k][:, 0, 0, 1] - image[label == k][:, 0, 0, 0] for k in (1, 0))
        found["acc"] = np.r_[positive >= 0, negative < 0].mean()
        found["auc"] = np.mean([(p > n) + (p == n) / 2 for p in positive for n in negative])
    if "dice" in task.scores:
        truth = mask == np.arange(1, 1 + task.classes_of_masks)[:, None, None]
        made = image > 0
        if task.in_channels == 4:
            made = image.argmax(1)[:, None] == np.arange(1, 4)[:, None, None]
        names = [f"dice_{channel}" for channel in task.channel_names] or ["dice"]
        for c, name in enumerate(names):
            t, m = truth[:, c].reshape(COUNT, -1), made[:, c].reshape(COUNT, -1)
            there = t.any(1)
            found[name] = (2 * (t & m).sum(1) / (t.sum(1) + m.sum(1)))[there].mean()
            found[name.replace("dice", "fp_area")] = m[~there].mean()
        if task.channel_names:
            found["dice"] = np.mean([found[name] for name in names])
    if "mse" in task.scores:
        off = image - (0.9 * torch.cat([batch["image"] for batch in data])).double().numpy()  # made in float32
        mse = (off**2).reshape(COUNT, -1).mean(1)
        found |= {"mse": mse.mean(), "psnr": (10 * np.log10(64 / mse)).mean(), "l1": np.abs(off).mean()}
    return found


def looked_at(path: Path) -> None:
    """A picture that opens, is not tiny, and is not all of one colour."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert min(pixels.shape[:2]) >= 100, path
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 8, path


@pytest.mark.parametrize("name", TASKS)
def test_evaluation_of_each_task(name, tmp_path, monkeypatch):
    task = TASKS[name]
    few = {name: definition._replace(least=definition.least and 2) for name, definition in SCORES.items()}
    monkeypatch.setattr("medbundles.metrics.scores.SCORES", few)
    data, cases, last = batches(task), Cases(task.measures), []
    report = EvaluationReport(
        cases, task.class_names, "test", None if name == "reconstruction" else task.predictions, worst=2, bootstrap=100,
        channel_names=task.channel_names,
    )  # fmt: skip
    evaluator = evaluator_of(task, data, cases, [report])
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: last.append(engine.state.output))
    Run(Folder(tmp_path)).share(evaluator)
    evaluator.run()

    files = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    always = {"metrics/test_metrics.json", "metrics/test_metrics.csv"}
    always |= {"predictions/predictions.csv", "predictions/test_names.json"}
    assert files == always | task.files
    for path in tmp_path.rglob("*.png"):
        looked_at(path)

    content = json.loads((tmp_path / "metrics/test_metrics.json").read_text())
    metrics = content["metrics"]
    assert list(metrics) == task.scores == list(content["meaning"])
    for score, value in by_hand(task, data).items():
        assert metrics[score]["value"] == pytest.approx(value, abs=1e-6), score
        if score.startswith("fp_area"):
            assert metrics[score]["reason"] == "no interval, however many patients (docs/intervals.md)"
        else:
            assert metrics[score]["low"] - 1e-6 <= value <= metrics[score]["high"] + 1e-6, score
    for score, value in evaluator.state.metrics.items():  # the epoch's metric is the report's value
        assert value == metrics[score.removeprefix("val_")]["value"], score
    assert ("confusion_matrix" in content) == ("acc" in task.scores)
    assert ("mask_threshold" in content) == ("dice" in task.scores and task.predictions.mask_rule != "classes")

    lines = list(csv.DictReader((tmp_path / "metrics/test_metrics.csv").open()))
    values = {line["metric"]: float(line["value"]) if line["value"] else None for line in lines}
    assert values == {n: m["value"] for n, m in metrics.items()}
    rows = list(csv.DictReader((tmp_path / "predictions/predictions.csv").open()))
    assert [row["name"] for row in rows] == json.loads((tmp_path / "predictions/test_names.json").read_text())
    assert len(rows) == COUNT
    for score in ("dice_core", "fp_area", "mse", "ssim"):  # of a case each, their mean is the score
        if score in rows[0]:
            assert np.mean([float(row[score]) for row in rows if row[score]]) == pytest.approx(metrics[score]["value"])
    shown = PredictionPictures(2, task.class_names)  # for TensorBoard
    shown.add(last[0])
    assert len(shown.pictures()) == 2
    for _, picture in shown.pictures():
        pixels = np.asarray(picture)
        edges = (pixels != pixels[..., :1]).any(-1)
        assert (edges.sum() > 0) == (name != "classification")  # outlines on gray
        assert edges.sum() < edges.size


@pytest.mark.parametrize("name", TASKS)
def test_the_best_epoch_of_each_task_survives_a_checkpoint(name, tmp_path):
    """Written by the run that trained, and again from what its checkpoint holds: the same report."""
    task = TASKS[name]
    data, cases = batches(task), Cases(task.measures)
    validator = evaluator_of(task, data, cases, [])
    report = ValidationReport(cases, task.class_names, channel_names=task.channel_names)
    key = f"val_{task.scores[0]}"
    run_dir = RunDirectory(str(tmp_path), "exp")
    monitor = Monitor(key, "min" if name == "reconstruction" else "max")
    trainer = SupervisedTrainer(
        device=torch.device("cpu"), max_epochs=2, train_data_loader=data, epoch_length=1, network=validator.network,
        optimizer=torch.optim.SGD(validator.network.parameters(), 0.1), prepare_batch=task.prepare, decollate=False,
        loss_function=lambda *_: validator.network.unused.sum(), train_handlers=[
            Run(run_dir, validator=validator, monitor=monitor), ValidationHandler(1, validator), History(), report
        ],
    )  # fmt: skip
    trainer.run()
    metrics = run_dir.path / "metrics/val_metrics.json"
    first = metrics.read_text()
    assert json.loads(first)["metrics"][task.scores[0]]["value"] == validator.state.metrics[key]
    torch.save(report.state_dict(), tmp_path / "state.pt")
    again = ValidationReport(cases, task.class_names, channel_names=task.channel_names)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    again.report.directory = run_dir
    metrics.unlink()
    again.write(trainer)
    assert metrics.read_text() == first


def test_rows_of_an_older_checkpoint_give_the_same_figures():
    """Columns that releases before `Cases` stored; the figures are worked out by hand."""
    old = [
        {"name": "a", "patient": "p", "source": "slices", "file": "a.png", "label": 1, "predicted": 1,
         "prob": [0.2, 0.8], "has_mask": True, "pixels": 64, "overlap": 3, "predicted_pixels": 5, "true_pixels": 4},
        {"name": "b", "patient": "p", "source": "slices", "file": "b.png", "label": 0, "predicted": 1,
         "prob": [0.4, 0.6], "has_mask": True, "pixels": 64, "overlap": 0, "predicted_pixels": 2, "true_pixels": 0},
        {"name": "c", "patient": "q", "source": "images", "file": "c.png", "label": 0, "predicted": 0,
         "prob": [0.7, 0.3], "has_mask": False, "pixels": 64, "overlap": 0, "predicted_pixels": 9, "true_pixels": 0},
    ]  # fmt: skip
    metrics = Evaluation(as_columns(old), ["no", "yes"], bootstrap=10).metrics["all"]
    expected = {"dice": 6 / 9, "dice_patient": 6 / 11, "iou": 3 / 6, "fp_area": 2 / 64, "acc": 2 / 3, "auc": 1.0}
    assert {name: metrics[name]["value"] for name in expected} == pytest.approx(expected)
    assert as_rows(as_columns(old)) == old


class Graded(nn.Module):
    """Two logits of a volume, linear in a rectified map, so that HiResCAM is the map times the head's weights."""

    def __init__(self):
        super().__init__()
        self.maps, self.head = nn.Conv3d(1, 2, 1, bias=False), nn.Linear(2, 2, bias=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.maps(image).relu().mean((2, 3, 4)))


def test_volumes_with_only_a_class_are_shown_with_what_speaks_for_it(tmp_path):
    generator, network = torch.Generator().manual_seed(5), Graded()
    image = torch.randn(6, 1, 12, 12, 12, generator=generator)
    prob = network(image).detach().softmax(1)
    label = prob.argmax(1)
    label[:2] = 1 - label[:2]  # two are wrong
    rows = {"name": [f"case {i}" for i in range(6)], "patient": list("abcdef"), "source": ["hospital"] * 6}
    data = [{"image": image, "label": label, "image_path": [f"/data/{i}.nii.gz" for i in range(6)], **rows}]
    cases = Cases([Classes()])
    report = EvaluationReport(
        cases, ["LGG", "HGG"], predictions=Predictions(), worst=4, bootstrap=10, grad_cam=GradCam(network, "maps")
    )
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"), val_data_loader=data, epoch_length=1, network=network.train(),
        prepare_batch=PrepareBatchDefault(), postprocessing=Predictions(), val_handlers=[report], decollate=False,
    )  # fmt: skip
    Run(Folder(tmp_path)).share(evaluator)
    evaluator.run()
    assert {path.name for path in (tmp_path / "plots").glob("*_class_*")} == {
        "worst_class_1.png", "worst_class_2.png", "best_class_1.png", "best_class_2.png",
    }  # fmt: skip
    for path in (tmp_path / "plots").glob("*_class_*"):
        looked_at(path)
    kept = report.worst.kept
    right = sorted(prob.max(1).values[2:].tolist(), reverse=True)
    assert [-case["value"] for case in kept["best_class"]] == pytest.approx(right[:2])
    assert [case["place"][1] for case in kept["class"]] == sorted(
        ["case 0", "case 1"], key=lambda name: prob[int(name[-1])].min()
    )
    for case in (*kept["class"], *kept["best_class"]):
        maps = network.maps(torch.from_numpy(case["volume"])[None]).detach().relu()[0]
        speaks = (network.head.weight[case["predicted"]].detach()[:, None, None, None] * maps).sum(0).relu()
        np.testing.assert_allclose(case["heat"], speaks / speaks.max().clamp(min=1e-30), atol=1e-5)
    assert network.training  # left as it was
