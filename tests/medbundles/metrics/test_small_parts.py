"""What the engine test does not see: errors, and one metric alone."""

from __future__ import annotations

import pytest
import torch

from medbundles.errors import ConfigError
from medbundles.metrics import ConfusionScore, MeanDice, confusion_score, key_metric


def test_key_metric():
    metrics = {"val_dice": MeanDice(), "val_acc": ConfusionScore("accuracy")}
    assert key_metric(metrics, "val_acc") == {"val_acc": metrics["val_acc"]}
    with pytest.raises(ConfigError, match="unknown metric 'val_dise'; choose one of: val_dice, val_acc"):
        key_metric(metrics, "val_dise")


@pytest.mark.parametrize("build", [ConfusionScore, lambda score: confusion_score(torch.eye(2), score)])
def test_an_unknown_score_lists_the_scores(build):
    message = "unknown score 'recal'; choose one of: accuracy, sensitivity, recall, specificity, precision, f1"
    with pytest.raises(ConfigError, match=message):
        build("recal")


def test_an_unknown_average_lists_the_averages():
    with pytest.raises(ConfigError, match="unknown average 'micro'; choose one of: binary, macro"):
        ConfusionScore("f1", average="micro")


def test_the_positive_class_is_one():
    matrix = torch.tensor([[8, 2], [1, 3]])  # rows are the true classes
    assert confusion_score(matrix, "sensitivity") == confusion_score(matrix, "recall") == 3 / 4
    assert confusion_score(matrix, "specificity") == 8 / 10
    assert confusion_score(matrix, "precision") == 3 / 5
    assert confusion_score(matrix, "accuracy") == 11 / 14
