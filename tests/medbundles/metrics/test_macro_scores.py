"""Macro scores and the report per class, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from medbundles.metrics import ConfusionScore, class_report, confusion_score
from medbundles.metrics.classification import confusion_counts

sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the reference")


def labels(classes: int):
    """True and predicted classes of many small data sets; in some a class has no samples, predictions, or both."""
    rng = np.random.default_rng(classes)
    for size in (1, 2, 3, 5, 8, 40):
        for _ in range(20):
            yield rng.integers(0, classes, size), rng.integers(0, classes, size)


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_macro_scores_equal_scikit_learn(classes):
    for label, predicted in labels(classes):
        matrix = torch.from_numpy(confusion_counts(label, predicted, classes))
        wanted = sklearn.precision_recall_fscore_support(label, predicted, average="macro", zero_division=0)[:3]
        found = [confusion_score(matrix, score, "macro") for score in ("precision", "recall", "f1")]
        assert found == pytest.approx(wanted, abs=1e-12)
        assert confusion_score(matrix, "accuracy", "macro") == pytest.approx(np.mean(label == predicted))


def test_specificity_is_the_mean_over_the_classes_that_have_others():
    assert confusion_score(torch.tensor([[8, 2], [1, 3]]), "specificity", "macro") == pytest.approx((0.75 + 0.8) / 2)
    assert np.isnan(confusion_score(torch.tensor([[5, 0], [0, 0]]), "specificity", "macro"))


def test_the_metric_on_an_engine_is_macro():
    label, predicted = torch.tensor([0, 0, 0, 1, 1, 1, 1]), torch.tensor([0, 1, 1, 1, 1, 1, 0])
    engine = Engine(lambda engine, batch: {"pred": {"class": predicted[batch]}, "label": {"cls": label[batch]}})
    for name in ("precision", "recall", "f1"):
        ConfusionScore(name, average="macro").attach(engine, name)
    engine.run([slice(0, 4), slice(4, 7)])
    wanted = sklearn.precision_recall_fscore_support(label, predicted, average="macro")
    assert [engine.state.metrics[name] for name in ("precision", "recall", "f1")] == pytest.approx(wanted[:3])


@pytest.mark.parametrize("classes", [2, 3])
def test_the_report_per_class_equals_scikit_learn(classes):
    names = [f"class {c}" for c in range(classes)]
    for label, predicted in labels(classes):
        wanted = sklearn.precision_recall_fscore_support(label, predicted, labels=range(classes), zero_division=np.nan)
        report = class_report(confusion_counts(label, predicted, classes), names)
        for c, (precision, recall, f1, support) in enumerate(zip(*wanted, strict=True)):
            if np.isnan(precision):  # never predicted: 0 if it has samples, as in the macro mean
                precision = 0 if support else None
            expected = {"precision": precision, "recall": recall, "f1": f1, "support": support}
            assert report[names[c]] == {
                k: None if v is None or np.isnan(v) else pytest.approx(v) for k, v in expected.items()
            }
