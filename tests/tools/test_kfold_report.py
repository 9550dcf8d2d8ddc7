"""The report of a cross-validation against figures worked out by hand and by scikit-learn."""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, roc_auc_score

from medbundles.errors import DataError
from tools.kfold_over import over_folds
from tools.kfold_report import FREE, SCORES, write_report

NAMES = ["LGG", "HGG"]
# per fold: threshold, and (label, probability of HGG) of its cases
FOLDS: dict[int, tuple[float, list[tuple[int, float]]]] = {
    0: (0.5, [(0, 0.2), (0, 0.6), (1, 0.7), (1, 0.4)]),
    1: (0.7, [(0, 0.1), (0, 0.65), (1, 0.9), (1, 0.69)]),
    2: (0.5, [(0, 0.3), (0, 0.45), (1, 0.55), (1, 0.95), (1, 0.05)]),
}
ABOUT = {"bundle": "b", "folds": 3, "synthetic": False, "command": "python -m tools kfold b", "settings": {}}


@pytest.fixture
def evaluations(tmp_path) -> dict[int, Path]:
    runs = {}
    for fold, (threshold, cases) in FOLDS.items():
        runs[fold] = tmp_path / f"fold_{fold}"
        for name in ("metrics", "predictions"):
            (runs[fold] / name).mkdir(parents=True)
        head = {"class_names": NAMES, "class_threshold": threshold}
        (runs[fold] / "metrics/test_metrics.json").write_text(json.dumps(head))
        rows: list[list[Any]] = [["name", "patient", "source", "file", "label", "predicted", "prob_LGG", "prob_HGG"]]
        for number, (label, prob) in enumerate(cases):
            name = f"c{fold}{number}"
            rows.append(
                [name, f"p{fold}{number}", "volumes", f"/d/{name}", label, int(prob >= threshold), 1 - prob, prob]
            )
        with open(runs[fold] / "predictions/predictions.csv", "w", newline="") as file:
            csv.writer(file).writerows(rows)
    return runs


def report(evaluations: dict[int, Path], tmp_path: Path, selection: str = "inner", **more: Any) -> dict[str, Any]:
    return write_report(evaluations, tmp_path / "kfold", {**ABOUT, "settings": {"selection": selection}, **more})


def areas_of() -> list[float]:
    """The AUC of each fold."""
    return [float(roc_auc_score(*zip(*cases, strict=True))) for _, cases in FOLDS.values()]


def test_figures_over_folds_and_out_of_fold(evaluations, tmp_path, monkeypatch):
    monkeypatch.setattr("tools.kfold_report._write_pictures", _nothing)
    found = report(evaluations, tmp_path)
    label = [c[0] for _, cases in FOLDS.values() for c in cases]
    prob = [c[1] for _, cases in FOLDS.values() for c in cases]
    predicted = [int(p >= threshold) for threshold, cases in FOLDS.values() for _, p in cases]
    oof = found["out_of_fold"]
    assert oof["auc"]["value"] == pytest.approx(roc_auc_score(label, prob))
    assert oof["balanced_acc"]["value"] == pytest.approx(balanced_accuracy_score(label, predicted))
    assert oof["brier"]["value"] == pytest.approx(brier_score_loss(label, prob))
    assert oof["sensitivity"]["value"] == pytest.approx(4 / 7)  # c03, c13 and c24 are missed
    assert oof["specificity"]["value"] == pytest.approx(5 / 6)  # c01 is called HGG
    assert oof["auc"]["reason"] == found["over_folds"]["auc"]["reason"] == "interval from 10 patients of each class on"
    areas = areas_of()
    assert [found["folds"][str(fold)]["auc"] for fold in FOLDS] == pytest.approx(areas)
    mean = found["over_folds"]["auc"]
    assert (mean["mean"], mean["std"], mean["n"]) == pytest.approx((statistics.mean(areas), statistics.stdev(areas), 3))
    sensitivity = found["over_folds"]["sensitivity"]
    assert sensitivity["mean"] == pytest.approx((1 / 2 + 1 / 2 + 2 / 3) / 3)
    # by hand: the squared distances from 5/9 are 1/324, 1/324 and 1/81; their sum over n - 1 is 1/108
    assert sensitivity["std"] == pytest.approx((1 / 108) ** 0.5)
    assert found["per_class"]["HGG"]["support"] == 7
    assert found["confusion_matrix"] == [[5, 1], [3, 4]]
    assert found["thresholds"] == {"0": 0.5, "1": 0.7, "2": 0.5}


def _nothing(*_: Any) -> None: ...


