"""All metrics together, on an engine, against values computed image by image."""

from __future__ import annotations

import json
import math

import pytest
import torch
from ignite.engine import Engine

from medbundles.errors import ConfigError
from medbundles.losses import ClassificationLoss, MultitaskLoss, SegmentationLoss
from medbundles.metrics import Cases, ClassBaselines, Classes, Losses, Masks, Score
from medbundles.metrics.epoch_score import NOT_TRAINED, metrics_of
from medbundles.reports.evaluation import Evaluation
from medbundles.transforms import Predictions
from tests.two_processes import in_two_processes

SIZE = 11
LAMBDAS = (0.7, 0.4)


def samples(classes=2):
    """SIZE samples: without a mask, with an empty one, with a tumour (as class index 2 in some)."""
    generator = torch.Generator().manual_seed(0)
    seg = torch.randn(SIZE, 1, 8, 8, generator=generator)
    cls = torch.randn(SIZE, classes, generator=generator)
    mask = torch.randint(0, 2, (SIZE, 1, 8, 8), generator=generator, dtype=torch.uint8)
    has_mask = torch.arange(SIZE) % 3 != 0
    mask[~has_mask] = 0
    mask[[1, 5]] = 0  # 1 and 5 have a mask, and it is empty
    prob = cls.softmax(dim=1).round(decimals=1)  # with ties
    return {
        "pred": {"seg": seg, "cls": cls, "mask": (seg > 0).float(), "prob": prob, "class": cls.argmax(dim=1)},
        "label": {"mask": mask, "cls": torch.arange(SIZE) % classes, "has_mask": has_mask},
    }


def take(data, index):
    return {key: take(value, index) if isinstance(value, dict) else value[index] for key, value in data.items()}


def run(data, sizes):
    """The metrics after batches of these sizes."""
    engine = Engine(lambda engine, batch: batch)
    loss = MultitaskLoss(SegmentationLoss(), ClassificationLoss(), *LAMBDAS)
    cases = Cases([Classes(), Masks(), Losses(loss)])
    names = (
        "dice",
        "iou",
        "fp_area",
        "acc",
        "sensitivity",
        "specificity",
        "precision",
        "f1",
        "auc",
        "combined",
        "loss",
    )
    metrics = {f"val_{name}": Score(name, cases) for name in names}
    for name, metric in metrics.items():
        metric.attach(engine, name)
    start, batches = 0, []
    for size in sizes:
        batches.append(take(data, slice(start, start + size)))
        start += size
    engine.run(batches)
    return engine.state.metrics


def by_hand(data, classes=2):
    dice, iou, area, seg_loss, cls_loss = [], [], [], [], []
    pred, label = data["pred"], data["label"]
    for i in range(len(label["cls"])):
        p, t = pred["mask"][i].double(), (label["mask"][i] > 0).double()
        both = (p * t).sum()
        if t.any():
            dice.append(2 * both / (p.sum() + t.sum()))
            iou.append(both / (p.sum() + t.sum() - both))
        elif label["has_mask"][i]:
            area.append(p.mean())
        if label["has_mask"][i]:
            seg_loss.append(SegmentationLoss()(pred["seg"][i : i + 1].double(), label["mask"][i : i + 1])[0])
        cls_loss.append(ClassificationLoss()(pred["cls"][i : i + 1].double(), label["cls"][i : i + 1])[0])
    mean = {
        name: float(torch.stack(values).mean())
        for name, values in {
            "dice": dice,
            "iou": iou,
            "fp_area": area,
            "seg_loss": seg_loss,
            "cls_loss": cls_loss,
        }.items()
    }
    mean["loss"] = LAMBDAS[0] * mean["seg_loss"] + LAMBDAS[1] * mean["cls_loss"]
    true, found = label["cls"].tolist(), pred["class"].tolist()
    pairs = list(zip(true, found, strict=True))
    mean["acc"] = sum(t == f for t, f in pairs) / len(pairs)
    mean["combined"] = (mean["dice"] + mean["acc"]) / 2
    scores = {name: [] for name in ("sensitivity", "specificity", "precision", "f1", "auc")}
    for c in [1] if classes == 2 else range(classes):
        tp, fn = sum(t == c and f == c for t, f in pairs), sum(t == c and f != c for t, f in pairs)
        fp, tn = sum(t != c and f == c for t, f in pairs), sum(t != c and f != c for t, f in pairs)
        scores["sensitivity"].append(tp / (tp + fn))
        scores["specificity"].append(tn / (tn + fp))
        scores["precision"].append(tp / (tp + fp))
        scores["f1"].append(2 * tp / (2 * tp + fp + fn))
        positive = [pred["prob"][i, c].item() for i, t in enumerate(true) if t == c]
        negative = [pred["prob"][i, c].item() for i, t in enumerate(true) if t != c]
        won = sum((p > n) + 0.5 * (p == n) for p in positive for n in negative)
        scores["auc"].append(won / (len(positive) * len(negative)))
    return {f"val_{key}": value for key, value in {**mean, **{k: sum(v) / len(v) for k, v in scores.items()}}.items()}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("batch_size", [1, 3, 7, 11])
