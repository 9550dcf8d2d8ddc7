from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from medbundles.transforms import BACKGROUND, Augmentation

OFF = {
    "random_flip_h": 0, "random_flip_v": 0, "random_rotate": 0, "random_scale": 0, "elastic_deform": False,
    "gaussian_noise": 0, "gaussian_blur": 0, "brightness": 0, "contrast": 0, "gamma": 0,
}  # fmt: skip
SIZE = 128


def item(channels: int = 1) -> dict:
    """A disc of smooth texture on background, and as mask a smaller disc off its centre."""
    y, x = np.mgrid[:SIZE, :SIZE]
    texture = gaussian_filter(np.random.default_rng(0).normal(size=(channels, SIZE, SIZE)), (0, 4, 4)) * 10
    texture = np.where(np.hypot(y - 60, x - 66) < 50, texture.clip(-3, 4), BACKGROUND)
    mask = np.hypot(y - 45, x - 80) < 14
    image, mask = torch.tensor(texture, dtype=torch.float32), torch.tensor(mask[None] * 2, dtype=torch.uint8)
    return {"image": image, "mask": mask, "has_mask": True, "label": 1}


def run(data: dict, seed: int = 1, **settings) -> tuple[dict, Augmentation]:
    step = Augmentation(**{**OFF, **settings})
    step.set_random_state(seed=seed)
    return step(data), step


def above(image: torch.Tensor) -> np.ndarray:
    """Float64 intensities counted from the background."""
    return image.double().numpy() - BACKGROUND


def test_all_off_changes_nothing():
    data = item()
    out, _ = run(data)
    assert torch.equal(out["image"], data["image"])
    assert torch.equal(out["mask"], data["mask"])


def test_disabled_returns_the_item_itself():
    data = item()
    assert Augmentation(enabled=False)(data) is data


@pytest.mark.parametrize(("setting", "axis"), [("random_flip_h", -1), ("random_flip_v", -2)])
def test_flips(setting, axis):
    data = item()
    out, _ = run(data, **{setting: 1})
    assert torch.equal(out["image"], torch.flip(data["image"], [axis]))
    assert torch.equal(out["mask"], torch.flip(data["mask"], [axis]))
    flipped = [not torch.equal(run(data, seed, **{setting: 0.3})[0]["image"], data["image"]) for seed in range(200)]
    assert 0.2 < np.mean(flipped) < 0.4


def test_a_quarter_turn_is_rot90():
    data = item()
    step = Augmentation(**{**OFF, "random_rotate": 180})
    step.set_random_state(seed=0)
    step.randomize()
    step.angle = np.pi / 2
    step.randomize = lambda: None
    out = step(data)
    np.testing.assert_allclose(out["image"][0], np.rot90(data["image"][0]), atol=1e-3)
    np.testing.assert_array_equal(out["mask"][0], np.rot90(data["mask"][0]))


def test_angles_cover_their_range_evenly():
    angles = np.degrees([run(item(), seed, random_rotate=20)[1].angle for seed in range(200)])
    assert -20 <= angles.min() < -18
    assert 18 < angles.max() <= 20
    assert abs(angles.mean()) < 3


def test_scale_zooms_areas_by_its_square():
    data = item()
    zooms = []
    for seed in range(30):
        out, step = run(data, seed, random_scale=0.15)
        zooms.append(step.zoom)
        assert (out["mask"] > 0).sum() / (data["mask"] > 0).sum() == pytest.approx(step.zoom**2, rel=0.04)
    assert 0.85 <= min(zooms) < 0.9
    assert 1.1 < max(zooms) <= 1.15


def test_elastic_moves_pixels_by_its_field():
    """A picture of a ramp shows the displacement itself."""
    ramp = torch.arange(SIZE, dtype=torch.float32).expand(1, SIZE, SIZE) + 100
    out, _ = run({"image": ramp.contiguous()}, elastic_deform=True, elastic_alpha=50, elastic_sigma=5)
    shift = (out["image"] - ramp)[0, 10:-10, 10:-10].numpy()
    assert shift.std() == pytest.approx(50 / (np.sqrt(3) * 2 * np.sqrt(np.pi) * 5), rel=0.2)
    weak, _ = run({"image": ramp.contiguous()}, elastic_deform=True, elastic_alpha=10, elastic_sigma=5)
    np.testing.assert_allclose((weak["image"] - ramp)[0, 10:-10, 10:-10], shift / 5, atol=1e-3)
    smoother, _ = run({"image": ramp.contiguous()}, elastic_deform=True, elastic_alpha=50, elastic_sigma=10)
    assert (smoother["image"] - ramp)[0, 10:-10, 10:-10].std() < 0.75 * shift.std()


def test_noise_has_its_standard_deviation_in_the_head_only():
    data = item()
    out, _ = run(data, gaussian_noise=0.05)
    noise = above(out["image"]) - above(data["image"])
    head = above(data["image"]) > 0
    assert noise[head].std() == pytest.approx(0.05 * above(data["image"]).max(), rel=0.05)
    assert abs(noise[head].mean()) < 0.05
    assert not noise[~head].any()


