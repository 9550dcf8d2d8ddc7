"""The network's grid and the way back: what was marked comes back to its place."""

from __future__ import annotations

import pytest
import torch

from medbundles.errors import ConfigError
from medbundles.transforms import OnMaskGrid, ToGrid, to_input_grid


def blob(*shape: int) -> torch.Tensor:
    """A mask (1, ...) with a box of class 1 in it."""
    mask = torch.zeros(1, *shape, dtype=torch.uint8)
    mask[(0, *(slice(side // 4, side // 2) for side in shape))] = 1
    return mask


@pytest.mark.parametrize("size", [32, (24, 40)])
@pytest.mark.parametrize("shape", [(60, 60), (50, 90), (90, 33)])
def test_a_picture_keeps_its_proportions_and_comes_back(shape, size):
    mask = blob(*shape)
    item = ToGrid(size=size)({"image": mask.float() - 5, "mask": mask})
    wanted = (size, size) if isinstance(size, int) else size
    assert item["image"].shape == item["mask"].shape == (1, *wanted)
    assert float(item["image"].min()) == -5  # the padding is as dark as the picture's darkest pixel
    back = to_input_grid(item["mask"].float(), shape) > 0.5
    assert back.shape == mask.shape
    both = (back & (mask > 0)).sum() * 2 / (back.sum() + mask.sum())
    assert both > 0.75  # of 90 pixels 24 are left


def test_a_volume_comes_to_the_spacing_and_back():
    mask = blob(20, 24, 8)
    item = {"image": mask.float(), "mask": mask, "spacing": torch.tensor([1.0, 1.0, 2.5])}
    moved = ToGrid(spacing=[1.0, 2.0, 1.0])(item)
    assert moved["image"].shape == moved["mask"].shape == (1, 20, 12, 20)
    assert moved["spacing"].tolist() == pytest.approx([1.0, 2.0, 1.0])
    back = to_input_grid(moved["image"], (20, 24, 8))
    assert ((back > 0.5) == (mask > 0)).float().mean() > 0.97
    assert ToGrid(spacing=None)(item)["image"] is item["image"]
    assert ToGrid(spacing=[1.0, 1.0, 2.5])(item)["image"] is item["image"]


def test_the_mask_may_stay_as_it_is():
    mask = blob(20, 24, 8)
    item = {"image": mask.float(), "mask": mask, "spacing": torch.tensor([1.0, 1.0, 2.0])}
    moved = ToGrid(spacing=[2.0, 2.0, 2.0], keep_mask=True)(item)
    assert moved["mask"] is mask
    assert moved["spacing"].tolist() == [1.0, 1.0, 2.0]  # that of the mask
    assert ToGrid(size=16, keep_mask=True)({"image": blob(20, 30).float(), "mask": mask})["mask"] is mask


def test_an_evaluation_is_on_the_masks_grid():
    mask = blob(40, 60)[None]
    image = ToGrid(size=32)({"image": mask[0].float()})["image"][None]
    data = {"image": image, "pred": torch.cat([1 - image, image], dim=1), "label": {"mask": mask}}
    moved = OnMaskGrid()(data)
    assert moved["image"].shape == (1, 1, 40, 60)
    assert moved["pred"].shape == (1, 2, 40, 60)
    assert (moved["pred"].argmax(1, keepdim=True) == mask).float().mean() > 0.98


def test_auto_is_known_to_a_training_alone():
    with pytest.raises(ConfigError, match=r"use the trained.json beside the weights"):
        ToGrid(spacing="auto")({"image": torch.zeros(1, 4, 4, 4), "spacing": torch.ones(3)})
