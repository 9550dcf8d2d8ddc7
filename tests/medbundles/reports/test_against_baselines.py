"""The paired difference to each baseline by hand, and the sentence that it makes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medbundles.reports.against_baselines import NOTHING_LEARNT, against_baselines
from medbundles.reports.evaluation import Evaluation


def over(value: float | None, low: float | None = None, high: float | None = None) -> dict:
    return {"value": value, "low": low, "high": high}


@pytest.mark.parametrize(
    ("bicubic", "pca", "wanted"),
    [
        (over(1.5, 1.0, 2.0), over(-0.5, -1.0, 0.25), [
            "The model is better than bicubic (PSNR of the model minus its: +1.50 [+1.00, +2.00] dB).",
            "The model is not better than the PCA of blocks (PSNR of the model minus its: -0.50 [-1.00, +0.25] dB).",
        ]),
        (over(0.5, -0.1, 1.0), over(None), [
            f"The model is not better than bicubic (PSNR of the model minus its: +0.50 [-0.10, +1.00] dB). "
            f"{NOTHING_LEARNT}",
        ]),
        (over(0.5), None, [
            "Here the model has a higher PSNR than bicubic (PSNR of the model minus its: +0.50 dB); without an "
            "interval that says little of other images.",
        ]),
        (over(-0.5), None, [
            "Here the model has no higher PSNR than bicubic (PSNR of the model minus its: -0.50 dB); without an "
            f"interval that says little of other images. {NOTHING_LEARNT}",
        ]),
    ],
)  # fmt: skip
def test_in_words(bicubic, pca, wanted):
    metrics = {"psnr": over(30.0), "psnr_over_bicubic": bicubic} | ({"psnr_over_pca": pca} if pca else {})
    assert against_baselines(metrics) == wanted


def test_classes_in_words():
    metrics = {
        "acc": over(0.8),
        "acc_over_constant": over(0.25, 0.1, 0.375),
        "auc_over_logistic": over(0.125, -0.25, 0.5),
    }
    assert against_baselines(metrics) == [
        "The model is better than always answering the most frequent class of the training part (accuracy of the model "
        "minus its: +0.250 [+0.100, +0.375]).",
        "The model is not better than a logistic regression on mean, spread and size (AUC of the model minus its: "
        "+0.125 [-0.250, +0.500]).",
    ]


def test_the_report_has_their_rows_the_difference_of_each_image_and_the_sentences(tmp_path):
    rng, n = np.random.default_rng(0), 20
    columns = {"name": np.array([f"c{i:02d}" for i in range(n)]), "patient": np.array([f"p{i // 2}" for i in range(n)]),
               "source": np.full(n, "edente"), "file": np.full(n, "")}  # fmt: skip
    hard = rng.random(n)  # some images are hard for all: only pairs show so small a difference
    mse = {"": 1e-3 * (1 + hard), "_bicubic": 1.1e-3 * (1 + hard), "_pca": 0.9e-3 * (1 + hard)}
    for of, values in mse.items():
        columns |= {f"squared_error{of}": 100 * values, f"absolute_error{of}": 100 * np.sqrt(values)}
        columns |= {f"size{of}": np.full(n, 100), f"data_range{of}": np.ones(n), f"ssim{of}": np.full(n, 0.9)}
    evaluation = Evaluation(columns, bootstrap=200)
    metrics = evaluation.metrics["all"]
    assert metrics["psnr_over_bicubic"]["value"] == pytest.approx(10 * np.log10(1.1), abs=1e-9)
    assert metrics["psnr_over_bicubic"]["low"] == pytest.approx(10 * np.log10(1.1), abs=1e-9)
    assert metrics["psnr_pca"]["value"] == pytest.approx(np.mean(-10 * np.log10(mse["_pca"])), abs=1e-9)
    table = evaluation.table()
    assert "\npsnr_bicubic " in table
    assert "The model is better than bicubic" in table
    assert "The model is not better than the PCA of blocks" in table
    evaluation.write_metrics(tmp_path / "test_metrics", {})
    content = json.loads((tmp_path / "test_metrics.json").read_text())
    assert content["against_baselines"] == evaluation.against_baselines()
    assert content["metrics"]["psnr_over_pca"]["high"] < 0
