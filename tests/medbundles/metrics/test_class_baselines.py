"""What costs nothing beside every class: features by hand, the regression against scikit-learn's own pipeline."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medbundles.data import SeededDataset
from medbundles.errors import DataError
from medbundles.metrics import ClassBaselines, PatientBootstrap, class_baseline_scores, score
from medbundles.metrics.class_baselines import simple_features
from medbundles.metrics.weighted import value_of
from medbundles.reports.evaluation import Evaluation
from medbundles.reports.predictions_table import read_predictions


class Folder:
    def __init__(self, path):
        self.path = path

    def folder(self, name):
        return self.path / name


def heads(labels, seed=0) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (n, 2, 8, 9) with a background of -4 and heads whose mean follows the class a little."""
    rng = np.random.default_rng(seed)
    images = np.full((len(labels), 2, 8, 9), -4.0)
    for image, label in zip(images, labels, strict=True):
        image[:, 1 : rng.integers(4, 8), 2:7] = 0
        inside = image == 0
        image[inside] = rng.normal(0.4 * label, 1 + 0.2 * rng.uniform(), inside.sum())
    return torch.from_numpy(images).float(), torch.tensor(labels)


def dataset(images, labels) -> SeededDataset:
    items = [{"image": str(i), "at": i, "label": int(label)} for i, label in enumerate(labels)]
    return SeededDataset(items, lambda item: {**item, "image": images[item["at"]]}, augmentation=Never())


class Never:
    def set_random_state(self, seed=None):
        raise AssertionError("a baseline is fitted on what is not augmented")


def answers(measure, images, classes=2):
    """The columns as NumPy arrays."""
    prob = torch.full((len(images), classes), 1 / classes, dtype=torch.float64)
    return {k: v.numpy() for k, v in measure({"image": images, "pred": {"prob": prob}}).items()}


def test_features_are_mean_spread_and_share_of_the_head():
    image = torch.full((1, 2, 4, 5), -4.0)
    image[0, 0, 1:3, 1:4] = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    wanted = [3.5, 0, np.std([1, 2, 3, 4, 5, 6]), 0, 6 / 20, 0]  # the second channel holds nothing
    assert simple_features(image)[0].tolist() == pytest.approx(wanted)


def test_the_regression_is_scikit_learns_on_standardised_features():
    images, labels = heads([0, 1, 1] * 30)
    found = answers(ClassBaselines(dataset(images[:60], labels[:60])), images[60:])
    features = simple_features(images).numpy()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(features[:60], labels[:60])
    np.testing.assert_allclose(found["logistic"], model.predict_proba(features[60:]), atol=1e-9)
    assert found["constant"].tolist() == [1] * 30


def test_of_three_classes_one_is_not_in_the_training_part():
    images, labels = heads([0, 2, 0] * 20)
    found = answers(ClassBaselines(dataset(images, labels)), images, classes=3)
    assert (found["logistic"][:, 1] == 0).all()
    assert found["logistic"].sum(1) == pytest.approx(1)
    assert set(found["constant"]) == {0}


