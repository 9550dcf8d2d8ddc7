from __future__ import annotations

import pickle

import torch
from monai.data import MetaTensor

from medbundles.data.batches.compact import packed, size_of, unpacked


def test_an_empty_mask_takes_nothing_and_comes_back_as_it_was():
    item = {"image": torch.rand(1, 64, 64), "mask": torch.zeros(1, 64, 64, dtype=torch.uint8), "label": 1, "name": "a"}
    small = packed(item)
    assert size_of(small) == 64 * 64 * 4 + 1
    assert size_of(pickle.loads(pickle.dumps(small))) == 64 * 64 * 4 + 1  # through a pipe, too
    whole = unpacked(small)
    assert whole.keys() == item.keys()
    assert torch.equal(whole["mask"], item["mask"])
    assert whole["mask"].is_contiguous()
    whole["mask"][0, 0, 0] = 3  # a step may write into it, and what is kept stays
    assert not unpacked(small)["mask"].any()
    assert whole["image"] is item["image"]


def test_what_was_cut_from_a_large_tensor_does_not_keep_it():
    small = packed({"image": torch.rand(1, 100, 100)[:, :10, :10]})
    assert size_of(small) == 400


def test_what_monai_knows_of_an_image_stays():
    image = MetaTensor(torch.rand(1, 8, 8)[:, :4], affine=torch.eye(4) * 2)
    kept = unpacked(packed({"image": image, "mask": MetaTensor(torch.ones(1, 4, 4, dtype=torch.uint8))}))
    assert torch.equal(kept["image"].affine, image.affine)
    assert torch.equal(kept["image"], image)
    assert isinstance(kept["mask"], MetaTensor)


def test_signed_zeros_are_not_taken_for_one_value():
    image = torch.tensor([0.0, -0.0])
    assert torch.equal(torch.signbit(unpacked(packed({"image": image}))["image"]), torch.signbit(image))
