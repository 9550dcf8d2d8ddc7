"""Thresholds against the plain definition: try every one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from medbundles.metrics import Cases, Classes, MaskThresholds, Score
from medbundles.metrics.thresholds import MASK_GRID, best_class_threshold, best_mask_threshold, dice_at_thresholds


def sample(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.rand(6, 1, 20, 24, generator=generator) > 0.8).to(torch.uint8)
    mask[2] = 0
    prob = (0.4 * mask + 0.6 * torch.rand(6, 1, 20, 24, generator=generator)).clamp(0, 1)
    prob[0, 0, 0, :19] = torch.tensor(MASK_GRID)  # a pixel exactly on a threshold counts as tumour
    return prob, mask


def test_dice_of_every_threshold_equals_the_definition():
    prob, mask = sample()
    found = dice_at_thresholds(prob, mask)
    for i in range(len(prob)):
        for t, threshold in enumerate(MASK_GRID):
            predicted, truth = prob[i] >= threshold, mask[i] > 0
            if not truth.any():
                assert math.isnan(found[i, t])
                continue
            both = (predicted & truth).sum().item()
            assert found[i, t].item() == pytest.approx(2 * both / (predicted.sum() + truth.sum()).item(), abs=1e-12)


def test_best_mask_threshold_takes_the_largest_mean_and_of_equal_ones_the_middle():
    dice = np.zeros((3, 19))
    dice[:2, 4:8] = np.array([0.9, 0.5])[:, None]
    dice[2] = np.nan
    threshold, score = best_mask_threshold(dice)
    assert threshold == 0.4
    assert score == pytest.approx(0.7)
    assert all(math.isnan(v) for v in best_mask_threshold(dice[2:]))


@pytest.mark.parametrize("seed", range(5))
def test_class_threshold_equals_the_best_of_all_cuts(seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, 60)
    prob = np.round(0.3 * label + 0.7 * rng.random(60), 2)  # rounded: with ties
    threshold, score = best_class_threshold(prob, label)
    cuts = np.unique(prob)
    trial = [(np.mean(prob[label == 1] >= c) + np.mean(prob[label == 0] < c)) / 2 for c in cuts]
    assert score == pytest.approx(max(trial), abs=1e-12)
    assert (np.mean(prob[label == 1] >= threshold) + np.mean(prob[label == 0] < threshold)) / 2 == pytest.approx(score)
    below, above = cuts[cuts < threshold].max(), cuts[cuts > threshold].min()
    assert threshold == pytest.approx((below + above) / 2)


def test_class_threshold_without_a_choice():
    assert best_class_threshold(np.array([0.1, 0.9]), np.array([0, 1])) == (0.5, 1.0)
    assert math.isnan(best_class_threshold(np.array([0.1, 0.9]), np.array([1, 1]))[0])
    assert math.isnan(best_class_threshold(np.array([0.4, 0.4]), np.array([0, 1]))[0])


def test_weights_count_as_repeated_images():
    rng = np.random.default_rng(0)
    label, prob, weights = rng.integers(0, 2, 30), np.round(rng.random(30), 1), rng.integers(0, 4, 30)
    again = np.repeat(np.arange(30), weights)
    assert best_class_threshold(prob, label, weights) == pytest.approx(best_class_threshold(prob[again], label[again]))
    dice = rng.random((30, 19))
    dice[3] = np.nan
    assert best_mask_threshold(dice, weights) == pytest.approx(best_mask_threshold(dice[again]))


def run(outputs: list[dict]) -> dict:
    """Mask and class threshold after two epochs of an engine; the second starts anew."""
    engine = Engine(lambda engine, output: output)
    cases = Cases([Classes(), MaskThresholds()])
    for name in ("mask_threshold", "class_threshold"):
        Score(name, cases).attach(engine, name)
    engine.run(outputs, max_epochs=2)
    assert len(cases.columns()["label"]) == sum(len(output["label"]["cls"]) for output in outputs)
    return engine.state.metrics


def test_as_metrics_of_an_engine_they_are_numbers():
    prob, mask = sample()
    cls = torch.tensor([1, 1, 0, 1, 0, 1])
    score = torch.tensor([0.8, 0.7, 0.3, 0.35, 0.2, 0.9])
    outputs = [
        {
            "pred": {
                "mask_prob": prob[part], "prob": torch.stack([1 - score[part], score[part]], 1),
                "class": (score[part] > 0.5).long(),
            },
            "label": {"mask": mask[part], "cls": cls[part]},
        }
        for part in (slice(0, 4), slice(4, 6))
    ]  # fmt: skip
    found = run(outputs)
    dice = dice_at_thresholds(prob, mask).numpy()
    wanted = best_mask_threshold(dice)
    assert found["mask_threshold"] == wanted[0]
    assert wanted[1] == pytest.approx(np.nanmean(dice, axis=0).max())
    assert found["class_threshold"] == pytest.approx(0.325)
    assert best_class_threshold(score.double().numpy(), cls.numpy()) == pytest.approx((0.325, 1.0))


def test_nothing_to_choose_is_nan_not_an_error():
    output = {
        "pred": {"mask_prob": torch.rand(2, 1, 4, 4), "prob": torch.rand(2, 3), "class": torch.tensor([0, 2])},
        "label": {"mask": torch.zeros(2, 1, 4, 4), "cls": torch.tensor([0, 2])},
    }
    assert all(math.isnan(value) for value in run([output]).values())


def test_a_nan_is_below_every_threshold_as_in_the_masks():
    prob = torch.tensor([[math.nan, 0.9, 0.2]])
    assert dice_at_thresholds(prob, torch.ones(1, 3))[0, 9].item() == pytest.approx(2 / (1 + 3))


def test_a_threshold_between_neighbouring_numbers_is_the_upper_one():
    upper = np.nextafter(1, 0)
    threshold, accuracy = best_class_threshold(np.array([np.nextafter(upper, 0), upper]), np.array([0, 1]))
    assert (threshold, accuracy) == (upper, 1.0)
