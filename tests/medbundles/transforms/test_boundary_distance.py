"""Distances to the boundary against MONAI's in pixels, and against all pairs of pixels in mm."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from monai.losses import BoundaryLoss

from medbundles.losses import CombinedSegmentationLoss
from medbundles.transforms import BoundaryDistance
from medbundles.transforms.boundary_distance import signed_distance


def blobs(shape, seed=0, share=0.4):
    return np.random.default_rng(seed).random(shape) < share


def by_hand(mask, spacing):
    """Each pixel against every other one."""
    places = list(itertools.product(*map(range, mask.shape)))
    found = np.zeros(mask.shape)
    for place in places:
        away = min(
            math.dist(
                [a * s for a, s in zip(place, spacing, strict=True)],
                [b * s for b, s in zip(other, spacing, strict=True)],
            )
            for other in places
            if mask[other] != mask[place]
        )
        found[place] = -(away - min(spacing)) if mask[place] else away
    return found / np.abs(found).max()


@pytest.mark.parametrize(
    ("shape", "spacing"), [((7, 9), (1.0, 1.0)), ((6, 5), (0.5, 2.0)), ((4, 5, 6), (1.0, 0.7, 3.0))]
)
def test_it_is_the_distance_in_mm_to_the_nearest_pixel_of_the_other_side(shape, spacing):
    mask = blobs(shape)
    np.testing.assert_allclose(signed_distance(mask, spacing), by_hand(mask, spacing), atol=1e-6)


@pytest.mark.parametrize("corner", [(0, 0, 0), (3, 2, 1), (5, 0, 4)])
def test_a_small_mask_anywhere_has_the_same_distances(corner):
    """At the border of the image, too, where there is no background beyond."""
    mask = np.zeros((8, 6, 7), dtype=bool)
    mask[tuple(slice(start, start + 3) for start in corner)] = True
    np.testing.assert_allclose(signed_distance(mask, (1.0, 0.7, 2.0)), by_hand(mask, (1.0, 0.7, 2.0)), atol=1e-6)


@pytest.mark.parametrize("shape", [(24, 30), (12, 10, 9)])
@pytest.mark.parametrize("spacing", [1.0, 0.4])
def test_the_loss_is_monais_divided_by_the_largest_distance(shape, spacing):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, *shape, generator=generator)
    mask = torch.zeros(2, 1, *shape, dtype=torch.uint8)
    for image, seed in zip(mask, (1, 2), strict=True):
        image[0][torch.from_numpy(blobs(shape, seed, 0.1))] = 1
        image[0, 2:7, 3:8] = 2
    monai = BoundaryLoss(include_background=False, to_onehot_y=True, softmax=True, reduction="none")
    targets = torch.cat([mask == 1, mask == 2], 1).float()
    largest = monai.compute_distance_map(targets).abs().flatten(2).amax(2)
    wanted = (monai(logits, mask) / largest).mean()
    items = [BoundaryDistance(3)({"mask": one, "spacing": torch.full((len(shape),), spacing)}) for one in mask]
    distance = torch.stack([item["distance"] for item in items])
    loss = CombinedSegmentationLoss(3, dice_weight=0, ce_weight=0, boundary_weight=1.0)
    torch.testing.assert_close(loss(logits, {"mask": mask, "distance": distance}), wanted)
    assert distance.amin() >= -1
    assert distance.abs().flatten(2).amax(2).tolist() == [[1, 1], [1, 1]]


def test_an_absent_class_is_far_everywhere_and_one_without_an_end_is_inside_everywhere():
    found = BoundaryDistance(4)({"mask": torch.full((1, 5, 6), 2)})["distance"]
    assert found.shape == (3, 5, 6)
    assert [channel.unique().tolist() for channel in found] == [[1], [-1], [1]]


def test_one_channel_and_regions_are_where_the_mask_is_1():
    mask = torch.zeros(2, 8, 9, dtype=torch.uint8)
    mask[0, 2:5, 3:6], mask[1, 4:7, 4:8], mask[:, 0] = 1, 1, 255  # 255: not labelled
    both = BoundaryDistance(2, mask_rule="regions")({"mask": mask})["distance"]
    for channel, one in zip(both, mask, strict=True):
        np.testing.assert_array_equal(channel, signed_distance(one.numpy() == 1, (1, 1)))
    torch.testing.assert_close(BoundaryDistance(1)({"mask": mask[:1]})["distance"], both[:1])


def test_spacing_stretches_the_distances():
    mask = torch.zeros(1, 9, 9, dtype=torch.uint8)
    mask[0, 4, 4] = 1
    found = BoundaryDistance(1)({"mask": mask, "spacing": [1.0, 2.0]})["distance"][0]
    assert found[4, 8] / found[8, 4] == pytest.approx(2)


def test_without_a_boundary_loss_nothing_is_done():
    item = {"mask": torch.ones(1, 4, 4)}
    assert BoundaryDistance(2, enabled=False)(item) is item
