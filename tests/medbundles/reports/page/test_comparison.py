"""Runs beside each other: differences on the same images, and what is said where there are none."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import wilcoxon

from medbundles.metrics.patient_bootstrap import PatientBootstrap
from medbundles.metrics.weighted import WeightedMean
from medbundles.reports.evaluation import Evaluation
from medbundles.reports.page.comparison import _against_the_best, comparison
from medbundles.reports.page.paired import difference, leading, p_value, same_images
from medbundles.reports.page.run_files import Scored, read_run
from tests.medbundles.reports.page.test_page import a_run, columns


def scored(of: dict[str, np.ndarray], **about) -> Scored:
    names = ("grade 2", "grade 3") if "prob" in of else ()
    channels = about.get("channel_names", ())
    evaluation = Evaluation(of, names, bootstrap=50, channel_names=channels)
    flat = {k: v for k, v in of.items() if k != "dice" or v.ndim == 1}
    for c, channel in enumerate(channels):  # as predictions.csv has them
        flat[f"dice_{channel}"] = of["dice"][:, c]
    return Scored("Test part", "", evaluation.metrics["all"], about, flat)


def test_a_difference_is_that_of_the_scores_and_its_interval_that_of_the_paired_values():
    ours = columns(120)
    other = ours | {"dice": np.clip(ours["dice"] - 0.02 + np.random.default_rng(1).normal(0, 0.01, 120), 0, 1)}
    one, two = scored(ours), scored(other)
    found = difference("dice", one, two)
    assert found["value"] == pytest.approx(one.metrics["dice"]["value"] - two.metrics["dice"]["value"], abs=1e-12)
    paired = WeightedMean(ours["dice"] - other["dice"], bounds=(-1.0, 1.0))
    by_hand = PatientBootstrap(ours["patient"]).measure(paired)
    assert [found[key] for key in ("low", "high")] == pytest.approx([by_hand["low"], by_hand["high"]], abs=1e-12)
    assert 0 < found["low"] < found["high"]  # although the intervals of both overlap
    assert two.metrics["dice"]["high"] > one.metrics["dice"]["low"]


def test_of_fewer_patients_a_test_says_whether_it_is_chance():
    """Against scipy on the means of two images of each patient, by hand."""
    ours = columns(40)
    patients = np.repeat(np.arange(20), 2).astype(str)
    lower = ours["dice"] - 0.02 + np.random.default_rng(1).normal(0, 0.03, 40)
    one, two = (scored(ours | {"dice": each, "patient": patients}) for each in (ours["dice"], lower))
    assert difference("dice", one, two)["low"] is None
    means = (ours["dice"] - lower).reshape(20, 2).mean(1)
    assert p_value("dice", one, two) == pytest.approx(wilcoxon(means).pvalue, abs=1e-12)
    assert p_value("auc", one, two) is None  # no image has one
    assert p_value("dice", one, one) is None


def test_the_verdict_names_what_is_better_by_more_than_chance(tmp_path):
    ours = columns(40)["dice"]
    noise = np.random.default_rng(2).normal(0, 0.1, (2, 40))
    each = {"best": ours, "close": ours - 0.001 + noise[0] - noise[0].mean(), "far": ours - 0.1 + 0.1 * noise[1]}
    named = {name: scored(columns(40) | {"dice": dice}) for name, dice in each.items()}
    sentences, over = _against_the_best(named, "dice")
    assert "highest in best: by more than chance than in far; by no more than chance than in close." in sentences[0]
    assert over["far"].endswith("p below 0.001")
    assert over["best"] == "(the best)"
    expected = min(1, 2 * p_value("dice", named["close"], named["best"]))  # of two comparisons
    assert over["close"].endswith(f"p {expected:.3f}")
    assert any("Wilcoxon" in sentence for sentence in sentences)


def test_of_several_channels_the_mean_over_the_classes_counts():
    ours = {key: value for key, value in columns(40).items() if key not in ("label", "predicted", "prob", "constant")}
    dice = np.random.default_rng(3).uniform(0.2, 1, (40, 3))
    dice[:10, 1] = np.nan  # nothing of this class in these
    about = {"channel_names": ["a", "b", "both"], "mean_over": ["a", "b"]}
    one = scored(ours | {"dice": dice, "class_channels": np.full(40, 2)}, **about)
    two = scored(ours | {"dice": dice**2, "class_channels": np.full(40, 2)}, **about)
    expected = np.nanmean(dice[:, :2], 0).mean() - np.nanmean(dice[:, :2] ** 2, 0).mean()
    assert difference("dice", one, two)["value"] == pytest.approx(expected, abs=1e-12)


def test_classes_are_compared_where_there_are_no_masks():
    ours = {key: value for key, value in columns(60).items() if key != "dice"}
    one, two = scored(ours), scored(ours | {"predicted": 1 - ours["predicted"]})
    assert leading([one, two]) == "acc"
    assert difference("acc", one, two)["value"] == pytest.approx(
        one.metrics["acc"]["value"] - two.metrics["acc"]["value"], abs=1e-12
    )


def test_other_images_or_another_truth_are_not_compared():
    one = scored(columns(40))
    assert same_images([one, scored(columns(40, seed=5))])
    assert not same_images([one, scored(columns(38))])
    assert not same_images([one, scored(columns(40) | {"label": 1 - columns(40)["label"]})])


def test_what_is_said_of_runs(tmp_path):
    folders = [a_run(tmp_path / f"study/run_20260101_12000{i}", n, **{"loss#name": loss}) for i, (n, loss) in enumerate(
        ((40, "dice"), (40, "focal"), (30, "dice"))
    )]  # fmt: skip
    runs = [read_run(folder) for folder in folders]
    said = comparison(runs[:2], ["one", "two"])
    assert said["sentences"][0] == (
        "All were scored on the same 40 images of 40 patients. Dice is highest in one: by no more than chance than in "
        "two."
    )
    assert "Dice minus that of the best" in said["header"]
    assert said["rows"][0][said["header"].index("Dice minus that of the best")] == "(the best)"
    assert said["rows"][1][said["header"].index("Dice minus that of the best")] == "equal"
    assert ["loss#name", "dice", "focal"] in said["settings"]["rows"]
    assert not any("Loss" in chart.text for chart in said["charts"])  # two losses are two scales
    said = comparison([runs[0], runs[2]], ["one", "three"])
    assert said["warnings"] == ["Not all were scored on the same images, so the scores are no comparison of the runs."]
    assert not any("minus" in title for title in said["header"])
    assert any("Loss" in chart.text for chart in said["charts"])


def test_a_default_is_shown_as_the_value_that_it_is_and_weights_bring_their_settings(tmp_path):
    runs = [a_run(tmp_path / "study/evaluation/run_20260101_120000"), a_run(tmp_path / "study/evaluation/run_2", lr=5)]
    for run, rate in zip(runs, (0.1, None), strict=True):
        (run / "metrics/metrics.json").unlink()
        file = run / "metrics/val_metrics.json"
        trained = {"lr": {"value": rate, "default": 0.001}} if rate else {}
        content = json.loads(file.read_text()) | {"trained_with": trained}
        file.write_text(json.dumps(content))
    said = comparison([read_run(run) for run in runs], ["one", "two"])
    assert ["lr", "0.1", "5"] in said["settings"]["rows"]
    runs = [a_run(tmp_path / "other/run_20260101_120000"), a_run(tmp_path / "other/run_2", lr=5)]
    said = comparison([read_run(run) for run in runs], ["one", "two"])
    assert ["lr", "1", "5"] in said["settings"]["rows"]  # 1 is its default


def test_runs_without_scores_and_evaluations_of_the_same_weights_are_told(tmp_path):
    folders = [a_run(tmp_path / f"study/run_20260101_12000{i}") for i in range(3)]
    for folder in folders[:2]:
        file = folder / "metrics/val_metrics.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"checkpoint_id": "sha256:1"}))
    (folders[2] / "metrics/val_metrics.json").unlink()
    said = comparison([read_run(folder) for folder in folders], ["one", "two", "three"])
    assert said["warnings"] == [
        "Without scores, because it has not come to its end: three.",
        "Some of these are evaluations of the same weights.",
    ]
    assert said["sentences"][0].startswith("All were scored on the same 40 images")
    assert [row[said["header"].index("Dice minus that of the best")] for row in said["rows"]] == [
        "(the best)", "equal", "",
    ]  # fmt: skip
