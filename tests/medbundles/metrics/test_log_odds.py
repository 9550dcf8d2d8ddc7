from __future__ import annotations

import numpy as np
import torch
from ignite.engine import Engine

from medbundles.metrics import Cases, Classes, Score
from medbundles.metrics.classification import AreaUnderCurve
from medbundles.metrics.log_odds import log_odds
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
