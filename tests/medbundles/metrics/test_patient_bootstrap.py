"""Weighted metrics against scikit-learn and plain counting; intervals against a bootstrap written out."""

from __future__ import annotations

import numpy as np
import pytest

from medbundles.metrics.classification import AreaUnderCurve, ClassificationScore
from medbundles.metrics.overlap import PatientDice
from medbundles.metrics.patient_bootstrap import PatientBootstrap
from medbundles.metrics.scores import score
from medbundles.metrics.weighted import MeanOfScores, WeightedMean


def data(n: int = 80, classes: int = 2, seed: int = 0):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, n)
    prob = rng.random((n, classes)) + 0.8 * np.eye(classes)[label]
    prob = np.round(prob / prob.sum(1, keepdims=True), 2)  # rounded: with ties
    weights = rng.integers(0, 4, n)
    return label, prob, prob.argmax(1), weights


def test_two_classes_equal_scikit_learn_on_repeated_rows():
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the reference")
    label, prob, predicted, weights = data()
    repeated = np.repeat(np.arange(len(label)), weights)
    y, p, s = label[repeated], predicted[repeated], prob[repeated, 1]
    wanted = {
        "acc": sklearn.accuracy_score(y, p), "sensitivity": sklearn.recall_score(y, p), "f1": sklearn.f1_score(y, p),
        "specificity": sklearn.recall_score(y, p, pos_label=0), "precision": sklearn.precision_score(y, p),
        "balanced_acc": sklearn.balanced_accuracy_score(y, p),
        "recall_macro": sklearn.recall_score(y, p, average="macro"),
        "precision_macro": sklearn.precision_score(y, p, average="macro"),
        "f1_macro": sklearn.f1_score(y, p, average="macro"),
    }  # fmt: skip
    for kind, value in wanted.items():
        assert ClassificationScore(kind, label, predicted, 2)(weights[None])[0] == pytest.approx(value, abs=1e-12)
    assert AreaUnderCurve(label, prob)(weights[None])[0] == pytest.approx(sklearn.roc_auc_score(y, s), abs=1e-12)


def test_more_classes_are_the_mean_over_classes():
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the reference")
    label, prob, predicted, _ = data(classes=3)
    ones = np.ones((1, len(label)))
    assert ClassificationScore("f1", label, predicted, 3)(ones)[0] == pytest.approx(
        sklearn.f1_score(label, predicted, average="macro"), abs=1e-12
    )
    area = np.mean([sklearn.roc_auc_score(label == c, prob[:, c]) for c in range(3)])
    assert AreaUnderCurve(label, prob)(ones)[0] == pytest.approx(area, abs=1e-12)


def test_a_class_that_is_never_predicted_has_precision_0():
    label, predicted, ones = np.array([0, 0, 0, 1]), np.zeros(4, dtype=int), np.ones((1, 4))
    found = {
        kind: float(ClassificationScore(kind, label, predicted, 2)(ones)[0])
        for kind in ("precision", "precision_macro", "f1_macro", "balanced_acc")
    }
    assert found == pytest.approx({"precision": 0, "precision_macro": 3 / 8, "f1_macro": 3 / 7, "balanced_acc": 0.5})
    only_negative = np.array([[1, 1, 1, 0]])
    assert np.isnan(ClassificationScore("precision", label, predicted, 2)(only_negative)[0])


@pytest.mark.parametrize("kind", ["balanced_acc", "recall_macro", "precision_macro", "f1_macro"])
def test_a_macro_score_is_not_defined_in_a_draw_without_one_of_the_classes(kind):
    label, predicted = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])
    weights = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [2, 0, 1, 1]])
    values = ClassificationScore(kind, label, predicted, 3)(weights)
    assert np.isnan(values).tolist() == [False, True, False]
    assert values[2] == 1.0
    alone = PatientBootstrap(list("abcd"), 20).measure(ClassificationScore(kind, np.ones(4, dtype=int), predicted, 3))
    assert (alone["value"], alone["reason"]) == (None, "needs images of both classes")


def test_interval_draws_patients():
    values = np.array([0.1, 0.2, 0.3, 0.9, 0.8, 0.5])
    patients = ["a", "a", "a", "b", "b", "c"]
    result = PatientBootstrap(patients, samples=400, seed=3).measure(WeightedMean(values, bounds=None, least=3))
    rng, means = np.random.default_rng(3), []
    groups = [values[:3], values[3:5], values[5:]]
    for _ in range(400):
        means.append(np.concatenate([groups[i] for i in rng.integers(0, 3, 3)]).mean())
    assert result["value"] == pytest.approx(values.mean())
    error = np.std(means) * np.sqrt(3 / 2)  # of three patients; 4.3027 is Student's quantile for two degrees of freedom
    wanted = (values.mean() - 4.3027 * error, values.mean() + 4.3027 * error)
    assert (result["low"], result["high"]) == pytest.approx(wanted, rel=1e-4)
    assert (result["n_images"], result["n_patients"]) == (6, 3)


