"""Scores of each case from its counts, against MONAI's metrics and plain sets of pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric, MeanIoU

from medbundles.metrics import Masks
from medbundles.metrics.overlap import PatientDice, with_case_scores


def columns(channels: int) -> tuple[torch.Tensor, torch.Tensor, dict[str, np.ndarray]]:
    generator = torch.Generator().manual_seed(channels)
    found, truth = ((torch.rand(5, channels, 8, 9, generator=generator) > 0.7).float() for _ in range(2))
    truth[1] = 0
    truth[2, 0] = 0
    measured = Masks()({"pred": {"mask": found}, "label": {"mask": truth}})
    return found, truth, {name: value.numpy() for name, value in measured.items()}


@pytest.mark.parametrize("channels", [1, 3])
def test_dice_and_iou_equal_monai_and_false_area_is_a_share_of_the_image(channels):
    found, truth, measured = columns(channels)
    scores = with_case_scores(measured)
    shape = (5,) if channels == 1 else (5, channels)
    for name, metric in {"dice": DiceMetric(), "iou": MeanIoU()}.items():  # NaN where the true mask is empty
        assert scores[name].shape == shape
        assert scores[name] == pytest.approx(metric(found, truth).numpy().reshape(shape), abs=1e-6, nan_ok=True)
        assert np.isnan(scores[name]).sum() == (2 if channels == 1 else channels + 1)
    area = np.where(truth.flatten(2).any(2), np.nan, found.double().flatten(2).mean(2)).reshape(shape)
    assert scores["fp_area"] == pytest.approx(area, abs=1e-12, nan_ok=True)


def test_images_without_a_mask_have_no_scores():
    _, _, measured = columns(3)
    measured["has_mask"] = np.array([True, False, False, True, True])
    scores = with_case_scores(measured)
    for name in ("dice", "iou", "fp_area"):
        assert np.isnan(scores[name][1:3]).all()
    assert np.isfinite(scores["dice"][[0, 3, 4]]).all()


def test_a_score_that_is_there_stays():
    _, _, measured = columns(1)
    given = np.arange(5.0)
    scores = with_case_scores({**measured, "dice": given})
    assert scores["dice"] is given
    assert scores["iou"] == pytest.approx(with_case_scores(measured)["iou"], nan_ok=True)


def test_dice_per_patient_with_weights_counts_a_patient_as_often_as_it_was_drawn():
    patients = ["b", "a", "a", "b", "c"]
    overlap, predicted, truth = np.array([[3, 2, 0, 1, 4], [4, 5, 2, 2, 6], [6, 3, 0, 1, 5]], dtype=float)
    dice = PatientDice(patients, overlap, predicted, truth)
    a, b, c = 2 * 2 / (5 + 2 + 3), 2 * (3 + 1) / (4 + 2 + 6 + 1), 2 * 4 / (6 + 5)
    weights = np.array([[1, 1, 1, 1, 1], [0, 2, 2, 0, 1], [0, 0, 0, 0, 0]])
    assert dice(weights) == pytest.approx(np.array([(a + b + c) / 3, (2 * a + c) / 3, np.nan]), nan_ok=True)
