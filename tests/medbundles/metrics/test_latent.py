"""The latent's scores against a plain float64 write-down."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from medbundles.metrics import Latent
from medbundles.metrics.scores import score
from medbundles.metrics.weighted import value_of


def latents(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    """mean and sigma; the second channel's mean says nothing: it hardly varies about 3."""
    generator = torch.Generator().manual_seed(1)
    mean, sigma = torch.randn(shape, generator=generator), 0.1 + torch.rand(shape, generator=generator)
    mean[:, 1] = 3 + 0.05 * mean[:, 1]
    return mean, sigma


@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (4, 3, 2, 3, 4)])
def test_scores_of_images_with_weights_equal_float64_by_hand(shape):
    mean, sigma = latents(*shape)
    columns = {name: value.numpy() for name, value in Latent()({"pred": {"mean": mean, "sigma": sigma}}).items()}
    weights = np.array([[1, 2, 0, 1]])
    drawn = [0, 1, 1, 3]
    m, s = mean.double().numpy()[drawn], sigma.double().numpy()[drawn]
    kl = [sum(0.5 * (a * a + b * b - math.log(b * b) - 1) for a, b in zip(x.flat, y.flat, strict=True))
          for x, y in zip(m, s, strict=True)]  # fmt: skip
    std = math.sqrt(m.var() + (s**2).mean())
    wanted = {
        "kl": np.mean(kl), "kl_per_element": np.mean(kl) / math.prod(shape[1:]),
        "active_channels": sum(m[:, c].var() > 0.01 for c in range(3)),
        "latent_mean": m.mean(), "latent_std": std, "latent_scale": 1 / std,
    }  # fmt: skip
    assert wanted["active_channels"] == 2
    for name, value in wanted.items():
        assert score(name, columns)(weights) == pytest.approx([value], rel=1e-9), name


def test_the_scale_brings_samples_to_a_spread_of_1():
    mean, sigma = latents(8, 3, 40, 40)
    columns = {name: value.numpy() for name, value in Latent()({"pred": {"mean": mean, "sigma": sigma}}).items()}
    sample = mean + sigma * torch.randn(mean.shape, generator=torch.Generator().manual_seed(2))
    assert (sample * value_of(score("latent_scale", columns), 8)).std().item() == pytest.approx(1, abs=0.01)


def test_a_latent_that_is_not_finite_has_no_score():
    mean, sigma = latents(2, 3, 4, 4)
    mean[0, 0, 0, 0] = math.inf
    columns = {name: value.numpy() for name, value in Latent()({"pred": {"mean": mean, "sigma": sigma}}).items()}
    assert math.isnan(value_of(score("active_channels", columns), 2))
    assert not math.isfinite(value_of(score("latent_std", columns), 2))