def test_they_are_kept_with_the_run_and_read_from_there(tmp_path):
    images, labels = heads([0, 1] * 20)
    measure = ClassBaselines(dataset(images, labels), run_dir=Folder(tmp_path))
    path, content = measure.record()
    assert path == tmp_path / "config" / "class_baselines.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    assert content["images"] == 40
    for mine, theirs in zip(
        answers(measure, images).values(), answers(ClassBaselines(file=str(path)), images).values(), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    path.write_text('{"constant": 1}')
    with pytest.raises(DataError, match=r"class_baselines\.json: lacks classes, mean, std, weights, bias"):
        answers(ClassBaselines(file=str(path)), images)


def test_at_most_so_many_images_are_read():
    images, labels = heads([0, 1] * 50)
    assert ClassBaselines(dataset(images, labels), most=10).fitted["images"] == 10


def columns(prob, label, measure, images):
    names = np.array([f"case_{i}" for i in range(len(label))])
    found = {"name": names, "patient": names, "source": np.full(len(label), "x"), "file": names}
    return (
        found
        | {"label": label, "predicted": (prob > 0.5).astype(int), "prob": np.stack([1 - prob, prob], 1)}
        | answers(measure, images)
    )


def test_scores_stand_beside_the_networks_and_survive_the_table(tmp_path):
    images, labels = heads([0, 1, 1] * 20)
    prob = np.random.default_rng(1).uniform(size=60) * 0.6 + 0.3 * labels.numpy()
    given = columns(prob, labels.numpy(), ClassBaselines(dataset(images, labels)), images)
    value = {
        name: value_of(score(name, given), 60)
        for name in ("acc_constant", "acc_logistic", "auc_logistic", "acc_over_constant", "auc_over_logistic")
    }
    mine, logistic = given["predicted"], given["logistic"]
    assert value["acc_constant"] == pytest.approx(2 / 3)
    assert value["acc_logistic"] == pytest.approx(accuracy_score(labels, logistic.argmax(1)))
    assert value["auc_logistic"] == pytest.approx(roc_auc_score(labels, logistic[:, 1]))
    assert value["acc_over_constant"] == pytest.approx(accuracy_score(labels, mine) - 2 / 3)
    assert value["auc_over_logistic"] == pytest.approx(
        roc_auc_score(labels, prob) - roc_auc_score(labels, logistic[:, 1])
    )
    dice = given | {"dice": np.where(np.arange(60) < 30, 0.5, np.nan)}
    assert value_of(score("combined_constant", dice), 60) == pytest.approx((0.5 + 2 / 3) / 2)
    evaluation = Evaluation(given, ["no", "yes"], bootstrap=200)
    evaluation.write_predictions(tmp_path, "test")
    again = read_predictions(tmp_path / "predictions.csv")
    order = np.argsort(given["name"])
    np.testing.assert_array_equal(again["logistic"], logistic[order])
    np.testing.assert_array_equal(again["constant"], given["constant"][order])
    assert "better than a logistic regression on mean, spread and size (AUC of the model minus its: " in " ".join(
        evaluation.table().split()
    )


@pytest.mark.parametrize("training", [None, [1] * 20], ids=["weights without a file", "one class"])
def test_what_is_not_known_is_said(training):
    images, labels = heads([0, 1] * 10)
    measure = ClassBaselines(None if training is None else dataset(images, training))
    given = columns(np.linspace(0, 1, 20), labels.numpy(), measure, images)
    metrics = Evaluation(given, ["no", "yes"], bootstrap=50).metrics["all"]
    for name in ("acc_logistic", "auc_logistic", "auc_over_logistic"):
        assert metrics[name]["value"] is None
        assert metrics[name]["reason"] == class_baseline_scores.UNKNOWN
    assert metrics["acc_constant"]["value"] == (None if training is None else 0.5)
    assert metrics["acc"]["value"] == pytest.approx(0.5, abs=0.15)
    assert math.isnan(value_of(score("auc_logistic", given), 20))


def test_the_difference_is_drawn_in_pairs():
    """Nearly the same answers: the difference hardly varies, however much the two accuracies do."""
    images, labels = heads([0, 1, 1] * 100)
    prob = np.full(300, 0.9)
    prob[:6] = 0.1  # two right instead of wrong, four wrong instead of right
    given = columns(prob, labels.numpy(), ClassBaselines(dataset(images, labels)), images)
    draw = PatientBootstrap(given["patient"], 500)
    found, alone = (draw.measure(score(name, given)) for name in ("acc_over_constant", "acc_constant"))
    assert found["value"] == pytest.approx(-2 / 300)
    assert found["low"] < found["value"] < found["high"]
    assert found["high"] - found["low"] < 0.5 * (alone["high"] - alone["low"])
