"""The validation loss of a weighted loss does not depend on the batches."""

from __future__ import annotations

import math

import pytest
import torch
from ignite.engine import Engine

from medbundles.errors import ConfigError
from medbundles.losses import LDAMLoss
from medbundles.metrics import Cases, Losses, Score


class Given:
    """Takes the first logit as the loss and the second as the weight."""

    def per_sample(self, logits: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return logits[:, 0], logits[:, 1]


def run(loss, logits, label, sizes) -> float:
    engine = Engine(
        lambda engine, rows: {"image": logits[rows], "pred": {"cls": logits[rows]}, "label": {"cls": label[rows]}}
    )
    Score("loss", Cases([Losses(loss, "cls")])).attach(engine, "val_loss")
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    engine.run([slice(start, start + size) for start, size in zip(starts, sizes, strict=True)])
    return engine.state.metrics["val_loss"]


@pytest.mark.parametrize("sizes", [[4], [1, 3], [2, 1, 1]])
def test_ldam_with_and_without_weights(sizes):
    logits = torch.tensor([[0.3, -0.2], [0.1, 0.4], [-0.5, 0.25], [0.9, -0.9]])
    label = torch.tensor([0, 1, 0, 1])
    loss = LDAMLoss(counts=[75, 210], max_m=0.5, s=30, drw_start_epoch=2)
    loss.set_epoch(1)
    assert run(loss, logits, label, sizes) == pytest.approx(26.614183, abs=1e-5)
    loss.set_epoch(2)  # the metric holds the module: its state counts
    assert run(loss, logits, label, sizes) == pytest.approx(24.720749, abs=1e-5)


def test_a_weight_of_0_hides_a_nan_and_any_other_shows_it():
    label = torch.zeros(3, dtype=torch.int64)
    logits = torch.tensor([[1.0, 1.0], [math.nan, 0.0], [4.0, 3.0]])
    assert run(Given(), logits, label, [2, 1]) == pytest.approx((1 + 12) / 4)
    logits[1, 1] = 0.5
    assert math.isnan(run(Given(), logits, label, [2, 1]))
    assert math.isnan(run(Given(), torch.zeros(3, 2), label, [3]))


def test_a_loss_without_values_per_sample_is_a_mean_over_samples():
    logits, label = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.5, 0.5]]), torch.tensor([0, 0, 1])
    found = run(torch.nn.CrossEntropyLoss(), logits, label, [2, 1])
    assert found == pytest.approx(float(torch.nn.functional.cross_entropy(logits.double(), label)), abs=1e-6)
    weighted = torch.nn.CrossEntropyLoss(torch.tensor([1.0, 3.0]))  # of a single sample its weight would cancel out
    with pytest.raises(ConfigError, match="the weight of its class cancels out"):
        run(weighted, logits, label, [2, 1])
