"""The report of a cross-validation of masks against means worked out by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tools.kfold_report import write_report

ABOUT = {"bundle": "b", "synthetic": False, "command": "python -m tools kfold b", "settings": {"selection": "inner"}}


def evaluations(folder: Path, channels: list[str]) -> tuple[dict[int, Path], np.ndarray]:
    """Three folds with 4, 6 and 5 cases; of one case the last class is not there. Gives the Dice (n, K), too."""
    rng, runs, values = np.random.default_rng(0), {}, []
    endings = [f"_{name}" for name in channels] if len(channels) > 1 else [""]
    for fold, count in enumerate((4, 6, 5)):
        runs[fold] = folder / f"fold_{fold}"
        for name in ("metrics", "predictions"):
            (runs[fold] / name).mkdir(parents=True)
        (runs[fold] / "metrics/test_metrics.json").write_text(json.dumps({"channel_names": channels}))
        dice = rng.uniform(0.5, 1, (count, len(endings)))
        dice[0, -1] = np.nan if fold == 0 else dice[0, -1]
        values.append(dice)
        header = ["name", "patient", "source", "file", "has_mask", *(f"dice{e}" for e in endings), "pixel_accuracy"]
        rows: list[list[Any]] = [header]
        for number, each in enumerate(dice.tolist()):
            name = f"c{fold}{number}"
            cells = ["" if np.isnan(value) else value for value in each]
            rows.append([name, name, "images", f"/d/{name}", "True", *cells, 0.9])
        with open(runs[fold] / "predictions/predictions.csv", "w", newline="") as file:
            csv.writer(file).writerows(rows)
    return runs, np.concatenate(values)


@pytest.mark.parametrize("channels", [["organ", "lesion"], ["1"]])
def test_means_over_folds_and_out_of_fold(tmp_path, channels, capsys):
    runs, dice = evaluations(tmp_path, channels)
    found = write_report(runs, tmp_path / "kfold", ABOUT)
    of_fold = np.repeat([0, 1, 2], [4, 6, 5])
    each = np.array([[np.nanmean(dice[of_fold == fold, c]) for fold in range(3)] for c in range(len(channels))])
    assert found["over_folds"]["dice"]["mean"] == pytest.approx(each.mean())
    assert found["out_of_fold"]["dice"]["value"] == pytest.approx(np.nanmean(dice, axis=0).mean())
    assert found["out_of_fold"]["pixel_accuracy"]["value"] == pytest.approx(0.9)
    assert [found["folds"][str(fold)]["dice"] for fold in range(3)] == pytest.approx(each.mean(axis=0))
    if len(channels) > 1:
        for c, channel in enumerate(channels):
            assert found["over_folds"][f"dice_{channel}"]["mean"] == pytest.approx(each[c].mean())
            assert found["over_folds"][f"dice_{channel}"]["std"] == pytest.approx(each[c].std(ddof=1))
            assert found["out_of_fold"][f"dice_{channel}"]["value"] == pytest.approx(np.nanmean(dice[:, c]))
    assert found["n_cases"] == 15
    text = (tmp_path / "kfold/kfold.md").read_text()
    assert text in capsys.readouterr().out
    assert "| dice |" in text
    with (tmp_path / "kfold/oof_predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15
    assert {f"dice_{name}" for name in channels if len(channels) > 1} <= set(rows[0])


def test_figures_that_the_tested_cases_chose_are_said_to_flatter(tmp_path):
    runs, _ = evaluations(tmp_path, ["1"])
    write_report(runs, tmp_path / "kfold", {**ABOUT, "settings": {"selection": "held_out"}, "synthetic": True})
    text = (tmp_path / "kfold/kfold.md").read_text()
    assert "these figures flatter" in text
    assert "SYNTHETIC" in text
