from __future__ import annotations

import numpy as np
import pytest
import torch

from medbundles.errors import ConfigError
from medbundles.transforms import LabelledAugmentation


def scan(*shape: int) -> dict[str, torch.Tensor]:
    """A box that is brighter by 3 than the rest, which is -1, and its mask."""
    mask = torch.zeros(1, *shape, dtype=torch.uint8)
    mask[(0, *(slice(side // 4, side // 2) for side in shape))] = 2
    return {"image": 3.0 * (mask > 0) - 1, "mask": mask}


def changed(data: dict, seed: int, **options) -> dict:
    step = LabelledAugmentation(**{"spatial_dims": data["image"].ndim - 1, **options})
    step.set_random_state(seed=seed)
    return step(data)


@pytest.mark.parametrize("shape", [(32, 40), (16, 20, 24)])
def test_the_mask_follows_the_image_and_keeps_its_classes(shape):
    data = scan(*shape)
    for seed in range(8):
        found = changed(data, seed, strength="strong")
        assert set(found["mask"].unique().tolist()) <= {0, 2}
        assert found["mask"].dtype == torch.uint8
        middle = (float(found["image"].max()) + float(found["image"].min())) / 2
        bright = found["image"] > middle
        overlap = 2 * (bright & (found["mask"] > 0)).sum() / (bright.sum() + (found["mask"] > 0).sum())
        assert overlap > 0.8, seed
        assert float(found["image"].min()) >= -1 - 1e-5
    assert torch.equal(data["image"], scan(*shape)["image"])


def test_a_seed_fixes_everything_and_strength_grows():
    data = scan(32, 32)
    assert torch.equal(changed(data, 3)["image"], changed(data, 3)["image"])
    assert not torch.equal(changed(data, 3)["image"], changed(data, 4)["image"])
    sizes = [
        sum(
            float((changed(data, seed, strength=name, random_flip=0.0)["image"] - data["image"]).abs().mean())
            for seed in range(20)
        )
        for name in ("light", "moderate", "strong")
    ]
    assert sizes == sorted(sizes)
    assert changed(data, 3, enabled=False) is data


def test_flips_may_be_off():
    data = scan(24, 24)
    flipped = [changed(data, seed, strength="light")["mask"][..., 12:].any() for seed in range(20)]
    assert any(flipped)
    assert not all(flipped)
    kept = [changed(data, seed, strength="light", random_flip=0.0)["mask"][..., 14:].any() for seed in range(20)]
    assert not any(kept)


def test_an_unknown_strength_is_named():
    with pytest.raises(ConfigError, match="augmentation_strength: 'hard' is unknown"):
        LabelledAugmentation(strength="hard")


def matrix(spacing: list[float] | None, seed: int = 1) -> torch.Tensor:
    step = LabelledAugmentation(spatial_dims=3, strength="strong", random_flip=0.0)
    step.set_random_state(seed=seed)
    step({**scan(12, 12, 12), **({} if spacing is None else {"spacing": torch.tensor(spacing).double()})})
    return step.moved()[:3, :3].double()


def test_an_angle_is_one_in_mm_where_voxels_are_no_cubes():
    plain, sides = matrix(None), torch.tensor([1.0, 1.0, 2.0]).double()
    assert torch.equal(matrix([0.7, 0.7, 0.7]), plain)
    in_mm = torch.diag(sides) @ matrix(sides.tolist()) @ torch.diag(1 / sides)
    assert torch.allclose(in_mm, plain, atol=1e-6)
    assert not torch.allclose(matrix(sides.tolist()), plain, atol=1e-2)


def test_thick_slices_are_turned_and_zoomed_in_their_plane_alone():
    found = matrix([7.5, 0.5, 0.5])  # thick from left to right: as sagittal slices are
    assert torch.equal(found[0], torch.tensor([1.0, 0, 0]).double())
    assert torch.equal(found[1:, 0], torch.zeros(2).double())
    assert found[1, 2].abs() > 0.01
    assert (torch.linalg.det(found[1:, 1:]) - 1).abs() > 0.01


def test_a_blur_does_not_mix_thick_slices():
    step = LabelledAugmentation(spatial_dims=3)
    step.blur_sigma = 1.5
    image = torch.zeros(1, 9, 9, 9)
    image[:, 4, 4, 4] = 1
    for spacing, across in ((None, True), (np.array([0.5, 0.5, 7.5]), False)):
        step.spacing, blurred = spacing, image.clone()
        step.blur(blurred)
        assert bool(blurred[0, 4, 4, 5] > 1e-3) is across
        assert blurred[0, 5, 4, 4] > 1e-3
