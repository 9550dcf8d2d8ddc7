from __future__ import annotations

import numpy as np
import pytest
import torch

from medbundles.errors import ConfigError
from medbundles.losses import LDAMLoss
from medbundles.losses.ldam import drw_weights, ldam_margins

COUNTS = [75, 210]
LOGITS = torch.tensor([[0.3, -0.2], [0.1, 0.4], [-0.5, 0.25], [0.9, -0.9]])
LABEL = torch.tensor([0, 1, 0, 1])


def by_hand(logits: np.ndarray, label: np.ndarray, counts: list[int], max_m: float, s: float) -> np.ndarray:
    """The paper's formula in float64, sample by sample."""
    n = np.asarray(counts, dtype=float) ** -0.25
    margin = max_m * n / n.max()
    losses = []
    for z, y in zip(logits.astype(float), label, strict=True):
        z = z.copy()
        z[y] -= margin[y]
        losses.append(np.logaddexp.reduce(s * z) - s * z[y])
    return np.array(losses)


def test_margins_of_the_papers_formula():
    assert ldam_margins(COUNTS, 0.5).tolist() == pytest.approx([0.5, 0.386528], abs=1e-6)


def test_weights_of_both_rules():
    assert drw_weights(COUNTS).tolist() == pytest.approx([(210 / 75) ** 0.5, 1])
    assert drw_weights(COUNTS, "effective").tolist() == pytest.approx([1.471068, 0.528932], abs=1e-6)


def test_known_values():
    loss = LDAMLoss(COUNTS, max_m=0.5, s=30, drw_start_epoch=3, drw_divide="batch")
    assert float(loss(LOGITS, LABEL)) == pytest.approx(26.614183, abs=1e-5)
    loss.set_epoch(3)
    assert float(loss(LOGITS, LABEL)) == pytest.approx(24.720749, abs=1e-5)


@pytest.mark.parametrize(("max_m", "s", "counts"), [(0.5, 30, [75, 210]), (0.3, 7, [4, 100, 20]), (0, 1, [5, 5])])
def test_against_the_formula_in_float64(max_m, s, counts):
    rng = np.random.default_rng(0)
    logits, label = rng.normal(size=(50, len(counts))), rng.integers(0, len(counts), 50)
    loss = LDAMLoss(counts, max_m=max_m, s=s)
    values, weights = loss.per_sample(torch.tensor(logits), torch.tensor(label))
    assert values.numpy() == pytest.approx(by_hand(logits, label, counts, max_m, s), rel=1e-5)
    assert (weights == 1).all()


def test_scaled_logits_give_the_same():
    plain, scaled = LDAMLoss(COUNTS), LDAMLoss(COUNTS, logit_scale=30)
    assert float(scaled(30 * LOGITS, LABEL)) == pytest.approx(float(plain(LOGITS, LABEL)), rel=1e-6)


def test_cross_entropy_is_torchs():
    loss = LDAMLoss(COUNTS, name="cross_entropy", s=1)
    assert torch.allclose(loss(LOGITS, LABEL), torch.nn.functional.cross_entropy(LOGITS, LABEL))


def test_weighting_begins_in_its_epoch_and_can_go_back():
    """A run that is resumed before it must not keep what a later epoch had."""
    loss = LDAMLoss(COUNTS, drw_start_epoch=15)
    assert [bool(loss.set_epoch(e)) for e in (14, 15, 16, 1)] == [False, True, True, False]
    assert loss.weights.tolist() == [1, 1]
    off = LDAMLoss(COUNTS, drw_start_epoch=False)
    assert not off.set_epoch(1000)


def test_divided_by_the_expected_weight_a_class_weighs_the_same_in_every_batch():
    """And the mean of many small batches is that of all samples; the authors' division pulls each batch to 1."""
    rng = np.random.default_rng(1)
    label = torch.tensor(rng.permutation(np.repeat([0, 1], [75, 210]))[:284])
    logits = torch.tensor(rng.normal(size=(284, 2)) / 10)
    given = {"s": 1.0, "max_m": 0.0, "drw_start_epoch": 1}
    means = {}
    for divide in ("expected", "batch"):
        loss = LDAMLoss(COUNTS, drw_divide=divide, **given)
        loss.set_epoch(1)
        means[divide] = np.mean([float(loss(z, y)) for z, y in zip(logits.split(4), label.split(4), strict=True)])
    weight = np.where(label.numpy() == 0, (210 / 75) ** 0.5, 1.0)
    alone = torch.nn.functional.cross_entropy(logits, label, reduction="none").numpy()
    expected = (75 * (210 / 75) ** 0.5 + 210) / 285
    assert means["expected"] == pytest.approx((weight * alone).mean() / expected, rel=1e-6)
    assert means["batch"] != pytest.approx(means["expected"], rel=1e-3)
    loss = LDAMLoss(COUNTS, **given)
    loss.set_epoch(1)
    values, weights = loss.per_sample(logits, label)
    assert (weights == 1).all()
    assert float(loss(logits, label)) == pytest.approx(float(values.mean()), rel=1e-6)


def test_total_weight_tells_what_the_mean_was_divided_by():
    loss = LDAMLoss(COUNTS, drw_start_epoch=1, drw_divide="batch")
    loss.set_epoch(1)
    loss(LOGITS, LABEL)
    assert float(loss.total_weight) == pytest.approx(2 * (210 / 75) ** 0.5 + 2)
    loss = LDAMLoss(COUNTS, drw_start_epoch=1)
    loss(LOGITS, LABEL)
    assert float(loss.total_weight) == 4


def test_half_precision_logits_are_computed_in_float32():
    assert LDAMLoss(COUNTS)(LOGITS.bfloat16(), LABEL).dtype == torch.float32


@pytest.mark.parametrize(
    "wrong",
    [{"name": "focal"}, {"drw_rule": "log"}, {"counts": [0, 3]}, {"counts": [3]}, {"max_m": -1}, {"s": 0},
     {"drw_beta": 1.0}, {"logit_scale": 0}, {"drw_divide": "n"}],
)  # fmt: skip
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(ConfigError):
        LDAMLoss(**{"counts": COUNTS, **wrong})
