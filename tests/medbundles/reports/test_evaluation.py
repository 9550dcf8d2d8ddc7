"""The report of a network that only classifies: every score, what is wrong and in which order, and its files."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from medbundles.errors import ConfigError
from medbundles.metrics.cases import as_columns
from medbundles.metrics.scores import SCORES as DEFINITIONS
from medbundles.reports.evaluation import Evaluation

NAMES = ["LGG", "HGG"]
CLASSES = ("label", "predicted", "prob")
SCORES = [name for name, definition in DEFINITIONS.items() if definition.needs == CLASSES and definition.meaning]


def rows(label, prob, threshold=0.5, sources=None) -> dict[str, np.ndarray]:
    return as_columns([
        {
            "name": f"case {i}", "patient": f"p{i}", "source": sources[i] if sources else "volumes", "file": "",
            "label": int(y), "predicted": int(p >= threshold), "prob": [1 - p, p],
        }
        for i, (y, p) in enumerate(zip(label, prob, strict=True))
    ])  # fmt: skip


def few() -> Evaluation:
    """Two missed HGG (0.2 is the surer error), two LGG taken for HGG (0.9 is the surer one)."""
    return Evaluation(rows([0, 0, 1, 1, 1, 0], [0.6, 0.9, 0.4, 0.2, 0.8, 0.1]), NAMES, bootstrap=50)


def test_every_score_has_a_value_and_an_interval(tmp_path):
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the reference")
    rng = np.random.default_rng(0)
    label = rng.random(200) < 0.8
    prob = np.clip(0.3 * label + 0.7 * rng.random(200), 0, 1)
    evaluation = Evaluation(rows(label, prob, 0.6), NAMES, {"class_threshold": 0.6}, 200, scores=list(SCORES))
    evaluation.write_metrics(tmp_path / "test_metrics", {"checkpoint": "best.pt"})
    content = json.loads((tmp_path / "test_metrics.json").read_text())
    metrics, said = content["metrics"], prob >= 0.6
    assert list(metrics) == list(SCORES) == list(content["meaning"])
    wanted = {
        "balanced_acc": sklearn.balanced_accuracy_score(label, said), "brier": sklearn.brier_score_loss(label, prob),
        "recall_macro": sklearn.balanced_accuracy_score(label, said), "auc": sklearn.roc_auc_score(label, prob),
        "f1_macro": sklearn.f1_score(label, said, average="macro"), "f1": sklearn.f1_score(label, said),
        "precision": sklearn.precision_score(label, said),
        "precision_macro": sklearn.precision_score(label, said, average="macro"),
    }  # fmt: skip
    assert {name: metrics[name]["value"] for name in wanted} == pytest.approx(wanted)
    for name, m in metrics.items():
        if name == "ece":  # biased upwards: nothing around it covers the truth
            assert m["reason"] == "no interval is known that covers 92 %"
        else:
            assert 0 <= m["low"] < m["high"] <= 1, name
            assert m["low"] <= m["value"] <= m["high"]
    lines = list(csv.DictReader((tmp_path / "test_metrics.csv").open()))
    assert [line["metric"] for line in lines] == list(SCORES)
    assert content["class_threshold"] == 0.6
    assert "mask_threshold" not in content


def test_what_is_wrong_stands_false_negatives_first_and_the_surest_of_each_first(tmp_path):
    evaluation = few()
    evaluation.write_metrics(tmp_path / "test_metrics", {})
    content = json.loads((tmp_path / "test_metrics.json").read_text())
    assert [error["name"] for error in content["errors"]] == ["case 3", "case 2", "case 1", "case 0"]
    assert content["errors"][0] == {
        "name": "case 3", "patient": "p3", "true": "HGG", "predicted": "LGG", "prob": [0.8, 0.2],
    }  # fmt: skip
    assert content["confusion_matrix"] == [[1, 2], [2, 1]]
    assert (content["false_negatives"], content["false_positives"]) == (2, 2)
    assert content["per_class"]["HGG"] == pytest.approx(
        {"precision": 1 / 3, "recall": 1 / 3, "f1": 1 / 3, "support": 3}
    )
    told = evaluation.table().splitlines()[-6:]
    assert told[0] == "false negatives, HGG taken for LGG: 2 of 3"
    assert told[1] == "  case 3 (patient p3): HGG taken for LGG (LGG 0.800, HGG 0.200)"
    assert told[3] == "false positives, LGG taken for HGG: 2 of 3"


def test_many_errors_are_not_all_told_in_the_table():
    table = Evaluation(rows([1] * 30, [0.1] * 30), NAMES, bootstrap=10).table()
    assert table.count("HGG taken for LGG (") == 10
    assert "  ... and 20 more (all are in the .json file)" in table
    assert table.endswith("false positives, LGG taken for HGG: 0 of 0")


def test_more_than_two_classes_have_no_positive_one(tmp_path):
    prob = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.2, 0.2, 0.6]])
    items = rows([1, 0, 2], [0, 0, 0]) | {"prob": prob, "predicted": prob.argmax(1)}
    evaluation = Evaluation(items, ["a", "b", "c"], bootstrap=10)
    evaluation.write_metrics(tmp_path / "m", {})
    content = json.loads((tmp_path / "m.json").read_text())
    assert "false_negatives" not in content
    assert [error["name"] for error in content["errors"]] == ["case 1", "case 0"]
    assert "wrong class: 2 of 3" in evaluation.table()


def test_files_of_a_network_without_masks(tmp_path):
    evaluation = few()
    assert not {"dice", "iou", "fp_area"} & set(evaluation.metrics["all"])
    evaluation.write_predictions(tmp_path, "val")
    with (tmp_path / "predictions.csv").open() as file:
        assert next(csv.reader(file)) == [
            "name", "patient", "source", "file", "label", "predicted", "prob_LGG", "prob_HGG",
        ]  # fmt: skip
    assert np.load(tmp_path / "val_labels.npy").tolist() == [0, 0, 1, 1, 1, 0]
    assert {p.name for p in evaluation.write_plots(tmp_path)} == {
        "confusion_matrix.png", "roc_curve.png", "pr_curve.png",
    }  # fmt: skip
    calibrated = Evaluation(evaluation.columns, NAMES, bootstrap=10, scores=["auc", "ece"])
    assert (tmp_path / "reliability_epoch_2.png") in calibrated.write_plots(tmp_path, "_epoch_2")


def test_sources_have_their_own_scores():
    label, prob = [0, 1, 0, 1], [0.1, 0.9, 0.8, 0.3]
    items = rows(label, prob, sources=["fold 0", "fold 0", "fold 1", "fold 1"])
    metrics = Evaluation(items, NAMES, bootstrap=10, scores=["balanced_acc"]).metrics
    assert {group: m["balanced_acc"]["value"] for group, m in metrics.items()} == {"all": 0.5, "fold 0": 1, "fold 1": 0}


def test_without_rows_there_is_no_metric(tmp_path):
    nothing = {name: np.empty(0, dtype=str) for name in ("name", "patient", "source", "file")}
    nothing |= {"label": np.empty(0, dtype=int), "predicted": np.empty(0, dtype=int), "prob": np.empty((0, 2))}
    evaluation = Evaluation(nothing, NAMES)
    evaluation.write_metrics(tmp_path / "m", {})
    assert json.loads((tmp_path / "m.json").read_text())["per_class"]["HGG"]["recall"] is None
    assert "taken for" not in evaluation.table()


def test_an_unknown_score_lists_the_scores():
    with pytest.raises(ConfigError, match=r"scores: 'bier' unknown; choose from: dice, .* acc, sensitivity"):
        Evaluation({}, NAMES, scores=["auc", "bier"])


@pytest.mark.parametrize("names", [["a", "a"], ["a", "patient"]])
def test_channel_names_that_would_share_a_score_are_refused(names):
    masks = np.ones((2, 2), dtype=int)
    columns = {"overlap": masks, "predicted_pixels": masks, "true_pixels": masks}
    columns |= {"has_mask": np.ones(2, dtype=bool), "pixels": np.full(2, 9), "name": np.array(["x", "y"])}
    with pytest.raises(ConfigError, match="each must differ, also from 'patient'"):
        Evaluation(columns, channel_names=names)


def test_empty_masks_are_counted_beside_the_surface_scores(tmp_path):
    """Channel a: hit, missed, false alarm, both empty, no mask at all; channel b: hits."""
    predicted = np.array([[4, 4], [0, 4], [4, 4], [0, 4], [0, 0]])
    true = np.array([[4, 4], [4, 4], [0, 4], [0, 4], [0, 0]])
    columns = {
        "overlap": np.minimum(predicted, true), "predicted_pixels": predicted, "true_pixels": true,
        "has_mask": np.array([True] * 4 + [False]), "pixels": np.full(5, 100), "right_pixels": np.full(5, 90),
        "hd95": np.array([[1.0, 2], [14, 2], [14, 2], [np.nan, 2], [np.nan, np.nan]]),
        "surface_dice": np.array([[1.0, 1], [0, 1], [0, 1], [np.nan, 1], [np.nan, np.nan]]),
        "volume_difference": np.array([[0, 1.0], [-4, -1], [4, 1], [np.nan, -1], [np.nan, np.nan]]),
        "name": np.array(list("vwxyz")), "patient": np.array(list("vwxyz")),
    }  # fmt: skip
    evaluation = Evaluation(columns, channel_names=["a", "b"], bootstrap=10)
    evaluation.write_metrics(tmp_path / "m", {})
    content = json.loads((tmp_path / "m.json").read_text())
    counts = {"missed": 1, "false_alarms": 1, "both_empty": 1}
    assert content["empty_masks"] == {"a": counts, "b": dict.fromkeys(counts, 0)}
    values = {name: m["value"] for name, m in content["metrics"].items()}
    wanted = {"hd95_a": 29 / 3, "hd95_b": 2, "hd95": (29 / 3 + 2) / 2, "surface_dice_a": 1 / 3}
    wanted |= {"volume_difference_a": 0, "volume_difference_b": 0, "volume_error_a": 8 / 3, "volume_error_b": 1}
    assert {name: values[name] for name in wanted} == pytest.approx(wanted)
    assert content["metrics"]["hd95_a"]["n_images"] == 3
    told = " ".join(evaluation.table().split())
    assert "hd95 is the image's diagonal and surface_dice 0; both: not counted): a: 1 missed, 1 false alarms, " in told
    assert "1 both empty; b: 0 missed, 0 false alarms, 0 both empty" in told
    evaluation.write_predictions(tmp_path, "test")
    with (tmp_path / "predictions.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["hd95_a"] for line in lines] == ["1.0", "14.0", "14.0", "", ""]
    assert [line["pixel_accuracy"] for line in lines] == ["0.9"] * 4 + [""]


def test_without_an_image_with_a_mask_no_empty_mask_is_counted():
    counts = {name: np.zeros(2, dtype=int) for name in ("overlap", "predicted_pixels", "true_pixels")}
    columns = counts | {"has_mask": np.zeros(2, dtype=bool), "pixels": np.full(2, 9), "hd95": np.full(2, np.nan)}
    evaluation = Evaluation(columns | {"name": np.array(["a", "b"]), "patient": np.array(["a", "b"])}, bootstrap=10)
    assert evaluation.empty_masks() == {"1": {"missed": 0, "false_alarms": 0, "both_empty": 0}}
    assert evaluation.metrics["all"]["hd95"]["value"] is None


def test_without_surface_scores_no_empty_mask_is_counted():
    assert few().empty_masks() == {}
