"""Scores of each case from its counts, against MONAI's metrics and plain sets of pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric, MeanIoU, compute_confusion_matrix_metric, get_confusion_matrix

from medbundles.metrics import Masks
from medbundles.metrics.overlap import PatientDice, with_case_scores


def output(found: torch.Tensor, truth: torch.Tensor) -> dict[str, dict[str, torch.Tensor]]:
    return {"pred": {"mask": found}, "label": {"mask": truth}}


def columns(channels: int) -> tuple[torch.Tensor, torch.Tensor, dict[str, np.ndarray]]:
    generator = torch.Generator().manual_seed(channels)
    found, truth = ((torch.rand(5, channels, 8, 9, generator=generator) > 0.7).float() for _ in range(2))
    truth[1] = 0
    truth[2, 0] = 0
    measured = Masks()(output(found, truth))
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


@pytest.mark.parametrize("channels", [1, 3])
def test_precision_recall_and_accuracy_equal_monai(channels):
    found, truth, measured = columns(channels)
    found[3], measured["predicted_pixels"][3], measured["overlap"][3] = 0, 0, 0  # a miss has the precision 0
    scores = with_case_scores(measured)
    shape = (5,) if channels == 1 else (5, channels)
    there = truth.flatten(2).any(2).numpy().reshape(shape)
    confusion = get_confusion_matrix(found, truth)
    for name, metric in {"mask_precision": "precision", "mask_recall": "sensitivity"}.items():
        wanted = compute_confusion_matrix_metric(metric, confusion).nan_to_num(nan=0).numpy().reshape(shape)
        assert scores[name] == pytest.approx(np.where(there, wanted, np.nan), abs=1e-6, nan_ok=True)
    accuracy = compute_confusion_matrix_metric("accuracy", confusion).numpy().mean(1)
    assert scores["pixel_accuracy"] == pytest.approx(accuracy, abs=1e-6)


def test_the_accuracy_of_classes_that_exclude_each_other_is_the_share_of_right_pixels():
    generator = torch.Generator().manual_seed(0)
    said, truth = (torch.randint(0, 4, (5, 1, 8, 9), generator=generator) for _ in range(2))
    found = torch.cat([said == c for c in (1, 2, 3)], 1).float()
    for ignored, counts in ((None, torch.ones_like(truth, dtype=torch.bool)), (255, torch.arange(9) < 5)):
        label = torch.where(counts, truth, 255) if ignored else truth
        measured = {name: value.numpy() for name, value in Masks(ignored)(output(found, label)).items()}
        wanted = [
            (s == t)[c.expand_as(s)].float().mean()
            for s, t, c in zip(said, truth, counts.expand_as(truth), strict=True)
        ]
        assert with_case_scores(measured)["pixel_accuracy"] == pytest.approx(np.array(wanted), abs=1e-6)


def test_an_image_that_is_not_labelled_has_no_scores():
    measured = Masks(ignore_label=9)(
        output(torch.ones(2, 1, 4, 4), torch.tensor([9.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 4, 4))
    )
    scores = with_case_scores({name: value.numpy() for name, value in measured.items()})
    for name in ("dice", "iou", "mask_precision", "mask_recall", "fp_area", "pixel_accuracy"):
        assert np.isnan(scores[name][0]), name
    assert scores["dice"][1] == scores["pixel_accuracy"][1] == 1
