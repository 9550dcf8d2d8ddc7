from __future__ import annotations

import numpy as np
import pytest

from medbundles.transforms import head_mask


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("background", [0, 30, -40])
def test_finds_the_head_on_any_background(head, outline, background):
    image = np.where(outline, head, background).astype(np.float32)
    assert dice(head_mask(image), outline) > 0.97


def test_noise_and_haze_are_not_head(head, outline):
    noisy = head + np.abs(np.random.default_rng(1).normal(0, 8, head.shape)).astype(np.float32)
    assert dice(head_mask(noisy), outline) > 0.95


def test_dark_skull_and_holes_belong_to_the_head(head, outline):
    head[:, 90:120, 60:80] = 0
    mask = head_mask(head)
    assert mask[105, 70]
    assert mask[105, 78 + 55]  # in the skull, as dark as the background


def test_burnt_in_text_is_not_head(head, outline):
    head[:, 2:12:2, 2:30] = 255
    assert dice(head_mask(head), outline) > 0.97
    assert not head_mask(head)[:14, :32].any()


@pytest.mark.parametrize("value", [255, 120])
def test_a_frame_is_not_head(head, outline, value):
    framed = np.full((1, 220, 180), value, dtype=np.float32)
    framed[:, 6:206, 8:168] = head
    mask = head_mask(framed)
    assert dice(mask[6:206, 8:168], outline) > 0.95
    mask[6:206, 8:168] = False
    assert not mask.any()


def test_a_strip_on_one_side_is_not_head(head, outline):
    head[:, :, 155:] = 255
    assert dice(head_mask(head), outline) > 0.95


def test_a_picture_filled_by_the_head_is_all_head():
    image = np.random.default_rng(0).normal(100, 10, (1, 64, 80)).astype(np.float32)
    image[:, 20:40, 30:40] = 10  # dark inside, no dark border
    assert head_mask(image).all()


def test_large_pictures_are_masked_as_well_as_small_ones(head, outline):
    large = head.repeat(5, axis=1).repeat(5, axis=2)[:, :999, :797]
    assert dice(head_mask(large), outline.repeat(5, axis=0).repeat(5, axis=1)[:999, :797]) > 0.97


def test_tissue_of_all_channels_is_united(head, outline):
    left, right = head.copy(), head.copy()
    left[..., 78:], right[..., :78] = 0, 0
    constant = np.full_like(head, 7)
    assert dice(head_mask(np.concatenate([left, right, constant])), outline) > 0.96


def test_real_tumours_lie_inside_the_head(real_data):
    from medbundles.data import read_image, read_mask

    shares = []
    for path in sorted(real_data.glob("lgg_kaggle3m/*/*_mask.tif"))[::7]:
        tumour = read_mask(path, 1)[0] > 0
        if tumour.any():
            image = read_image(str(path).replace("_mask", ""), 3)[1:2]
            shares.append(head_mask(image)[tumour].mean())
    assert len(shares) > 10
    assert min(shares) == 1


def test_real_pictures_with_frames_text_and_haze(real_data):
    from medbundles.data import read_image

    shares = [
        head_mask(read_image(path, 1)).mean() for path in sorted(real_data.glob("kaggle_yesno/*/*")) if path.is_file()
    ]
    assert min(shares) > 0.1
    assert np.mean(np.array(shares) > 0.9) < 0.03  # nearly always told from the background
