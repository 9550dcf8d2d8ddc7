from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from medbundles.errors import ConfigError
from medbundles.losses import AutoencoderLoss
from medbundles.losses.autoencoder import kl_divergence


def prediction(batch=3, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    made = torch.rand(batch, 1, 6, 8, generator=generator)
    mean = torch.randn(batch, 2, 3, 4, generator=generator)
    sigma = torch.rand(batch, 2, 3, 4, generator=generator) + 0.1
    return {"reconstruction": made.to(dtype), "mean": mean.to(dtype), "sigma": sigma.to(dtype)}


def image(batch=3):
    return torch.rand(batch, 1, 6, 8, generator=torch.Generator().manual_seed(1))


def by_hand(pred):
    """The divergence of each image, in float64 and element by element."""
    means, sigmas = (pred[name].double().flatten(1).numpy() for name in ("mean", "sigma"))
    return [
        sum(0.5 * (m**2 + s**2 - math.log(s**2) - 1) for m, s in zip(*pair, strict=True))
        for pair in zip(means, sigmas, strict=True)
    ]


def test_the_divergence_is_the_integral_that_it_stands_for():
    mean, sigma = 0.7, 0.4
    q, p = stats.norm(mean, sigma), stats.norm(0, 1)
    integral, _ = integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), -6, 6)
    value = kl_divergence(torch.tensor([[mean]]), torch.tensor([[sigma]]))
    assert value.item() == pytest.approx(integral, rel=1e-5)
    assert value.item() == pytest.approx(0.5 * (0.49 + 0.16 - math.log(0.16) - 1), rel=1e-6)


def test_it_is_summed_over_the_latent_and_a_mean_over_the_batch():
    pred = prediction()
    values = kl_divergence(pred["mean"], pred["sigma"])
    np.testing.assert_allclose(values.numpy(), by_hand(pred), rtol=1e-5)
    loss = AutoencoderLoss(kl_weight=2.0)
    loss(pred, image())
    assert loss.parts["kl"].item() == pytest.approx(np.mean(by_hand(pred)), rel=1e-5)
    nothing = torch.zeros(2, 4, 3, 3)
    assert kl_divergence(nothing, nothing + 1).tolist() == [0, 0]


@pytest.mark.parametrize(("kind", "error"), [("l1", np.abs), ("l2", np.square)])
def test_the_sum_of_the_weighted_terms(kind, error):
    pred = prediction()
    loss = AutoencoderLoss(kind, kl_weight=0.01)
    total = loss(pred, image())
    difference = error(pred["reconstruction"].double().numpy() - image().double().numpy())
    assert loss.parts["recon"].item() == pytest.approx(difference.mean(), rel=1e-6)
    assert total.item() == pytest.approx(difference.mean() + 0.01 * np.mean(by_hand(pred)), rel=1e-5)
    each = loss.per_sample(pred, image())
    np.testing.assert_allclose(each["recon"][0].numpy(), difference.mean((1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(each["kl"][0].numpy(), by_hand(pred), rtol=1e-5)
    assert {name: int(count) for name, count in loss.counts.items()} == {"recon": 3, "kl": 3}


def test_the_gradient_is_that_of_the_formula():
    """d/d mean = mean / B and d/d sigma = (sigma - 1 / sigma) / B, times the weight."""
    pred = {name: value.requires_grad_() for name, value in prediction().items()}
    AutoencoderLoss(kl_weight=0.5)(pred, image()).backward()
    torch.testing.assert_close(pred["mean"].grad, 0.5 * pred["mean"].detach() / 3)
    sigma = pred["sigma"].detach()
    torch.testing.assert_close(pred["sigma"].grad, 0.5 * (sigma - 1 / sigma) / 3)


def test_under_bfloat16_it_is_summed_in_float32():
    pred = prediction(dtype=torch.bfloat16)
    loss = AutoencoderLoss(kl_weight=1.0)
    assert loss(pred, image()).dtype == torch.float32
    assert loss.parts["kl"].item() == pytest.approx(np.mean(by_hand(pred)), rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"recon_loss": "l3"}, "recon_loss: 'l3' is unknown; use one of: l1, l2"),
        ({"kl_weight": -1.0}, r"kl_weight: -1\.0 is not allowed"),
        ({"perceptual_weight": -0.5}, r"perceptual_weight: -0\.5 is not allowed"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        AutoencoderLoss(**settings)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_another_loss_may_measure_the_reconstruction(reduction):
    pred, target = prediction(), image()
    loss = AutoencoderLoss(torch.nn.SmoothL1Loss(beta=0.5, reduction=reduction), kl_weight=0.0)
    gap = np.abs(pred["reconstruction"].double().numpy() - target.double().numpy())
    each = np.where(gap < 0.5, gap**2, gap - 0.25).mean(axis=(1, 2, 3))
    assert loss(pred, target).item() == pytest.approx(each.mean(), rel=1e-5)
    np.testing.assert_allclose(loss.per_sample(pred, target)["recon"][0].numpy(), each, rtol=1e-5)


def test_a_loss_that_adds_up_is_refused():
    with pytest.raises(ConfigError, match="loss#recon_loss: L1Loss adds up instead of averaging"):
        AutoencoderLoss(torch.nn.L1Loss(reduction="sum"))