def test_blur_is_a_gaussian():
    data = item()
    sigmas = set()
    for seed in range(20):
        out, step = run(data, seed, gaussian_blur=1)
        sigmas.add(step.blur_sigma)
        head = above(data["image"]) > 0
        expected = gaussian_filter(above(data["image"]), (0, step.blur_sigma, step.blur_sigma), mode="nearest") * head
        np.testing.assert_allclose(above(out["image"]), expected, atol=1e-4)
    assert sigmas == {0.5, 0.75, 1.0}
    blurred = [run(data, seed, gaussian_blur=0.3)[1].blur_sigma > 0 for seed in range(200)]
    assert 0.2 < np.mean(blurred) < 0.4


def test_brightness_contrast_and_gamma_formulas():
    data = item(channels=2)
    x = above(data["image"])
    head = x > 0
    out, step = run(data, brightness=0.2)
    np.testing.assert_allclose(above(out["image"]), x * step.brightness_factor, atol=1e-5)
    out, step = run(data, contrast=0.2)
    mean = np.stack([c[h].mean() for c, h in zip(x, head, strict=True)])[:, None, None]
    expected = ((mean + (x - mean) * step.contrast_factor) * head).clip(0)
    np.testing.assert_allclose(above(out["image"]), expected, atol=1e-5)
    out, step = run(data, gamma=0.2)
    np.testing.assert_allclose(above(out["image"]), x.max() * (x / x.max()) ** step.gamma_power, atol=1e-5)
    assert above(out["image"]).max() == pytest.approx(x.max())


@pytest.mark.parametrize("setting", ["brightness", "contrast", "gamma"])
def test_intensity_ranges(setting):
    name = {"gamma": "gamma_power"}.get(setting, f"{setting}_factor")
    drawn = [getattr(run(item(), seed, **{setting: 0.3})[1], name) for seed in range(100)]
    assert 0.7 <= min(drawn) < 0.75
    assert 1.25 < max(drawn) <= 1.3


@pytest.mark.parametrize("setting", ["gaussian_noise", "gaussian_blur", "brightness", "contrast", "gamma"])
def test_intensities_leave_mask_and_background_alone(setting):
    data = item()
    out, _ = run(data, **{setting: 0.1 if setting == "gaussian_noise" else 0.5 if setting != "gaussian_blur" else 1})
    assert not torch.equal(out["image"], data["image"])
    assert torch.equal(out["mask"], data["mask"])
    outside = data["image"] == BACKGROUND
    assert (out["image"][outside] == BACKGROUND).all()


def test_mask_follows_the_image():
    data = item()
    twin = {**data, "image": torch.where(data["mask"] > 0, 4.0, BACKGROUND)}
    for seed in range(5):
        out, _ = run(twin, seed, random_flip_h=0.5, random_flip_v=0.5, random_rotate=45, random_scale=0.2,
                     elastic_deform=True)  # fmt: skip
        assert set(out["mask"].unique().tolist()) == {0, 2}
        assert out["mask"].dtype == torch.uint8
        different = (out["image"] > 0) != (out["mask"] > 0)  # on the rim: linear and nearest are not quite the same
        assert different.sum() < 0.06 * (out["mask"] > 0).sum()
        assert ((out["image"] > BACKGROUND) >= (out["mask"] > 0)).all()
    assert torch.equal(data["mask"], item()["mask"])


def test_what_comes_in_from_outside_is_background():
    data = {"image": torch.ones(1, SIZE, SIZE)}
    out, step = run(data, random_scale=0.5, seed=6)
    assert step.zoom < 0.9
    assert (out["image"][0, 0] == BACKGROUND).all()


def test_masks_that_are_missing_or_meaningless_are_left_alone():
    data = item()
    out, _ = run({**data, "has_mask": False}, random_flip_h=1, random_rotate=90)
    assert out["mask"] is data["mask"]
    assert "mask" not in run({"image": data["image"]}, random_flip_h=1, random_rotate=90)[0]


def test_same_seed_same_bits_for_any_number_of_threads():
    data = {"image": item()["image"][:, :101, :127].contiguous(), "mask": item()["mask"][:, :101, :127].contiguous()}
    before, results = torch.get_num_threads(), []
    step = Augmentation(gaussian_blur=1)
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        copy = pickle.loads(pickle.dumps(step))
        torch.manual_seed(threads)
        copy.set_random_state(seed=11)
        results.append(copy(data))
    torch.set_num_threads(before)
    for other in results[1:]:
        assert torch.equal(results[0]["image"], other["image"])
        assert torch.equal(results[0]["mask"], other["mask"])
    step.set_random_state(seed=12)
    assert not torch.equal(step(data)["image"], results[0]["image"])


def test_the_input_is_not_changed():
    data = item()
    Augmentation(gaussian_blur=1)(data)
    assert torch.equal(data["image"], item()["image"])
    assert torch.equal(data["mask"], item()["mask"])


def test_switching_one_part_leaves_the_others_draws():
    everything, without = Augmentation(), Augmentation(elastic_deform=False, random_flip_h=0)
    for step in (everything, without):
        step.set_random_state(seed=5)
        step.randomize()
    for name in ("angle", "zoom", "blur_sigma", "brightness_factor", "contrast_factor", "gamma_power"):
        assert getattr(everything, name) == getattr(without, name)
