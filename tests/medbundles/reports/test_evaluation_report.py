"""The report of an evaluation: figures against counting by hand, files, and what is not defined."""

from __future__ import annotations

import csv
import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from monai.engines import SupervisedEvaluator
from monai.handlers import HausdorffDistance
from torch import nn

from medbundles.errors import ConfigError
from medbundles.handlers import Run
from medbundles.metrics import Cases, Classes, Masks, PickMasks, Score
from medbundles.reports import EvaluationReport
from medbundles.transforms import Predictions, PrepareMultitaskBatch


class Folder:
    """As much of a run directory as the report needs."""

    def __init__(self, path: Path):
        self.path = path

    def folder(self, name: str) -> Path:
        return self.path / name


class Echo(nn.Module):
    """The image is the logit of the mask; its first two pixels are those of the classes."""

    def forward(self, image):
        return {"seg": image, "cls": image[:, 0, 0, :2]}


def batches(seed: int = 0, count: int = 12, masked=True, labels=None) -> list[dict]:
    """Batches of 4: even items are slices with masks, odd ones pictures; three items per patient."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for start in range(0, count, 4):
        rows = range(start, start + 4)
        image = torch.randn(4, 1, 8, 8, generator=generator)
        has_mask = torch.tensor([masked and i % 2 == 0 for i in rows])
        mask = ((torch.rand(4, 1, 8, 8, generator=generator) > 0.7) & has_mask[:, None, None, None]).to(torch.uint8)
        mask[0] = 0  # a slice free of tumour
        label = torch.tensor([(i // 2) % 2 if labels is None else labels for i in rows])
        found.append(
            {
                "image": image, "mask": mask, "label": label, "has_mask": has_mask,
                "name": [f"case {i:02d}" for i in rows], "patient": [f"p{i // 3}" for i in rows],
                "source": ["slices" if h else "images" for h in has_mask],
                "image_path": [f"/data/{i}.png" for i in rows],
            }
        )  # fmt: skip
    return found


def both() -> Cases:
    return Cases([Classes(), Masks()])


def evaluate(report: EvaluationReport, data: list[dict], predictions: Predictions) -> SupervisedEvaluator:
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=data,
        epoch_length=len(data),
        network=Echo(),
        prepare_batch=PrepareMultitaskBatch(),
        postprocessing=predictions,
        val_handlers=[report],
        decollate=False,
    )
    Run(report.folder).share(evaluator)
    evaluator.run()
    return evaluator


def report_in(folder, *options, **more) -> EvaluationReport:
    """A report whose run has this folder."""
    report = EvaluationReport(*options, **more)
    report.folder = Folder(folder)
    return report


def test_figures_equal_counting(tmp_path, caplog):
    data, predictions = batches(), Predictions(0.4, 0.6)
    report = report_in(tmp_path, both(), ["no", "yes"], predictions=predictions, worst=2, bootstrap=200)
    with caplog.at_level(logging.INFO, "medbundles"):
        evaluate(report, data, predictions)
    image, mask = (torch.cat([b[key] for b in data]).numpy() for key in ("image", "mask"))
    label, has_mask = (torch.cat([b[key] for b in data]).numpy() for key in ("label", "has_mask"))
    prob = torch.cat([b["image"] for b in data])[:, 0, 0, :2].softmax(1).numpy()[:, 1]
    found = 1 / (1 + np.exp(-image)) >= 0.4
    dice = [2 * (found[i] & (mask[i] > 0)).sum() / (found[i].sum() + mask[i].sum()) for i in range(12) if mask[i].any()]
    area = [found[i].mean() for i in range(12) if has_mask[i] and not mask[i].any()]
    content = json.loads((tmp_path / "metrics/test_metrics.json").read_text())
    metrics = content["metrics"]
    assert (content["mask_threshold"], content["class_threshold"]) == (0.4, 0.6)
    assert metrics["dice"]["value"] == pytest.approx(np.mean(dice))
    assert metrics["dice"]["n_images"] == len(dice)
    assert metrics["fp_area"]["value"] == pytest.approx(np.mean(area))
    assert metrics["fp_area"]["n_images"] == len(area)
    assert metrics["acc"]["value"] == pytest.approx(np.mean((prob >= 0.6) == label))
    assert metrics["sensitivity"]["value"] == pytest.approx(np.mean(prob[label == 1] >= 0.6))
    assert metrics["dice"]["low"] is None
    assert metrics["dice"]["reason"] == "interval from 20 patients on"
    pairs = [(p > n) + (p == n) / 2 for p in prob[label == 1] for n in prob[label == 0]]
    assert metrics["auc"]["value"] == pytest.approx(np.mean(pairs))
    slices = has_mask
    assert content["by_source"]["slices"]["acc"]["value"] == pytest.approx(np.mean(((prob >= 0.6) == label)[slices]))
    lines = list(csv.DictReader((tmp_path / "metrics/test_metrics.csv").open()))
    assert [line["metric"] for line in lines][:5] == ["dice", "dice_patient", "iou", "fp_area", "acc"]
    assert float(lines[0]["value"]) == metrics["dice"]["value"]
    assert "dice_patient" in caplog.text
    assert "auc (slices)" in caplog.text


def test_files(tmp_path):
    data, predictions = batches(), Predictions()
    report = report_in(tmp_path, both(), ["no", "yes"], "val", predictions, worst=2, bootstrap=50)
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots/worst_dice_7.png").write_text("of an earlier report")
    evaluate(report, data, predictions)
    files = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {
        "metrics/val_metrics.json", "metrics/val_metrics.csv", "plots/confusion_matrix.png", "plots/roc_curve.png",
        "plots/pr_curve.png", "plots/worst_dice_1.png", "plots/worst_dice_2.png", "plots/worst_class_1.png",
        "plots/best_dice_1.png", "plots/worst_class_2.png", "predictions/predictions.csv", "predictions/val_names.json",
        "predictions/val_probs.npy", "predictions/val_preds.npy", "predictions/val_labels.npy",
    }  # fmt: skip
    names = json.loads((tmp_path / "predictions/val_names.json").read_text())
    rows = {row["name"]: row for row in csv.DictReader((tmp_path / "predictions/predictions.csv").open())}
    probs, preds = (np.load(tmp_path / f"predictions/val_{kind}.npy") for kind in ("probs", "preds"))
    assert probs.shape == (12, 2)
    assert np.array_equal(preds, probs[:, 1] >= 0.5)
    for name, prob in zip(names, probs, strict=True):
        assert float(rows[name]["prob_yes"]) == pytest.approx(prob[1])
    worst = min((float(row["dice"]), name) for name, row in rows.items() if row["dice"])
    assert report.worst.kept["dice"][0]["place"][1] == worst[1]
    best = max((float(row["dice"]), name) for name, row in rows.items() if row["dice"])
    assert report.worst.kept["best_dice"][0]["place"][1] == best[1]
    wrong = {name: row for name, row in rows.items() if row["label"] != row["predicted"]}
    surest = max(wrong, key=lambda name: float(wrong[name][["prob_no", "prob_yes"][int(wrong[name]["predicted"])]]))
    assert report.worst.kept["class"][0]["place"][1] == surest


@pytest.mark.parametrize("options", [{"masked": False}, {"labels": 0}, {"masked": False, "labels": 1}])
def test_what_is_not_defined_is_null_with_the_reason(tmp_path, options):
    evaluate(report_in(tmp_path, both(), ["no", "yes"], bootstrap=50), batches(**options), Predictions())
    metrics = json.loads((tmp_path / "metrics/test_metrics.json").read_text())["metrics"]
    if "labels" in options:
        assert metrics["auc"] == {
            "value": None, "low": None, "high": None, "n_images": 12, "n_patients": 4,
            "reason": "needs images of both classes",
        }  # fmt: skip
        assert not (tmp_path / "plots/roc_curve.png").exists()
    if "masked" in options:
        assert metrics["dice"]["value"] is None
        assert metrics["dice"]["reason"] == "no image has anything in its mask"
        assert metrics["dice_patient"]["value"] is None
    assert (tmp_path / "plots/confusion_matrix.png").is_file()


def test_writes_only_when_asked(tmp_path):
    report = report_in(tmp_path, both(), ["no", "yes"], bootstrap=50, worst=0, on_completed=False)
    evaluator = evaluate(report, batches(), Predictions())
    assert not any(tmp_path.iterdir())
    report.write(evaluator, "_epoch_3")
    assert {p.name for p in (tmp_path / "plots").iterdir()} == {
        "confusion_matrix_epoch_3.png", "roc_curve_epoch_3.png", "pr_curve_epoch_3.png",
    }  # fmt: skip
    evaluator.run()  # a second evaluation starts anew
    assert len(report.cases.columns()["name"]) == 12


def test_two_ranks_give_the_report_of_one(tmp_path, monkeypatch):
    data = batches()
    alone = report_in(tmp_path / "one", both(), ["no", "yes"], bootstrap=50, worst=3)
    evaluate(alone, data, Predictions())
    ranks = [
        report_in(tmp_path / "two", both(), ["no", "yes"], bootstrap=50, worst=3, on_completed=False) for _ in "ab"
    ]
    evaluators = [
        evaluate(report, part, Predictions()) for report, part in zip(ranks, (data[1:], data[:1]), strict=True)
    ]
    columns = ranks[1].cases.columns()
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "get_rank", lambda: 0)

    def gather(parts, mine):
        kept = [report.worst.kept for report in ranks]
        other = kept[1] if any(mine is cases for cases in kept) else columns
        parts[:] = [mine, other]

    monkeypatch.setattr(dist, "all_gather_object", gather)
    ranks[0].write(evaluators[0])
    for name in ("metrics/test_metrics.json", "predictions/predictions.csv", "plots/worst_dice_3.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    assert ranks[1].write(evaluators[1]) is None


def test_misuse(tmp_path):
    with pytest.raises(ConfigError, match="prefix: 'train' is unknown; use 'test' or 'val'"):
        report_in(tmp_path, both(), ["no", "yes"], "train")
    with pytest.raises(ConfigError, match="class_names has 3 names, the network gives 2 classes"):
        evaluate(report_in(tmp_path, both(), ["a", "b", "c"]), batches(), Predictions())


def test_a_network_without_masks(tmp_path):
    """Logits as a plain tensor, default batches, no mask anywhere."""
    data = [
        {key: batch[key] for key in ("image", "label", "name", "patient", "image_path")} | {"source": ["volumes"] * 4}
        for batch in batches()
    ]
    report = report_in(
        tmp_path,
        Cases([Classes()]),
        ["LGG", "HGG"],
        predictions=Predictions(),
        bootstrap=50,
        scores=["balanced_acc", "ece"],
    )
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"), val_data_loader=data, epoch_length=len(data), network=Corner(),
        postprocessing=Predictions(), val_handlers=[report], decollate=False,
    )  # fmt: skip
    Run(report.folder).share(evaluator)
    evaluator.run()
    content = json.loads((tmp_path / "metrics/test_metrics.json").read_text())
    label = torch.cat([batch["label"] for batch in data])
    logits = torch.cat([batch["image"] for batch in data])[:, 0, 0, :2]
    said = logits.softmax(1)[:, 1] >= 0.5
    assert content["metrics"].keys() == {"balanced_acc", "ece"}
    wanted = [said[label == 1].float().mean(), (~said)[label == 0].float().mean()]
    assert content["metrics"]["balanced_acc"]["value"] == pytest.approx(float(sum(wanted) / 2))
    assert "mask_threshold" not in content
    assert len(content["errors"]) == int((said != label).sum()) > 0
    assert {p.name for p in (tmp_path / "plots").iterdir()} == {
        "confusion_matrix.png", "roc_curve.png", "pr_curve.png", "reliability.png",
    }  # fmt: skip


class Corner(nn.Module):
    """The image's first two pixels are the logits."""

    def forward(self, image):
        return image[:, 0, 0, :2]


