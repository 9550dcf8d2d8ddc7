from __future__ import annotations

import numpy as np
import pytest
import torch

from medbundles.errors import ConfigError
from medbundles.transforms import BACKGROUND, CropToHead, HeadNormalise, ResizeSquare, to_original


def test_crop_is_the_heads_box(head, outline):
    item = CropToHead(margin=0)(HeadNormalise()({"image": head}))
    top, left, height, width = item["crop"].tolist()
    rows, columns = np.flatnonzero(outline.any(1)), np.flatnonzero(outline.any(0))
    assert abs(top - rows[0]) <= 2
    assert abs(top + height - 1 - rows[-1]) <= 2
    assert abs(left - columns[0]) <= 2
    assert abs(left + width - 1 - columns[-1]) <= 2
    assert item["image"].shape == (1, height, width)
    assert item["original_size"].tolist() == [200, 160]
    assert "head" not in item


def test_margin_grows_the_box_and_stays_in_the_picture(head):
    small, large, whole = (CropToHead(m)({"image": head})["crop"].tolist() for m in (0, 0.05, 1))
    assert large[0] == small[0] - 8
    assert large[2] == small[2] + 16
    assert whole == [0, 0, 200, 160]


def test_mask_is_cropped_with_the_image(head):
    item = CropToHead(0.05)({"image": head, "mask": (head > 160).astype(np.uint8)})
    np.testing.assert_array_equal(item["mask"], item["image"] > 160)


@pytest.mark.parametrize("found", [np.zeros((60, 50), bool), np.ones((60, 50), bool)])
def test_whole_picture_where_no_head_is_found(found):
    item = CropToHead()({"image": np.random.rand(1, 60, 50), "head": found})
    assert item["crop"].tolist() == [0, 0, 60, 50]


def test_a_speck_is_no_head():
    speck = np.zeros((100, 100), bool)
    speck[50:54, 50:54] = True
    assert CropToHead()({"image": np.random.rand(1, 100, 100), "head": speck})["crop"].tolist() == [0, 0, 100, 100]


def test_resize_gives_plain_square_tensors():
    mask = np.zeros((1, 90, 60), np.uint8)
    mask[0, 20:50, 10:30], mask[0, 30:60, 30:50] = 1, 3
    item = ResizeSquare(64)({"image": np.ones((2, 90, 60), np.float32), "mask": mask})
    assert type(item["image"]) is torch.Tensor
    assert item["image"].shape == (2, 64, 64)
    assert item["image"].dtype == torch.float32
    assert item["mask"].shape == (1, 64, 64)
    assert item["mask"].dtype == torch.uint8
    assert set(item["mask"].unique().tolist()) == {0, 1, 3}
    assert (item["image"][:, :, 0] == BACKGROUND).all()  # padding beside the picture
    torch.testing.assert_close(item["image"][:, :, 32], torch.ones(2, 64))
    assert item["crop"].tolist() == [0, 0, 90, 60]
    assert item["original_size"].tolist() == [90, 60]


def test_image_is_antialiased_and_mask_stays_aligned():
    image = np.random.default_rng(0).random((1, 512, 512), dtype=np.float32)
    assert ResizeSquare(64)({"image": image})["image"].std() < 0.1  # 0.29 before, 0.29 with plain sampling
    blob = np.hypot(*np.mgrid[-100:101, -90:91]) < 60
    item = ResizeSquare(128)({"image": blob[None].astype(np.float32), "mask": blob[None].astype(np.uint8)})
    assert ((item["image"] > 0.5) == item["mask"].bool()).float().mean() > 0.995


def test_a_lesion_that_falls_between_the_pixels_is_not_lost():
    mask = np.zeros((1, 90, 120), np.uint8)
    mask[0, 41, 71], mask[0, 40, 70], mask[0, 10, 10] = 1, 1, 2
    out = ResizeSquare(16)({"image": np.zeros((1, 90, 120)), "mask": mask})["mask"]
    assert sorted(out.unique().tolist()) == [0, 1, 2]
    row, column = (out[0] == 1).nonzero()[0].tolist()  # at its place: 15 rows of background above make the square
    assert (row, column) == ((41 + 15) * 16 // 120, 71 * 16 // 120)
    assert (out > 0).sum() == 2
    touching = np.zeros((1, 64, 64), np.uint8)
    touching[0, 9, 9:12] = [1, 2, 3]
    out = ResizeSquare(8)({"image": np.zeros((1, 64, 64)), "mask": touching})["mask"]
    assert sorted(out.unique().tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [128, 256, 97])
@pytest.mark.parametrize("shape", [(240, 240), (331, 257), (180, 301), (100, 90)])
def test_round_trip(size, shape):
    rows, columns = shape
    y, x = np.mgrid[:rows, :columns]
    found = np.hypot((y - rows / 2) / (0.45 * rows), (x - columns / 2) / (0.4 * columns)) < 1
    mask = (np.hypot(y - 0.4 * rows, x - 0.6 * columns) < 0.15 * min(shape)).astype(np.uint8)[None]
    item = ResizeSquare(size)(CropToHead(0.05)({"image": mask.astype(np.float32), "mask": mask, "head": found}))
    from_mask = to_original(item["mask"], item["crop"], item["original_size"])
    from_prob = to_original(item["mask"].float(), item["crop"], item["original_size"])
    for back in (from_mask.numpy(), from_prob.numpy() >= 0.5):
        assert back.shape == mask.shape
        assert 2 * (back * mask).sum() / (back.sum() + mask.sum()) > 0.97
    assert from_mask.dtype == torch.uint8
    assert from_prob.dtype == torch.float32


def test_to_original_is_zero_outside_the_crop_and_takes_plain_values():
    back = to_original(np.ones((32, 32), np.float32), [10, 20, 30, 15], (100, 50))
    assert back.shape == (100, 50)
    assert back.sum() == 30 * 15
    assert back[10:40, 20:35].all()
    assert to_original(torch.ones(32, 32, dtype=torch.bool), [0, 0, 5, 9], [5, 9]).dtype == torch.bool


def test_refusals():
    with pytest.raises(ConfigError, match=r"margin .*: -0\.1 is not allowed; it must be at least 0 and at most 1"):
        CropToHead(-0.1)