def test_images_of_few_patients_give_a_wider_interval_than_as_many_patients():
    values = np.repeat(np.random.default_rng(0).random(10), 10)
    wide = PatientBootstrap([f"{i // 10}" for i in range(100)]).measure(WeightedMean(values, least=10))
    narrow = PatientBootstrap([f"{i}" for i in range(100)]).measure(WeightedMean(values))
    assert wide["high"] - wide["low"] > 2 * (narrow["high"] - narrow["low"])


def test_dice_per_patient_adds_up_its_slices():
    overlap = np.array([8.0, 0.0, 5.0, 0.0, np.nan])
    predicted = np.array([10.0, 4.0, 5.0, 7.0, np.nan])
    truth = np.array([12.0, 0.0, 5.0, 0.0, np.nan])
    patients = ["a", "a", "b", "c", "d"]  # c has no tumour, d no mask
    result = PatientBootstrap(patients).measure(PatientDice(patients, overlap, predicted, truth))
    assert result["value"] == pytest.approx((2 * 8 / (14 + 12) + 1) / 2)
    assert (result["n_images"], result["n_patients"]) == (3, 2)


def test_what_is_not_defined_has_a_reason():
    bootstrap = PatientBootstrap(["a", "b", "c"], samples=50)
    label = np.array([0, 0, 0])
    area = bootstrap.measure(AreaUnderCurve(label, np.full((3, 2), 0.5)))
    assert area["value"] is None
    assert area["reason"] == "needs images of both classes"
    sensitivity = bootstrap.measure(ClassificationScore("sensitivity", label, label, 2))
    assert sensitivity["value"] is None
    assert sensitivity["n_images"] == 0
    assert sensitivity["reason"] == "no positive images"
    empty = bootstrap.measure(WeightedMean(np.full(3, np.nan), "no masks"))
    assert empty["value"] is None
    assert empty["reason"] == "no masks"
    one = PatientBootstrap(["a", "a"]).measure(WeightedMean(np.array([0.0, 1.0])))
    assert one["value"] == 0.5
    assert one["low"] is None
    assert one["reason"] == "interval from 20 patients on"


def test_a_mean_of_scores_has_an_interval_where_each_of_them_has_enough_patients():
    """The combined score of 40 patients rests on the Dice of those few who have a mask."""
    right = WeightedMean((np.arange(40) % 4 > 0).astype(float))
    for masked, is_given in ((5, False), (25, True)):
        dice = WeightedMean(np.where(np.arange(40) < masked, 0.7 + 0.01 * np.arange(40) % 0.2, np.nan))
        combined = MeanOfScores([dice, right])
        combined.least = 20
        found = PatientBootstrap(np.arange(40), 200).measure(combined)
        assert (found["low"] is not None) == is_given
        assert found["n_patients"] == 40


@pytest.mark.parametrize(("classes", "has_interval"), [(2, True), (3, False)])
def test_a_mean_over_classes_needs_as_many_patients_whatever_it_is_called(classes, has_interval):
    """The sensitivity of two classes is one share; that of three is their mean, as the balanced accuracy is."""
    label, prob, predicted, _ = data(15 * classes, classes)
    label[:] = np.arange(len(label)) % classes
    columns = {"label": label, "predicted": predicted, "prob": prob}
    bootstrap = PatientBootstrap(np.arange(len(label)), 200)
    found = {name: bootstrap.measure(score(name, columns)) for name in ("acc", "sensitivity", "balanced_acc")}
    assert found["acc"]["low"] is not None
    assert (found["sensitivity"]["low"] is not None) == has_interval
    assert found["balanced_acc"]["reason"] == "interval from 30 patients of each class on"
    if classes > 2:
        assert found["sensitivity"] == found["balanced_acc"]


def test_draws_in_which_it_is_not_defined_are_told():
    label = np.array([0, 0, 1, 1])
    area = AreaUnderCurve(label, np.eye(2)[label])
    area.least = 2
    result = PatientBootstrap(list("abcd"), samples=300).measure(area)
    assert 0 < result["low"] < result["high"] == 1.0
    assert "of 300 draws in which it is defined" in result["reason"]


def test_where_enough_patients_count_but_not_in_each_part_the_reason_says_so():
    dice = np.full((25, 2), 0.5)
    dice[:9, 1] = np.nan
    found = PatientBootstrap(np.arange(25), 200).measure(score("dice", {"dice": dice}))
    assert found["reason"] == "interval from 20 patients on; in a part of it 16 count"
