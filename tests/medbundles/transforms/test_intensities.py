from __future__ import annotations

import numpy as np
import pytest

from medbundles.transforms.intensities import change

OFF = {"brightness": 1.0, "contrast": 1.0, "gamma": 1.0, "noise": 0.0}


def changed(image: np.ndarray, seed: int = 0, **factors: float) -> np.ndarray:
    """The image in float32 afterwards; its head is where it is not 0."""
    out = image.astype(np.float32)
    change(out, image != 0, rng=np.random.Generator(np.random.SFC64(seed)), **{**OFF, **factors})
    return out


def image(*shape: int) -> np.ndarray:
    """Two channels of positive values, a third of them background."""
    values = np.random.default_rng(3).uniform(0.5, 4, size=(2, *shape))
    return values * (np.random.default_rng(4).uniform(size=values.shape) > 1 / 3)


@pytest.mark.parametrize("shape", [(9, 11), (5, 6, 7)])
def test_each_change_by_hand_in_float64(shape):
    x, head = image(*shape), image(*shape) != 0
    axes = tuple(range(1, x.ndim))
    mean = x.sum(axis=axes, keepdims=True) / head.sum(axis=axes, keepdims=True)
    np.testing.assert_allclose(changed(x, brightness=1.2), 1.2 * x, rtol=1e-6)
    np.testing.assert_allclose(changed(x, contrast=1.3), np.maximum(mean + 1.3 * (x - mean), 0) * head, atol=1e-5)
    np.testing.assert_allclose(changed(x, gamma=0.8), x.max() * (x / x.max()) ** 0.8, rtol=1e-5)
    grain = np.random.Generator(np.random.SFC64(0)).standard_normal(x.shape, dtype=np.float32)
    np.testing.assert_allclose(changed(x, noise=0.1), np.maximum(x + 0.1 * x.max() * grain, 0) * head, atol=1e-5)


def test_order_is_brightness_contrast_gamma_noise():
    """One after the other gives the same bits; the noise is drawn last, from what the others left as the top."""
    x = image(8, 8)
    steps = changed(changed(changed(changed(x, brightness=0.9), contrast=1.1), gamma=1.2), noise=0.05)
    head = x != 0  # contrast may put a dark pixel of the head to exactly 0
    together = changed(x, brightness=0.9, contrast=1.1, gamma=1.2, noise=0.05)
    still = head & (changed(changed(x, brightness=0.9), contrast=1.1) != 0)
    assert still.sum() > 50
    np.testing.assert_array_equal(together[still], steps[still])


def test_nothing_to_change_changes_no_bit_and_black_images_stay_black():
    x = image(8, 8).astype(np.float32)
    np.testing.assert_array_equal(changed(x), x)
    black = np.zeros((1, 4, 4))
    assert not changed(black, brightness=1.2, contrast=0.8, gamma=0.7, noise=0.1).any()
