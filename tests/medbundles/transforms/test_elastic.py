from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from medbundles.transforms import elastic_field
from medbundles.transforms.elastic import kernel_radius, smooth


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(seed))


@pytest.mark.parametrize(("shape", "alpha", "sigma"), [((256, 256), 50, 5), ((97, 130), 20, 3), ((40, 33), 8, 1.7)])
def test_is_the_published_formula(shape, alpha, sigma):
    radius = kernel_radius(sigma)
    size = (2, shape[0] + 2 * radius, shape[1] + 2 * radius)
    noise = rng().random(size, dtype=np.float32).astype(np.float64) * 2 - 1
    expected = alpha * gaussian_filter(noise, (0, sigma, sigma), truncate=4)[:, radius:-radius, radius:-radius]
    np.testing.assert_allclose(elastic_field(shape, alpha, sigma, rng()), expected, atol=2e-5 * alpha)


def test_standard_deviation():
    field = np.stack([elastic_field((256, 256), 50, 5, rng(seed)) for seed in range(10)])
    assert field.std() == pytest.approx(50 / (np.sqrt(3) * 2 * np.sqrt(np.pi) * 5), rel=0.05)
    assert field[..., :8].std() == pytest.approx(field.std(), rel=0.15)  # as strong at the border


def test_threads_do_not_change_a_bit():
    before = torch.get_num_threads()
    fields = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        fields.append(elastic_field((251, 260), 50, 5, rng()))
    torch.set_num_threads(before)
    np.testing.assert_array_equal(fields[0], fields[1])
    np.testing.assert_array_equal(fields[0], fields[2])


def test_smoothing_keeps_a_constant():
    torch.testing.assert_close(smooth(torch.ones(1, 100, 90), 2.0), torch.ones(1, 84, 74))