def test_a_metric_of_others_is_reported_without_an_interval(tmp_path, caplog):
    report = report_in(tmp_path, both(), ["no", "yes"], bootstrap=20)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"), val_data_loader=batches(), epoch_length=3, network=Echo(),
        prepare_batch=PrepareMultitaskBatch(), postprocessing=Predictions(), val_handlers=[report], decollate=False,
        key_val_metric={"val_dice": Score("dice", report.cases)}, additional_metrics={
            "val_hausdorff": HausdorffDistance(
                include_background=True, output_transform=PickMasks("pred.mask", "label.mask")
            )
        },
    )  # fmt: skip
    for batch in evaluator.data_loader:
        batch["mask"][:, :, 2:4] = 1  # or the distance to an empty mask is infinite
    Run(report.folder).share(evaluator)
    with caplog.at_level(logging.INFO, "medbundles"):
        evaluator.run()
    content = json.loads((tmp_path / "metrics/test_metrics.json").read_text())
    assert content["other_metrics"] == {"val_hausdorff": evaluator.state.metrics["val_hausdorff"]}
    assert "val_hausdorff" in caplog.text


def test_a_chosen_threshold_of_0_is_told_like_any_other():
    report = EvaluationReport(both(), ["no", "yes"], predictions=Predictions())
    report.chosen = {"mask_threshold": 0.35, "class_threshold": 0.0}  # a probability that float64 does not tell from 0
    columns = {"name": np.array(["a", "b"]), "patient": np.array(["a", "b"]), "source": np.array(["", ""])}
    columns |= {"label": np.array([0, 1]), "predicted": np.array([0, 1]), "prob": np.full((2, 2), 0.5)}
    assert report.evaluation(columns).thresholds == {"class_threshold": 0.0}


