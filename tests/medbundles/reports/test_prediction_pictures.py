from __future__ import annotations

import numpy as np
import pytest
import torch

from medbundles.reports import prediction_pictures
from medbundles.reports.pictures import outline
from medbundles.reports.prediction_pictures import picture

RED, GREEN, YELLOW = (255, 0, 0), (0, 255, 0), (255, 255, 0)


def colour(picture: torch.Tensor, row: int, column: int) -> tuple[int, ...]:
    return tuple(picture[:, row, column].tolist())


def square(top: int, left: int, size: int = 4) -> torch.Tensor:
    mask = torch.zeros(12, 12, dtype=torch.uint8)
    mask[top : top + size, left : left + size] = 1
    return mask


def test_outline_is_the_rim_inside_the_mask():
    expected = square(2, 3).bool()
    expected[3:5, 4:6] = False  # the inner 2 x 2
    assert np.array_equal(outline(square(2, 3).numpy()), expected.numpy())


def test_outline_separates_touching_classes_and_leaves_the_picture_border_open():
    index = torch.zeros(5, 6)
    index[:, 2:4], index[:, 4:] = 1, 2
    assert outline(index.numpy()).astype(int).tolist() == [[0, 0, 1, 1, 1, 0]] * 5


def test_colours_tell_true_predicted_and_both():
    shown = picture(np.linspace(0, 1, 144).reshape(12, 12), square(1, 1).numpy(), square(1, 3).numpy())
    assert colour(shown, 2, 1) == GREEN
    assert colour(shown, 2, 6) == RED
    assert colour(shown, 1, 3) == YELLOW
    grey = colour(shown, 11, 0)
    assert len(set(grey)) == 1
    assert 0 < grey[0] < 255


def test_one_bright_pixel_does_not_darken_the_image():
    image = np.full((20, 20), 1.0)
    image[10:] = 2.0
    image[0, 0] = 1e6
    assert picture(image, np.zeros((20, 20)), np.zeros((20, 20)))[0, 15, 15] == 255


def test_a_constant_image_stays_finite():
    assert picture(np.ones((4, 4)), np.zeros((4, 4)), np.zeros((4, 4))).tolist() == torch.zeros(3, 4, 4).tolist()


def test_batched_dicts():
    masks = torch.stack([square(1, 1), square(5, 5), square(2, 2)])[:, None]
    output = {"image": torch.rand(3, 2, 12, 12), "label": {"mask": masks}, "pred": {"mask": masks.float()}}
    pictures = prediction_pictures(output, 2)
    assert [p.shape for p in pictures] == [(3, 12, 12)] * 2
    assert colour(pictures[1], 5, 5) == YELLOW


def test_plain_one_hot_tensors():
    index = torch.stack([square(1, 1)])
    one_hot = torch.stack([index == 0, index == 1], dim=1).float()
    (shown,) = prediction_pictures({"image": torch.rand(1, 1, 12, 12), "label": index[:, None], "pred": one_hot}, 4)
    assert colour(shown, 1, 1) == YELLOW


def test_a_volume_shows_the_slice_with_most_of_the_true_mask_nose_up():
    true = torch.zeros(1, 1, 6, 8, 5)
    true[0, 0, 1, 2, 1] = 1
    true[0, 0, 1, 2:4, 3] = 1  # the larger part: slice 3, at x 1 (right of the middle in RAS is small x), y 2 to 3
    output = {"image": torch.rand(1, 1, 6, 8, 5), "label": {"mask": true}, "pred": {"mask": torch.zeros_like(true)}}
    (shown,) = prediction_pictures(output, 1)
    assert shown.shape == (3, 8, 6)
    green = (shown == torch.tensor(GREEN)[:, None, None]).all(0).nonzero().tolist()
    assert green == [[8 - 1 - 3, 6 - 1 - 1], [8 - 1 - 2, 6 - 1 - 1]]  # volume[::-1, ::-1, z].T


@pytest.mark.parametrize(
    "output",
    [
        None,
        [{"image": torch.rand(1, 8, 8)}],
        {"image": torch.rand(2, 1, 8, 8), "label": torch.tensor([0, 1]), "pred": {"cls": torch.rand(2, 2)}},
        {"image": torch.rand(2, 1, 8, 8), "label": None, "pred": torch.rand(2, 1, 8, 8)},  # a reconstruction
        {"image": torch.rand(2, 1, 8, 8), "label": None, "pred": (torch.rand(2, 1, 8, 8), torch.rand(2, 4))},
        {"image": torch.rand(2, 1, 8, 8), "pred": {"mask": torch.zeros(2, 1, 4, 4)}},  # of another size
    ],
)
def test_nothing_where_there_are_neither_masks_nor_named_reconstructions(output):
    assert prediction_pictures(output, 4) == []


def test_a_prediction_without_truth_is_shown():
    (shown,) = prediction_pictures({"image": torch.rand(1, 1, 12, 12), "pred": {"mask": square(1, 1)[None, None]}}, 1)
    assert colour(shown, 1, 1) == RED


@pytest.mark.parametrize("sides", [(12, 16), (12, 16, 7)])
def test_a_reconstruction_is_shown_beside_its_image_with_the_difference(sides):
    image = torch.zeros(3, 2, *sides)
    image[:, :, 6:] = 1
    made = image.clone()
    made[..., 3] = 0.5  # in 3D the middle slice
    output = {"image": image, "label": image, "pred": {"reconstruction": made, "mean": torch.zeros(3, 4, 3, 4)}}
    pictures = prediction_pictures(output, 2)
    assert len(pictures) == 2
    third = pictures[0].shape[2] // 3 - 40
    assert pictures[0].dtype == torch.uint8
    assert (pictures[0][:, :, :third].float().std(0) == 0).all()  # gray
    assert not (pictures[0][:, :, 2 * third + 60 :].float().std(0) == 0).all()  # the difference has colours
    assert prediction_pictures(output, 0) == []
