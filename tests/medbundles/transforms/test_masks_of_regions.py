"""Labels become a channel for each region; what is not labelled stays so in all of them."""

from __future__ import annotations

import torch

from medbundles.transforms import MasksOfRegions

MASK = torch.tensor([[[0, 1, 2], [4, 9, 0]]], dtype=torch.uint8)
BRATS = [[1, 2, 4], [1, 4], [4]]


def test_each_region_has_the_pixels_of_its_labels():
    made = MasksOfRegions(BRATS)({"mask": MASK, "name": "a"})
    assert made["name"] == "a"
    assert made["mask"].dtype == torch.uint8
    assert made["mask"].tolist() == [[[0, 1, 1], [1, 0, 0]], [[0, 1, 0], [1, 0, 0]], [[0, 0, 0], [1, 0, 0]]]


def test_what_is_not_labelled_is_so_in_every_channel():
    made = MasksOfRegions(BRATS, ignore_label=9)({"mask": MASK})["mask"]
    assert (made[:, 1, 1] == 9).all()
    assert int((made == 9).sum()) == 3


def test_classes_and_images_without_a_mask_stay_as_they_are():
    item = {"mask": MASK}
    assert MasksOfRegions(None, 9)(item) is item
    assert MasksOfRegions(BRATS)({"name": "a"}) == {"name": "a"}
