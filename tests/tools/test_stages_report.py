"""The comparison of the stages against values worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medbundles.errors import DataError
from medbundles.metrics.scores import score
from tools.stages_report import Result, compare_on_set, criteria, in_markdown, patients, to_look_at

NOT_DEFINED = {"value": None, "low": None, "high": None}


def result(dices: list, right: list, **scores: float) -> Result:
    """Four slices of two patients and a picture, every second one without a tumour."""
    label = np.array([1, 0, 1, 0, 1])
    names = [("slices", f"p{i // 2}/s{i % 2}", f"p{i // 2}") for i in range(4)] + [("images", "y1", "y1")]
    sources, cases, of_patient = (np.array(column) for column in zip(*names, strict=True))
    columns = {
        "source": sources, "name": cases, "patient": of_patient,
        "file": np.array([f"/d/test/images/{name}.png" for name in cases]),
        "dice": np.array([np.nan if d is None else d for d in dices]),
        "label": label, "predicted": np.where(right, label, 1 - label),
    }  # fmt: skip
    known = {"dice": 0.5, "dice_patient": 0.5, "acc": 0.5, "auc": 0.5, **scores}
    metrics = {name: {"value": value, "low": 0.1, "high": 0.9} for name, value in known.items()}
    return Result(metrics, columns)


SEG = result([0.2, 0.4, 0.8, None, None], [0, 0, 0, 0, 0], dice=1.4 / 3, acc=0.0)
CLS = result([0.2, 0.4, 0.8, None, None], [1, 1, 1, 1, 0], acc=0.8)
JOINT = result([0.5, 0.5, 0.7, None, None], [1, 1, 1, 1, 1], dice=1.7 / 3, acc=1.0)


def test_scores_of_the_three_stages():
    phases = compare_on_set({"2.1": SEG, "2.2": CLS, "2.3": JOINT})["phases"]
    assert phases["2.1"]["acc"] is None
    assert phases["2.1"]["combined"] is None
    assert phases["2.2"]["dice"] == SEG.metrics["dice"]  # encoder and decoder are frozen
    assert phases["2.2"]["combined"]["value"] == pytest.approx((1.4 / 3 + 0.8) / 2)
    assert phases["2.3"]["combined"]["value"] == pytest.approx((1.7 / 3 + 1.0) / 2)
    assert phases["2.3"]["combined"]["reason"] == "interval from 20 patients on"


def test_what_costs_nothing_stands_below():
    joint = result([0.5, 0.5, 0.7, None, None], [1, 1, 1, 1, 1], acc_constant=0.6, acc_logistic=0.7, auc_logistic=0.8)
    joint.columns["constant"] = np.ones(5)
    free = compare_on_set({"2.1": SEG, "2.2": CLS, "2.3": joint})["free"]
    values = {title: {n: m["value"] for n, m in row.items() if m} for title, row in free.items()}
    assert values == {
        "always the most frequent class": {"acc": 0.6, "combined": pytest.approx((1.7 / 3 + 3 / 5) / 2)},
        "logistic regression on mean, spread and size": {"acc": 0.7, "auc": 0.8},
    }


def test_the_change_is_paired():
    change = compare_on_set({"2.1": SEG, "2.2": CLS, "2.3": JOINT})["change"]
    assert change["dice"]["value"] == pytest.approx((0.3 + 0.1 - 0.1) / 3)
    assert change["acc"]["value"] == pytest.approx(1 / 5)


def test_other_images_in_one_stage_are_an_error():
    fewer = Result(JOINT.metrics, {name: values[:-1] for name, values in JOINT.columns.items()})
    with pytest.raises(DataError, match="not evaluated on the same images"):
        compare_on_set({"2.1": SEG, "2.2": CLS, "2.3": fewer})


def test_combined_follows_the_weights():
    columns = {"dice": np.array([0.2, 0.6, np.nan]), "label": np.array([1, 1, 0]), "predicted": np.array([1, 0, 0])}
    weights = np.array([[1, 1, 1], [2, 0, 1], [0, 0, 1]])
    expected = [(0.4 + 2 / 3) / 2, (0.2 + 1.0) / 2, np.nan]
    np.testing.assert_allclose(score("combined", columns)(weights), expected)


@pytest.mark.parametrize(
    ("dice", "acc", "combined", "met"),
    [
        (0.72, 0.84, 0.78, [True, True, True, True, True]),
        (0.71, 0.83, 0.75, [True, True, True, False, False]),  # equal is no improvement, and 0.75 is not above 0.75
        (0.60, 0.90, 0.76, [True, False, True, True, True]),
        (0.72, None, None, [True, True, None, True, None]),
    ],
)
def test_the_five_criteria(dice, acc, combined, met):
    def value(number):
        return {**NOT_DEFINED, "value": number}

    scores = {
        "2.1": {"dice": value(0.71)},
        "2.2": {"acc": value(0.83)},
        "2.3": {"dice": value(dice), "acc": value(acc), "combined": value(combined)},
    }
    assert [criterion["met"] for criterion in criteria(scores)] == met


def test_patients_with_the_greatest_gain_come_first():
    table = patients(SEG, JOINT)
    assert [row["patient"] for row in table] == ["p0", "p1"]
    assert [row["slices"] for row in table] == [2, 1]
    assert [row["difference"] for row in table] == pytest.approx([0.2, -0.1])


def test_the_page_says_synthetic_only_when_it_is():
    part = compare_on_set({"2.1": SEG, "2.2": CLS, "2.3": JOINT})
    training = {"run": "r", "epochs": 3, "seconds": 1.0, "monitor": "m", "best_epoch": 1, "best_value": None}
    report = {
        "bundle": "b", "dataset_dir": "d", "command": "c", "synthetic": True, "seconds": 3.0,
        "training": dict.fromkeys(("2.1", "2.2", "2.3"), training), "parts": {"validation": part, "test": part},
    }  # fmt: skip
    page = in_markdown(report)
    assert page.count("SYNTHETIC") == 4  # above, below, and in the title of each part
    assert "SYNTHETIC" not in in_markdown({**report, "synthetic": False})
    assert page.count("flatters") == 1  # only the validation part chose anything
    assert (
        "| stage 1, segmentation warm-up                | 0.4667 [0.1000, 0.9000] | 0.5000 [0.1000, 0.9000] | N/A "
        in page
    )
    assert "| joint combined score > 0.75       | met | 0.7833 against 0.7500 |" in page


def test_pictures_to_open_are_the_best_the_middle_and_the_worst(tmp_path):
    found = to_look_at(JOINT, tmp_path, Path("/d/test/images"))
    assert found == [
        (tmp_path / "p1/s0.jpg", "best Dice 0.700"),
        (tmp_path / "p0/s1.jpg", "middle Dice 0.500"),
        (tmp_path / "p0/s0.jpg", "worst Dice 0.500"),
    ]
