"""Thresholds against the plain definition: try every one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from medbundles.errors import ConfigError
from medbundles.metrics import Cases, Classes, Masks, MaskThresholds, Score, Surfaces
from medbundles.metrics.chosen import at_chosen_thresholds, decided, dice_at_thresholds, log_odds_of, volume_threshold
from medbundles.metrics.thresholds import MASK_GRID, best_class_threshold, best_mask_threshold
from medbundles.metrics.volumes import volumes_of
from medbundles.transforms import Predictions


def sample(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.rand(6, 1, 20, 24, generator=generator) > 0.8).to(torch.uint8)
    mask[2] = 0
    prob = (0.4 * mask + 0.6 * torch.rand(6, 1, 20, 24, generator=generator)).clamp(0, 1)
    prob[0, 0, 0, :19] = torch.tensor(MASK_GRID)  # a pixel exactly on a threshold counts as tumour
    return prob, mask


def dice_of(prob: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
    """Dice of each image at every threshold, as `Masks` and `MaskThresholds` measure it, (n, T)."""
    output = {"pred": {"mask_prob": prob, "mask": prob >= 0.5}, "label": {"mask": mask}}
    return dice_at_thresholds({k: v.numpy() for k, v in {**Masks()(output), **MaskThresholds()(output)}.items()})


def test_dice_of_every_threshold_equals_the_definition():
    prob, mask = sample()
    found = dice_of(prob, mask)
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
    prob = np.round(3 * label + 7 * rng.normal(size=60))  # log-odds, rounded: with ties
    threshold, score = best_class_threshold(prob, label)
    cuts = np.unique(prob)
    trial = [(np.mean(prob[label == 1] >= c) + np.mean(prob[label == 0] < c)) / 2 for c in cuts]
    assert score == pytest.approx(max(trial), abs=1e-12)
    assert (np.mean(prob[label == 1] >= threshold) + np.mean(prob[label == 0] < threshold)) / 2 == pytest.approx(score)
    below, above = cuts[cuts < threshold].max(), cuts[cuts > threshold].min()
    assert threshold == pytest.approx((below + above) / 2)


def test_class_threshold_without_a_choice():
    assert best_class_threshold(np.array([-1.0, 1.5]), np.array([0, 1])) == (0.25, 1.0)
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
    cases = Cases([Classes(), Masks(), MaskThresholds()])
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
                "mask_prob": prob[part], "mask": prob[part] >= 0.5,
                "prob": torch.stack([1 - score[part], score[part]], 1).double(),
                "class": (score[part] > 0.5).long(),
            },
            "label": {"mask": mask[part], "cls": cls[part]},
        }
        for part in (slice(0, 4), slice(4, 6))
    ]  # fmt: skip
    found = run(outputs)
    dice = dice_of(prob, mask)
    wanted = best_mask_threshold(dice)
    assert found["mask_threshold"] == wanted[0]
    assert wanted[1] == pytest.approx(np.nanmean(dice, axis=0).max())
    middle = (np.log(0.3 / 0.7) + np.log(0.35 / 0.65)) / 2
    assert found["class_threshold"] == pytest.approx(1 / (1 + np.exp(-middle)))


def test_nothing_to_choose_is_nan_not_an_error():
    output = {
        "pred": {
            "mask_prob": torch.rand(2, 1, 4, 4),
            "mask": torch.zeros(2, 1, 4, 4),
            "prob": torch.rand(2, 3),
            "class": torch.tensor([0, 2]),
        },
        "label": {"mask": torch.zeros(2, 1, 4, 4), "cls": torch.tensor([0, 2])},
    }
    assert all(math.isnan(value) for value in run([output]).values())


def test_a_nan_is_below_every_threshold_as_in_the_masks():
    prob = torch.tensor([[[[math.nan, 0.9, 0.2]]]])
    assert dice_of(prob, torch.ones(1, 1, 1, 3))[0, 9] == pytest.approx(2 / (1 + 3))


def test_a_threshold_between_neighbouring_numbers_is_the_upper_one():
    upper = np.nextafter(1, 0)
    threshold, accuracy = best_class_threshold(np.array([np.nextafter(upper, 0), upper]), np.array([0, 1]))
    assert (threshold, accuracy) == (upper, 1.0)


def test_probabilities_that_print_as_one_are_told_apart():
    """With a scale of 30 they saturate: the threshold as a probability would be 1.0, which nothing reaches for sure."""
    logits = torch.tensor([[0.0, 40.0], [0.0, 44.0], [0.0, 50.0], [0.0, 55.0]], dtype=torch.float64)
    prob, label = logits.softmax(1), np.array([0, 0, 1, 1])
    assert (prob[:, 1] == 1).all()
    threshold, accuracy = best_class_threshold(log_odds_of(prob.numpy()), label)
    assert (threshold, accuracy) == (pytest.approx(47), 1.0)
    stored = Predictions(class_logit_threshold=threshold)
    assert stored.classes(prob).tolist() == label.tolist()
    assert (stored.thresholds()["class_threshold"], stored.thresholds()["class_logit_threshold"]) == (1.0, threshold)
    assert stored.undecided() == ["mask"]


def test_a_probability_that_the_user_gives_wins_over_stored_log_odds():
    prob = torch.tensor([[0.7, 0.3], [0.4, 0.6]], dtype=torch.float64)
    assert Predictions(class_threshold=0.2, class_logit_threshold=3.0).classes(prob).tolist() == [1, 1]
    assert Predictions(class_logit_threshold=3.0).classes(prob).tolist() == [0, 0]
    assert Predictions(class_logit_threshold=-2.0).classes(prob).tolist() == [1, 1]
    assert Predictions().undecided() == ["mask", "class"]
    assert Predictions(0.4, 0.4).undecided() == []
    assert Predictions(mask_rule="classes").undecided() == ["class"]


@pytest.mark.parametrize("channels", [1, 3])
def test_cases_at_the_chosen_thresholds_are_those_of_a_network_that_uses_them(channels):
    generator = torch.Generator().manual_seed(3)
    mask = (torch.rand(8, channels, 9, 9, generator=generator) > 0.8).to(torch.uint8)
    seg = 2.0 * mask - 3 + torch.randn(8, channels, 9, 9, generator=generator)
    cls = torch.randn(8, 2, generator=generator)
    label = {"mask": mask, "cls": torch.tensor([0, 1, 0, 1, 0, 1, 1, 1]), "has_mask": torch.arange(8) < 6}
    measures = [Classes(), Masks(), MaskThresholds()]

    def columns(predictions: Predictions) -> dict[str, np.ndarray]:
        output = predictions({"pred": {"seg": seg, "cls": cls}, "label": label})
        return {name: column.numpy() for measure in measures for name, column in measure(output).items()}

    auto = Predictions(mask_rule="regions")
    found, thresholds = at_chosen_thresholds(columns(auto), auto.undecided())
    assert set(thresholds) == {"mask_threshold", "class_threshold", "class_logit_threshold"}
    known = {**thresholds, "volume_threshold": None}
    assert Predictions(**thresholds).thresholds() == pytest.approx(known)
    assert thresholds["mask_threshold"] < 0.5  # what marks too little at 0.5
    wanted = columns(Predictions(**thresholds, mask_rule="regions"))
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    assert at_chosen_thresholds(columns(auto), [])[1] == {}


def test_an_epoch_is_scored_where_its_validation_chooses_and_a_test_is_not():
    """The network marks too little at 0.5, and its classes lie below 0.5."""
    mask = torch.zeros(4, 1, 8, 8)
    mask[:, :, :4] = 1
    seg = torch.where(mask > 0, -1.0, -4.0)
    cls = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.9, 0.0], [2.1, 0.0]])
    label = {"mask": mask, "cls": torch.tensor([1, 0, 1, 0])}
    auto, given = Predictions(), Predictions(mask_threshold=0.2, class_threshold=0.2)  # as stored with the weights
    for predictions, choose_for, dice, acc in (
        (auto, auto, 1.0, 1.0), (auto, None, 0.0, 0.5), (given, None, 1.0, 1.0), (given, given, 1.0, 1.0)
    ):  # fmt: skip
        outputs = [predictions({"pred": {"seg": seg, "cls": cls}, "label": label})]
        engine, cases = Engine(lambda engine, output: output), None
        cases = Cases([Classes(), Masks(), MaskThresholds()], choose_for=choose_for)
        scores = {"val_dice": Score("", cases), "val_acc": Score("", cases)}
        scores |= {f"val_{name}_at_half": Score(name, cases, at_half=predictions) for name in ("dice", "acc")}
        for name, metric in scores.items():
            metric.attach(engine, name)
        engine.run(outputs)
        found = engine.state.metrics
        assert (found["val_dice"], found["val_acc"]) == (dice, acc)
        assert (found["val_dice_at_half"], found["val_acc_at_half"]) == (0.0, 0.5)
        assert bool(cases.thresholds) == (choose_for is auto)


def test_masks_that_no_threshold_decides_stay_and_without_counts_nothing_is_guessed():
    found = decided({"overlap": np.ones(2), "prob": np.array([[0.6, 0.4], [0.4, 0.6]])}, None, 0.0)
    assert found["predicted"].tolist() == [0, 1]
    with pytest.raises(ConfigError, match=r"need the measure medbundles\.metrics\.MaskThresholds"):
        decided({"overlap": np.ones(2)}, 0.5)
    assert Predictions(mask_rule="classes").by_threshold() == ["class"]


def volumes(labels: list[list[int]], probs: list[list[float]]) -> dict[str, np.ndarray]:
    """Columns of the slices of some patients."""
    flat = np.array([p for of_patient in probs for p in of_patient])
    patients = [f"p{i}" for i, of_patient in enumerate(labels) for _ in of_patient]
    label = np.array([y for of_patient in labels for y in of_patient])
    return {"patient": np.array(patients), "label": label, "prob": np.stack([1 - flat, flat], 1),
            "has_mask": np.ones(len(flat), dtype=bool), "true_pixels": label}  # fmt: skip


def test_the_threshold_of_a_volume_is_chosen_on_volumes():
    """The mean of the highest three of many healthy slices lies above what a single healthy picture has."""
    ill = [[0.9, 0.8, 0.85, 0.1], [0.7, 0.75, 0.8, 0.2]]
    healthy = [[0.5, 0.4, 0.6, 0.1], [0.3, 0.2, 0.1, 0.05]]
    columns = volumes([[1, 1, 1, 0], [0, 1, 1, 0], [0] * 4, [0] * 4], ill + healthy)
    lower, upper = 0.5, 0.75  # means of the three highest
    middle = (np.log(lower / (1 - lower)) + np.log(upper / (1 - upper))) / 2
    assert volume_threshold(columns) == pytest.approx(1 / (1 + np.exp(-middle)))
    assert math.isnan(volume_threshold(volumes([[1, 0], [0, 1]], [[0.9, 0.1], [0.2, 0.8]])))  # no healthy volume
    # the tumour's class is the first: the same volumes, the same cut, as a probability of the second
    turned = {**columns, "label": 1 - columns["label"], "prob": columns["prob"][:, ::-1]}
    assert volume_threshold(turned) == pytest.approx(1 / (1 + np.exp(middle)))
    prob, classes = volumes_of(turned)
    assert classes.tolist() == [0, 0, 1, 1]
    assert prob[:, 0] == pytest.approx([0.85, 0.75, 0.5, 0.2])
    columns["has_mask"][:] = False  # pictures are no slices of a volume
    assert math.isnan(volume_threshold(columns))


def test_what_was_measured_of_the_masks_places_is_not_kept_for_masks_that_are_decided_anew():
    mask = torch.zeros(4, 1, 9, 9)
    mask[:, :, 2:6, 2:6] = 1
    seg = torch.where(mask > 0, -1.0, -4.0)
    output = Predictions()({"pred": {"seg": seg}, "label": {"mask": mask}})
    measures = [Masks(), MaskThresholds(), Surfaces()]
    columns = {name: column.numpy() for measure in measures for name, column in measure(output).items()}
    assert "hd95" in at_chosen_thresholds(columns, [])[0]
    found, thresholds = at_chosen_thresholds(columns, ["mask"])
    assert thresholds["mask_threshold"] < 0.5
    assert not set(found) & {"hd95", "surface_dice", "volume_difference"}