def test_a_metric_of_others_that_is_not_defined_has_a_dash_as_ours_have(tmp_path, caplog):
    report = report_in(tmp_path, both(), ["no", "yes"], bootstrap=20)
    report.directory = report.folder
    columns = {"name": np.array(["a", "b"]), "patient": np.array(["a", "b"]), "source": np.array(["", ""])}
    columns |= {"label": np.array([0, 1]), "predicted": np.array([0, 1]), "prob": np.full((2, 2), 0.5)}
    with caplog.at_level(logging.INFO, "medbundles"):
        report.write_columns(columns, {}, about={"other_metrics": {"val_mine": math.nan, "val_yours": 0.5}})
    assert caplog.text.splitlines()[-2:] == [f"val_mine{'-':>24}", f"val_yours{'0.5000':>23}"]


@pytest.mark.parametrize("marked", [False, True])
def test_phantoms_are_called_synthetic(marked, tmp_path, caplog):
    (tmp_path / "data/test/images").mkdir(parents=True)
    if marked:
        (tmp_path / "data/SYNTHETIC.txt").write_text("phantoms")
    data = [
        {**batch, "image_path": [f"{tmp_path}/data/test/images/{n}.png" for n in batch["name"]]} for batch in batches()
    ]
    with caplog.at_level(logging.INFO, "medbundles"):
        evaluate(report_in(tmp_path / "run", both(), ["no", "yes"]), data, Predictions())
    content = json.loads((tmp_path / "run/metrics/test_metrics.json").read_text())
    assert content.get("synthetic", False) == ("SYNTHETIC DATA" in caplog.text) == marked