def test_the_missed_stand_first_with_the_threshold_they_were_judged_by(evaluations, tmp_path, capsys):
    found = report(evaluations, tmp_path)
    assert [(e["name"], e["fold"], e["class_threshold"]) for e in found["errors"]] == [
        ("c24", 2, 0.5), ("c03", 0, 0.5), ("c13", 1, 0.7), ("c01", 0, 0.5)
    ]  # fmt: skip
    text = (tmp_path / "kfold/kfold.md").read_text()
    assert text in capsys.readouterr().out
    missed, wrongly = text.index("## Missed HGG (3 of 7)"), text.index("## Wrongly called HGG (1)")
    assert missed < text.index("| c13 | p13 | 1 | HGG | LGG | 0.310 | 0.690 | 0.700 |") < wrongly
    assert wrongly < text.index("| c01 | p01 | 0 | LGG | HGG | 0.400 | 0.600 | 0.500 |")
    assert "SYNTHETIC" not in text
    assert "no choice has seen the cases" in text
    assert "    python -m tools kfold b\n" in text
    pictures = {"confusion_matrix.png", "roc_curve.png", "pr_curve.png", "reliability.png"}
    written = {path.name for path in (tmp_path / "kfold").iterdir()}
    assert written == pictures | {"kfold.json", "kfold.md", "oof_predictions.csv"}
    assert json.loads((tmp_path / "kfold/kfold.json").read_text()) == found
    with open(tmp_path / "kfold/oof_predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 13
    assert rows[5] == {
        "name": "c11", "patient": "p11", "fold": "1", "label": "LGG", "predicted": "LGG", "prob_LGG": "0.35",
        "prob_HGG": "0.65", "file": "/d/c11",
    }  # fmt: skip


def test_it_says_what_flatters_and_what_is_synthetic(evaluations, tmp_path, monkeypatch):
    titles: list[str] = []

    def keep(*arguments: Any, title: str, **_: Any) -> None:
        titles.append(title)

    for name in ("confusion_matrix", "roc_curve", "pr_curve", "reliability"):
        monkeypatch.setattr(f"medbundles.reports.figures.{name}", keep)
    report(evaluations, tmp_path, "held_out", synthetic=True)
    text = (tmp_path / "kfold/kfold.md").read_text()
    assert "**SYNTHETIC DATA" in text
    assert "these figures flatter" in text
    assert len(titles) == 4
    assert all("SYNTHETIC" in title for title in titles)


def test_a_score_that_a_fold_does_not_have_is_left_out_of_the_mean(evaluations, tmp_path, monkeypatch):
    monkeypatch.setattr("tools.kfold_report._write_pictures", _nothing)
    path = evaluations[1] / "predictions/predictions.csv"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if ",0,0," not in line))
    found = report(evaluations, tmp_path)
    assert found["folds"]["1"]["auc"] is None
    assert found["over_folds"]["auc"]["n"] == 2
    line = next(li for li in (tmp_path / "kfold/kfold.md").read_text().splitlines() if li.startswith("| AUC |"))
    assert "(2 folds)" in line
    assert "| - |" in line
    assert set(found["over_folds"]) == set(SCORES) - set(FREE)  # these evaluations know no baselines


def test_a_case_tested_twice_is_an_error(evaluations, tmp_path):
    with pytest.raises(DataError, match="tested in more than one fold: c00, c01"):
        report({**evaluations, 3: evaluations[0]}, tmp_path)
    assert not (tmp_path / "kfold").exists()


def test_the_mean_over_folds_has_an_interval_where_each_class_has_enough_patients():
    rng = np.random.default_rng(0)
    label, fold = np.tile([0, 1], 30), np.repeat(np.arange(3), 20)
    prob = np.clip(0.5 * label + 0.6 * rng.random(60), 0, 1)
    columns = {"label": label, "predicted": (prob > 0.5).astype(int), "prob": np.stack([1 - prob, prob], 1),
               "fold": fold, "patient": np.array([f"p{i}" for i in range(60)])}  # fmt: skip
    found = over_folds("auc", columns)
    areas = [roc_auc_score(label[fold == f], prob[fold == f]) for f in range(3)]
    assert found["mean"] == pytest.approx(np.mean(areas))
    assert found["std"] == pytest.approx(np.std(areas, ddof=1))
    assert found["low"] < found["mean"] < found["high"]
    rare = np.where(np.arange(60) % 20 < 2, 1, 0)  # two of each fold's twenty
    sensitivity = over_folds("sensitivity", columns | {"label": rare})
    assert sensitivity["low"] is None
    assert sensitivity["reason"] == "interval from 10 patients on"
