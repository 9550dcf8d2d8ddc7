from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from medbundles.transforms import ImageAugmentation

OFF = dict.fromkeys(["random_flip_h", "random_rotate", "random_scale", "brightness", "contrast", "gamma"], 0)


def picture(*size: int) -> torch.Tensor:
    """Smooth texture from 0 to 1, also at the border."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=size), 4)
    noise = (noise - noise.min()) / (noise.max() - noise.min())
    return torch.tensor(noise[None], dtype=torch.float32)


def run(image: torch.Tensor, seed: int = 1, **settings) -> tuple[torch.Tensor, ImageAugmentation]:
    step = ImageAugmentation(**{**OFF, "spatial_dims": image.dim() - 1, **settings})
    step.set_random_state(seed=seed)
    return step({"image": image})["image"], step


def test_all_off_changes_no_bit_and_disabled_returns_the_item_itself():
    image = picture(20, 31)
    assert torch.equal(run(image)[0], image)
    data = {"image": image}
    assert ImageAugmentation(enabled=False)(data) is data


@pytest.mark.parametrize(("size", "axis"), [((20, 31), 2), ((12, 10, 14), 1)])
def test_only_left_and_right_are_swapped(size, axis):
    image = picture(*size)
    assert torch.equal(run(image, random_flip_h=1)[0], image.flip(axis))
    swapped = [not torch.equal(run(image, seed, random_flip_h=0.5)[0], image) for seed in range(60)]
    assert 15 < sum(swapped) < 45


def test_rotation_and_zoom_about_the_middle_repeat_the_border():
    image = picture(48, 90)
    made, step = run(image, random_rotate=10, random_scale=0.2)
    assert abs(step.angles[0]) > 0.01
    assert abs(step.zoom - 1) > 0.01
    cos, sin = math.cos(step.angles[0]), math.sin(step.angles[0])
    turn = step.zoom * np.array([[cos, -sin], [sin, cos]])
    middle = (np.array(image.shape[1:]) - 1) / 2
    wanted = ndimage.affine_transform(
        image[0].double().numpy(), turn, offset=middle - turn @ middle, order=1, mode="nearest"
    )
    np.testing.assert_allclose(made[0].numpy(), wanted, atol=1e-4)
    white, _ = run(torch.ones(1, 48, 90), random_rotate=10, random_scale=0.2)
    assert white.min() > 0.9999  # no black corners


def test_a_volume_is_turned_about_every_axis():
    volume = picture(20, 24, 22)
    made, step = run(volume, random_rotate=10)
    assert min(map(abs, step.angles)) > 0
    for axis in (1, 2, 3):  # no axis is left: each plane through the volume has changed
        assert not torch.allclose(made.mean(axis), volume.mean(axis), atol=1e-3)
    assert run(torch.ones(1, 20, 24, 22), random_rotate=10)[0].min() > 0.9999


def test_brightness_contrast_and_gamma_in_this_order_within_0_and_1():
    image = picture(30, 40)
    before = image.clone()
    made, step = run(image, seed=3, brightness=0.4, contrast=0.4, gamma=0.4)
    x = image.double().numpy() * step.brightness_factor
    x = np.maximum((x - x.mean()) * step.contrast_factor + x.mean(), 0)
    x = (x / x.max()) ** step.gamma_power * x.max()
    np.testing.assert_allclose(made.numpy(), x.clip(0, 1), atol=1e-5)
    assert torch.equal(image, before)
    made = torch.stack([run(image, seed, brightness=0.4, contrast=0.4)[0] for seed in range(20)])
    assert made.min() >= 0
    assert made.max() <= 1


def test_black_pixels_change_as_their_neighbours_do():
    """Of a brain only the head changes; an X-ray has no background."""
    image = picture(30, 40)
    image[0, 10, 10], image[0, 10, 11] = 0, 1e-3
    made = next(m for m, step in (run(image, s, contrast=0.4) for s in range(20)) if step.contrast_factor < 0.9)
    assert made[0, 10, 10] > 0.01
    assert made[0, 10, 11] - made[0, 10, 10] < 2e-3


def test_the_seed_fixes_everything_and_what_is_off_leaves_the_other_draws():
    image = picture(30, 40)
    settings = {"random_rotate": 5, "random_scale": 0.1, "brightness": 0.1, "random_flip_h": 0.5}
    first, step = run(image, 5, **settings)
    assert torch.equal(first, run(image, 5, **settings)[0])
    assert not torch.equal(first, run(image, 6, **settings)[0])
    other = run(image, 5, random_rotate=5, brightness=0.1)[1]
    assert (other.angles, other.brightness_factor) == (step.angles, step.brightness_factor)


@pytest.mark.parametrize("size", [(32, 32), (16, 64)])
def test_the_margins_reach_as_far_as_a_patch_may_come_from(size):
    step = ImageAugmentation(random_rotate=10, random_scale=0.2)
    margins = step.margins(list(size))
    corner = np.array(size) / 2
    for sign in (-1, 1):
        angle = sign * math.radians(10)
        turn = 1.2 * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        for other in (corner, corner * (1, -1)):
            assert (np.abs(turn @ other) <= corner + margins).all()
    assert ImageAugmentation(random_rotate=0, random_scale=0).margins(list(size)) == [0, 0]
    assert ImageAugmentation(enabled=False).margins(list(size)) == [0, 0]