def test_values_for_every_batch_size(classes, batch_size):
    data = samples(classes)
    sizes = [batch_size] * (SIZE // batch_size) + ([SIZE % batch_size] if SIZE % batch_size else [])
    found = run(data, sizes)
    expected = by_hand(data, classes)
    assert {name: type(value) for name, value in found.items()} == dict.fromkeys(expected, float)
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_class_index_above_one_is_tumour_too():
    data = samples()
    data["label"]["mask"] *= 2
    assert run(data, [11])["val_dice"] == pytest.approx(by_hand(samples())["val_dice"])


def test_images_without_a_tumour_do_not_count_in_dice_and_iou():
    data = samples()
    found = run(data, [4, 7])
    data["pred"]["mask"][data["label"]["mask"].flatten(1).sum(dim=1) == 0] = 0
    again = run(data, [4, 7])
    for name in ("val_dice", "val_iou"):
        assert again[name] == pytest.approx(found[name])
    assert again["val_fp_area"] == 0.0 < found["val_fp_area"]


@pytest.mark.filterwarnings("error")
def test_what_is_not_defined_is_nan():
    data = take(samples(), torch.tensor([0, 3, 6, 9]))  # no masks
    data["label"]["cls"][:] = 0
    found = run(data, [3, 1])
    undefined = {name for name, value in found.items() if math.isnan(value)}
    assert undefined == {
        "val_dice", "val_iou", "val_fp_area", "val_combined", "val_seg_loss", "val_sensitivity", "val_auc", "val_acc"
    }  # fmt: skip
    assert found["val_loss"] == pytest.approx(LAMBDAS[1] * found["val_cls_loss"])


def test_a_diverged_network_shows():
    data = samples()
    data["pred"]["seg"][1] = math.nan
    found = run(data, [11])
    assert [math.isnan(found[name]) for name in ("val_loss", "val_seg_loss", "val_cls_loss")] == [True, True, False]


def test_what_a_network_makes_nan_has_no_reason_in_the_data():
    """A NaN loss may pass; a score that the data do not define never will, and its monitor is refused."""
    for is_nan in (False, True):
        engine, cases = Engine(lambda engine, output: output), None
        prob = torch.tensor([[0.4, math.nan if is_nan else 0.6], [0.3, 0.7]], dtype=torch.float64)
        output = {
            "pred": {"cls": prob, "prob": prob, "class": torch.tensor([1, 1])},
            "label": {"cls": torch.tensor([1, 1])},
        }
        cases = Cases([Classes(), Losses(torch.nn.CrossEntropyLoss(reduction="none"), "cls")])
        for name in ("val_loss", "val_ece", "val_acc", "val_auc"):
            Score("", cases).attach(engine, name)
        engine.run([output])
        reasons = {name: reason for name, reason in engine.state.undefined.items() if reason}
        assert set(reasons) == ({"val_acc"} if is_nan else {"val_acc", "val_auc"})
        assert math.isnan(engine.state.metrics["val_loss"]) == is_nan


def test_an_unknown_score_lists_the_scores():
    with pytest.raises(
        ConfigError, match="unknown score 'recal'; choose one of: dice, dice_patient, iou, fp_area, mask_precision"
    ):
        Score("recal", Cases([Classes()]))


def test_a_score_without_a_name_is_the_one_that_its_metric_is_named_after():
    engine, cases = Engine(lambda engine, batch: batch), Cases([Classes(), Masks()])
    for score, name in ((Score(cases=cases), "val_fp_area"), (Score("fp_area", cases), "named")):
        score.attach(engine, name)
    engine.run([take(samples(), slice(0, 11))])
    assert engine.state.metrics["val_fp_area"] == engine.state.metrics["named"] > 0
    with pytest.raises(ConfigError, match="unknown score 'recal'; choose one of: dice"):
        Score(cases=cases).attach(engine, "val_recal")
    with pytest.raises(ConfigError, match='Score needs "cases"'):
        Score("dice")


def test_one_channel_of_three_and_their_mean():
    data = samples()
    generator = torch.Generator().manual_seed(1)
    data["pred"]["mask"] = (torch.randn(SIZE, 3, 8, 8, generator=generator) > 0).float()
    data["label"]["mask"] = torch.randint(0, 4, (SIZE, 1, 8, 8), generator=generator)  # class indices
    data["label"]["mask"][~data["label"]["has_mask"]] = 0
    cases, engine = Cases([Masks()]), Engine(lambda engine, batch: batch)
    for channel in (None, 0, 1, 2):
        Score("dice", cases, channel).attach(engine, str(channel))
    engine.run([take(data, slice(0, 4)), take(data, slice(4, 11))])
    wanted = []
    for c in range(3):
        truth = (data["label"]["mask"][:, 0] == c + 1)[data["label"]["has_mask"]]
        found = data["pred"]["mask"][:, c][data["label"]["has_mask"]] > 0
        dice = [2 * (f & t).sum().item() / (f.sum() + t.sum()).item() for f, t in zip(found, truth, strict=True)]
        wanted.append(sum(dice) / len(dice))
    metrics = engine.state.metrics
    assert [metrics[str(c)] for c in range(3)] == pytest.approx(wanted, abs=1e-12)
    assert metrics["None"] == pytest.approx(sum(wanted) / 3, abs=1e-12)


def test_an_epoch_without_a_case_or_a_measure_of_it_is_refused():
    engine = Engine(lambda engine, batch: batch)
    Score("dice", Cases([Classes()])).attach(engine, "val_dice")
    with pytest.raises(ConfigError, match="score 'dice': nothing measured gives dice; there are: label, predicted"):
        engine.run([take(samples(), slice(0, 4))])
    with pytest.raises(ConfigError, match="there are: no cases"):
        Score("acc", Cases([Classes()])).compute()


SCRIPT = """
import json
from tests.medbundles.metrics import test_epoch_score as tests
share = tests.take(tests.samples(), slice(0, 4) if rank == 0 else slice(4, 11))
print(json.dumps(tests.run(share, [3, 1] if rank == 0 else [2, 2, 3])))
"""


def test_two_processes_with_uneven_shares_give_the_same(tmp_path):
    printed = in_two_processes(tmp_path, SCRIPT)
    expected = by_hand(samples())
    for out in printed:
        assert json.loads(out) == pytest.approx(expected, abs=1e-6)


def test_an_untrained_head_has_no_scores():
    """Neither measured, nor in the loss, nor beside a baseline; what needs it is undefined, with the reason."""
    data, predictions = samples(), Predictions()
    predictions.untrained = ["cls"]
    engine = Engine(lambda engine, batch: predictions({**batch, "image": torch.rand(SIZE, 1, 8, 8)}))
    cases = Cases([Classes(), Masks(), Losses(MultitaskLoss(SegmentationLoss(), ClassificationLoss(), 1, 0)),
                   ClassBaselines()])  # fmt: skip
    for name in ("dice", "acc", "auc", "combined", "class_threshold", "loss"):
        Score(cases=cases).attach(engine, f"val_{name}")
    engine.run([{"pred": {key: data["pred"][key] for key in ("seg", "cls")}, "label": data["label"]}])
    assert not {"prob", "label", "predicted", "cls_loss", "constant"} & set(cases.columns())
    assert set(metrics_of(engine)) == {"val_dice", "val_loss", "val_seg_loss"}
    assert engine.state.undefined["val_combined"] == NOT_TRAINED
    assert math.isnan(engine.state.metrics["val_acc"])
    report = Evaluation({"name": [""] * SIZE, "patient": ["a"] * SIZE, **cases.columns()}, ["no", "yes"])
    assert report.scores == ["dice", "dice_patient", "iou", "fp_area"]
    predictions.untrained = []
    engine.run([{"pred": {key: data["pred"][key] for key in ("seg", "cls")}, "label": data["label"]}])
    assert math.isfinite(metrics_of(engine)["val_acc"])


def test_a_score_that_nothing_measures_is_still_refused():
    cases = Cases([Masks()])
    engine = Engine(lambda engine, batch: batch)
    Score(cases=cases).attach(engine, "val_acc")
    with pytest.raises(ConfigError, match="nothing measured gives label"):
        engine.run([samples()])
