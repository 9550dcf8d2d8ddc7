"""Macro scores and the report per class, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from medbundles.metrics import Cases, Classes, Score, class_report
from medbundles.metrics.classification import ClassificationScore, confusion_counts, rate
from medbundles.metrics.weighted import value_of

sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the reference")


def labels(classes: int):
    """True and predicted classes of many small data sets; in some a class has no samples, predictions, or both."""
    rng = np.random.default_rng(classes)
    for size in (1, 2, 3, 5, 8, 40):
        for _ in range(20):
            yield rng.integers(0, classes, size), rng.integers(0, classes, size)


def score(kind: str, label: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    return value_of(ClassificationScore(kind, label, predicted, classes), len(label))


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_macro_scores_equal_scikit_learn(classes):
    compared = 0
    for label, predicted in labels(classes):
        found = [score(f"{kind}_macro", label, predicted, classes) for kind in ("precision", "recall", "f1")]
        if len(set(label)) == 1:  # a mean over one class would be another quantity
            assert np.isnan(found).all()
            continue
        precision, _, f1 = sklearn.precision_recall_fscore_support(
            label, predicted, average="macro", zero_division=0
        )[:3]  # fmt: skip
        # recall of a class without samples is not 0 but undefined, as in the balanced accuracy
        recall = np.mean([np.mean(predicted[label == c] == c) for c in np.unique(label)])
        assert found == pytest.approx([precision, recall, f1], abs=1e-12)
        assert score("acc", label, predicted, classes) == pytest.approx(np.mean(label == predicted))
        compared += 1
    assert compared > 60


def test_the_positive_class_is_one():
    label, predicted = np.repeat([0, 0, 1, 1], [8, 2, 1, 3]), np.repeat([0, 1, 0, 1], [8, 2, 1, 3])
    assert score("sensitivity", label, predicted, 2) == 3 / 4
    assert score("specificity", label, predicted, 2) == 8 / 10
    assert score("precision", label, predicted, 2) == 3 / 5
    assert score("acc", label, predicted, 2) == 11 / 14


def test_specificity_of_each_class_against_the_others():
    label, predicted = np.repeat([0, 0, 1, 1], [8, 2, 1, 3]), np.repeat([0, 1, 0, 1], [8, 2, 1, 3])
    assert confusion_counts(label, predicted, 2).tolist() == [[8, 2], [1, 3]]
    ones = np.ones((1, 14))
    found = [rate("specificity", label, predicted, c, ones)[0] for c in (0, 1)]
    assert np.mean(found) == pytest.approx((0.75 + 0.8) / 2)
    zeros = np.zeros(5, dtype=int)
    assert np.isnan(rate("specificity", zeros, zeros, 0, np.ones((1, 5))))[0]


def test_the_metric_on_an_engine_is_macro():
    label, predicted = torch.tensor([0, 0, 0, 1, 1, 1, 1]), torch.tensor([0, 1, 1, 1, 1, 1, 0])
    prob = torch.eye(2)[predicted]
    engine = Engine(
        lambda engine, batch: {"pred": {"class": predicted[batch], "prob": prob[batch]}, "label": {"cls": label[batch]}}
    )
    cases = Cases([Classes()])
    for name in ("precision", "recall", "f1"):
        Score(f"{name}_macro", cases).attach(engine, name)
    engine.run([slice(0, 4), slice(4, 7)])
    wanted = sklearn.precision_recall_fscore_support(label, predicted, average="macro")
    assert [engine.state.metrics[name] for name in ("precision", "recall", "f1")] == pytest.approx(wanted[:3])


@pytest.mark.parametrize("classes", [2, 3])
def test_the_report_per_class_equals_scikit_learn(classes):
    names = [f"class {c}" for c in range(classes)]
    for label, predicted in labels(classes):
        wanted = sklearn.precision_recall_fscore_support(label, predicted, labels=range(classes), zero_division=np.nan)
        report = class_report(label, predicted, names)
        for c, (precision, recall, f1, support) in enumerate(zip(*wanted, strict=True)):
            if np.isnan(precision):  # never predicted: 0 if it has samples, as in the macro mean
                precision = 0 if support else None
            expected = {"precision": precision, "recall": recall, "f1": f1, "support": support}
            assert report[names[c]] == {
                k: None if v is None or np.isnan(v) else pytest.approx(v) for k, v in expected.items()
            }
