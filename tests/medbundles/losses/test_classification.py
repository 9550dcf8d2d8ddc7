from __future__ import annotations

import pytest
import torch

from medbundles.errors import ConfigError
from medbundles.losses import ClassificationLoss


def batch(classes):
    generator = torch.Generator().manual_seed(classes)
    return 3 * torch.randn(4, classes, generator=generator, dtype=torch.float64), torch.tensor([1, 0, classes - 1, 1])


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("name", "gamma"), [("cross_entropy", 2.0), ("focal", 2.0), ("focal", 0.7), ("focal", 0.0)])
def test_formula(name, gamma, smoothing, classes):
    logits, label = batch(classes)
    expected = []
    for row, true in zip(logits, label, strict=True):
        p = row.exp() / row.exp().sum()
        target = torch.full((classes,), smoothing / classes, dtype=torch.float64)
        target[true] = 1 - smoothing + smoothing / classes
        power = gamma if name == "focal" else 0.0
        expected.append(sum(-target[c] * (1 - p[c]) ** power * p[c].log() for c in range(classes)))
    loss = ClassificationLoss(name, smoothing, gamma)(logits, label)
    torch.testing.assert_close(loss.double(), torch.stack(expected), atol=1e-5 if name == "focal" else 1e-12, rtol=1e-6)


def test_smoothing_of_two_classes_is_torchs_and_not_the_guides():
    loss = ClassificationLoss("cross_entropy", 0.1)
    p = torch.tensor([0.05, 0.95])
    assert loss(p.log()[None], torch.tensor([1])).item() == pytest.approx(float(-(p * p.log()).sum()), rel=1e-5)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"name": "bce"}, "classification loss: 'bce' is unknown; use one of: cross_entropy, focal"),
        ({"label_smoothing": 1.0}, "label_smoothing: 1.0 is not allowed; it must be at least 0 and below 1"),
        ({"gamma": -0.5}, "gamma of the classification loss: -0.5 is not allowed; it must be at least 0"),
    ],
)
def test_misuse(kwargs, message):
    with pytest.raises(ConfigError, match=message):
        ClassificationLoss(**kwargs)
