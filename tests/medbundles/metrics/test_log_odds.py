from __future__ import annotations

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from medbundles.metrics import Cases, Classes, Score
from medbundles.metrics.classification import AreaUnderCurve
from medbundles.metrics.log_odds import certainty, log_odds
from medbundles.transforms import Predictions


def test_it_is_the_difference_of_two_logits():
    logits = torch.tensor([[1.0, -2.0], [0.0, 700.0], [-300.0, 20.0]], dtype=torch.float64)
    found = log_odds(logits.softmax(dim=1))
    assert torch.allclose(found, logits[:, 1] - logits[:, 0])


def test_an_order_survives_where_all_probabilities_are_one():
    """Logits as a scale of 30 gives them: the second class is certain for all, and still ranked."""
    logits = torch.tensor([[-20.0, 20.0], [-25.0, 25.0], [-22.0, 22.0], [-29.0, 29.0]])
    label = torch.tensor([0, 1, 0, 1])
    pred = Predictions()({"pred": logits})["pred"]
    assert (pred["prob"][:, 1] == 1).all()
    engine = Engine(lambda engine, batch: {"pred": pred, "label": {"cls": label}})
    Score("auc", Cases([Classes()])).attach(engine, "auc")
    engine.run([0])
    assert engine.state.metrics["auc"] == 1.0
    area = AreaUnderCurve(label.numpy(), pred["prob"].numpy())
    assert area(np.ones((1, 4)))[0] == 1.0


def test_of_three_classes_too():
    logits = torch.tensor([[60.0, 0, 0], [45, 0, 0], [40, 0, 0], [42, 0, 0], [0, 5, 0], [0, 0, 5]]).double()
    prob = logits.softmax(1).numpy()
    assert (prob[:4, 0] == 1).all()
    assert np.argsort(certainty(prob, 0))[2:].tolist() == [2, 3, 1, 0]
    assert certainty(prob, 1)[4] == prob[4, 1]
    label = np.array([0, 0, 1, 2, 1, 2])
    pairs = []
    for c in range(3):
        odds = logits[:, c] - torch.cat([logits[:, :c], logits[:, c + 1 :]], 1).logsumexp(1)
        positive, negative = odds[label == c], odds[label != c]
        pairs.append(
            (positive[:, None] > negative).double().mean() + (positive[:, None] == negative).double().mean() / 2
        )
    assert AreaUnderCurve(label, prob)(np.ones((1, 6)))[0] == pytest.approx(np.mean(pairs))


def test_a_nan_is_no_sure_positive():
    prob = np.array([[0.5, 0.5], [0.2, 0.8], [np.nan, np.nan], [0.3, 0.7]])
    area = AreaUnderCurve(np.array([0, 1, 1, 0]), prob)
    assert np.isnan(area(np.ones((1, 4)))).all()
    assert area.undefined == "the network gives NaN"
