"""Noise outside the head: where, how much, and the same each time."""

from __future__ import annotations

import torch

from medbundles.transforms import BackgroundNoise


def test_only_the_background_becomes_noise_and_the_same_each_time():
    image = torch.zeros(2, 20, 20, 20)
    image[:, 5:15, 5:15, 5:15] = torch.randn(2, 10, 10, 10, generator=torch.Generator().manual_seed(0))
    before = image.clone()
    first, again = (BackgroundNoise()({"image": image, "name": "a"}) for _ in range(2))
    assert torch.equal(first["image"], again["image"])
    assert torch.equal(image, before)
    inside = torch.zeros_like(image, dtype=torch.bool)
    inside[:, 5:15, 5:15, 5:15] = True
    assert torch.equal(first["image"][inside], image[inside])
    noise = first["image"][~inside]
    assert abs(noise.mean()) < 0.05
    assert abs(noise.std() - 1) < 0.05
    assert not torch.equal(first["image"], BackgroundNoise()({"image": image + inside})["image"] - inside * 1.0)


def test_off_it_does_nothing():
    image = torch.zeros(1, 4, 4, 4)
    assert BackgroundNoise(enabled=False)({"image": image})["image"] is image
