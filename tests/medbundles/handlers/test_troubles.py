"""Curves of every trouble, and healthy ones, which must not be taken for one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from medbundles.handlers import Monitor
from medbundles.handlers.troubles import learning_nothing, oscillation, overfitting, underfitting

DICE, L1 = Monitor("val_dice"), Monitor("val_l1", mode="min")
Curve = Callable[[int], float]


def records(count: int = 30, interval: int = 1, **curves: Curve) -> list[dict]:
    """Epochs whose entries are functions of the epoch; those of the validation every so many-th."""
    return [
        {"epoch": epoch, **{k: f(epoch) for k, f in curves.items() if k[:3] != "val" or epoch % interval == 0}}
        for epoch in range(1, count + 1)
    ]


def falling(to: float, speed: float = 0.1, start: float = 1.0) -> Curve:
    return lambda epoch: to + (start - to) * math.exp(-speed * epoch)


def rising(to: float, speed: float = 0.1) -> Curve:
    return lambda epoch: to * (1 - math.exp(-speed * epoch))


def noisy(curve: Curve, sd: float) -> Curve:
    noise = np.random.default_rng(0).normal(0, sd, 200)
    return lambda epoch: curve(epoch) + noise[epoch]


HEALTHY = {
    "val follows train": {
        "train_loss": noisy(falling(0.2), 0.02), "val_loss": noisy(falling(0.25), 0.03),
        "train_dice": noisy(rising(0.9), 0.01), "val_dice": noisy(rising(0.87), 0.02),
    },
    "both stand in the end": {
        "train_loss": falling(0.2, 0.5), "val_loss": falling(0.25, 0.5),
        "train_dice": rising(0.9, 0.5), "val_dice": noisy(rising(0.85, 0.5), 0.01),
    },
    "train goes on beside a small gap": {
        "train_loss": falling(0.01), "val_loss": falling(0.1), "train_dice": rising(1.0), "val_dice": rising(0.96, 0.9),
    },
    "the loss swings in a small range at its end": {
        "train_loss": noisy(falling(0.02, 0.5), 0.01), "val_loss": noisy(falling(0.03, 0.5), 0.02),
        "train_dice": rising(0.95), "val_dice": rising(0.95),
    },
    "augmentation makes the training the harder part": {
        "train_loss": falling(0.5), "val_loss": falling(0.2), "train_dice": rising(0.7), "val_dice": rising(0.9),
    },
}  # fmt: skip
OVERFITS = {
    "train_loss": falling(0.0), "val_loss": lambda e: falling(0.4, 0.5)(e) + 0.01 * e,
    "train_dice": rising(1.0), "val_dice": lambda e: min(0.1 * e, 0.7) - 0.005 * max(0, e - 7),
}  # fmt: skip
NOTHING = {"train_loss": lambda e: 1.2 - 1e-4 * e, "val_loss": lambda e: 1.2, "train_dice": lambda e: 0.1}
SWINGS = {"train_loss": lambda e: 0.5 + 0.2 * (-1) ** e, "val_loss": falling(0.4), "val_dice": rising(0.5)}


@pytest.mark.parametrize("curves", HEALTHY.values(), ids=HEALTHY)
def test_a_healthy_run_gets_no_hint_in_any_epoch(curves):
    epochs = records(60, **curves)
    for count in range(1, len(epochs) + 1):
        assert overfitting(epochs[:count], DICE) is None
        assert oscillation(epochs[:count], DICE) is None
    assert learning_nothing(epochs, DICE) is None
    assert underfitting(epochs, DICE) is None


def first(judge, epochs, monitor=DICE):
    """The first epoch in which something is found."""
    return next((count for count in range(1, len(epochs) + 1) if judge(epochs[:count], monitor)), None)


def test_overfitting_is_said_with_its_figures_ten_epochs_after_the_best():
    epochs = records(30, **OVERFITS)
    assert first(overfitting, epochs) == 17
    assert overfitting(epochs[:17], DICE) == (
        "it overfits: val_dice has not got better for 10 epochs (best 0.7 in epoch 7), while train_dice went on from "
        "0.4984 to 0.7746; now train_dice 0.7746 and val_dice 0.66"
    )


def test_overfitting_without_a_score_of_the_training_is_seen_in_the_losses():
    epochs = [{k: v for k, v in record.items() if k != "train_dice"} for record in records(30, **OVERFITS)]
    assert first(overfitting, epochs)
    l1 = [{**record, "val_l1": record["val_loss"], "train_l1": record["train_loss"]} for record in epochs]
    assert "val_l1 has not got better for 10 epochs" in overfitting(l1[: first(overfitting, l1, L1)], L1)


@pytest.mark.parametrize("changed", ["train_dice", "val_dice", "val_loss"])
def test_each_sign_of_overfitting_is_needed(changed):
    """Training that goes on, a validation that does not, and losses that agree."""
    other = {"train_dice": rising(0.72, 1.0), "val_dice": rising(0.8), "val_loss": falling(0.0)}[changed]
    curves = {**OVERFITS, changed: other}
    if changed == "train_dice":
        curves["train_loss"] = falling(0.2, 1.0)
    assert first(overfitting, records(30, **curves)) is None


def test_a_validation_every_few_epochs_is_judged_by_what_there_is():
    assert first(overfitting, records(40, interval=2, **OVERFITS))
    assert first(oscillation, records(60, interval=5, **{**SWINGS, "train_loss": falling(0.1)})) is None
    nothing = [{"epoch": epoch, "train_loss": 0.5} for epoch in range(1, 31)]
    assert first(overfitting, nothing) is None


def test_learning_nothing_and_underfitting_are_told_apart():
    assert learning_nothing(records(30, **NOTHING), DICE) == (
        "it learns nothing: in 30 epochs train_loss went from 1.2 to 1.197 and train_dice went from 0.1 to 0.1"
    )
    low = records(30, train_loss=falling(0.4), train_dice=rising(0.3))
    assert learning_nothing(low, DICE) is None
    assert underfitting(low, DICE).startswith("it underfits: in 30 epochs train_loss went from")
    worse = records(30, **{**NOTHING, "train_loss": lambda e: 1.2 + e})
    assert learning_nothing(worse, DICE) is None  # a higher rate would be the wrong advice
    assert underfitting(worse, DICE)
    assert learning_nothing(records(9, **NOTHING), DICE) is None  # too short to say
    assert underfitting(low[:9], DICE) is None


def test_a_run_from_weights_that_have_learned_may_stand():
    still = {"train_loss": lambda e: 0.1, "val_l1": lambda e: 0.1}
    assert learning_nothing(records(30, **still), L1)
    assert learning_nothing(records(30, **still), L1, from_weights=True) is None
    good = {"train_loss": lambda e: 0.1, "train_dice": lambda e: 0.9}
    assert learning_nothing(records(30, **good), DICE) is None


def test_oscillation_is_said_with_its_figures():
    assert oscillation(records(10, **SWINGS), DICE) == (
        "it oscillates: from epoch 1 to 10 train_loss goes up and down by 0.4 (median), between 0.3 and 0.7"
    )
    assert oscillation(records(9, **SWINGS), DICE) is None


@pytest.mark.parametrize(
    "curve",
    [
        lambda e: 1.0 if e == 6 else 0.3,  # one bad epoch
        lambda e: 0.5 + 0.02 * (-1) ** e,  # a small swing
        lambda e: 1.0 - 0.05 * e + 0.02 * (-1) ** e,  # a swing on the way down
        lambda e: math.nan,
    ],
)
def test_what_is_no_oscillation(curve):
    assert first(oscillation, records(30, train_loss=curve)) is None
