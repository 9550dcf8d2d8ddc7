"""Pictures of a validation: which cases they show, and what of each."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medbundles.reports import PredictionPictures
from medbundles.reports.pictures import PREDICTION, TRUTH, outline
from medbundles.reports.prediction_pictures import PANEL


def square(top: int, left: int, size: int = 4) -> torch.Tensor:
    mask = torch.zeros(12, 12, dtype=torch.uint8)
    mask[top : top + size, left : left + size] = 1
    return mask


def shown(output, count=4, batch=None) -> list[np.ndarray]:
    chosen = PredictionPictures(count)
    chosen.add(output, batch)
    return [np.asarray(picture) for _, picture in chosen.pictures()]


def has(picture: np.ndarray, colour: tuple[int, ...]) -> bool:
    return bool((picture == colour).all(-1).any())


def batch_of(masks, **label) -> dict:
    image = torch.rand(len(masks), 2, *masks.shape[2:])
    return {"image": image, "label": {"mask": masks, **label}, "pred": {"mask": masks.float()}}


def test_outline_is_the_rim_inside_the_mask():
    expected = square(2, 3).bool()
    expected[3:5, 4:6] = False  # the inner 2 x 2
    assert np.array_equal(outline(square(2, 3).numpy()), expected.numpy())


def test_outline_separates_touching_classes_and_leaves_the_picture_border_open():
    index = torch.zeros(5, 6)
    index[:, 2:4], index[:, 4:] = 1, 2
    assert outline(index.numpy()).astype(int).tolist() == [[0, 0, 1, 1, 1, 0]] * 5


def test_truth_stands_beside_the_prediction_in_panels_that_can_be_read():
    output = batch_of(torch.stack([square(1, 1)])[:, None]) | {"pred": {"mask": square(1, 5)[None, None].float()}}
    (picture,) = shown(output)
    first, truth, both = (picture[:, i * 272 : i * 272 + 264] for i in range(3))  # 12 pixels, 22 times as large
    assert min(PANEL, first.shape[1]) >= 256
    assert not has(first[:264], TRUTH)
    assert not has(first[:264], PREDICTION)
    assert has(truth, TRUTH)
    assert not has(truth[:264], PREDICTION)
    assert has(both, TRUTH)
    assert has(both, PREDICTION)


def test_the_caption_names_the_case_the_epoch_and_its_dice(monkeypatch):
    told = []
    monkeypatch.setattr(
        "medbundles.reports.prediction_pictures.outlined", lambda *args, caption, **options: told.append(caption)
    )
    output = batch_of(torch.stack([square(1, 1), square(1, 1, 0)])[:, None])
    chosen = PredictionPictures(2)
    chosen.add(output, {"name": ["one", "two"], "image_path": ["1.png", "2.png"]})
    assert [name for name, _ in chosen.pictures("epoch 3")] == ["one", "two"]
    assert told == ["one, epoch 3, Dice 1.000", "two, epoch 3, Dice not defined, the true mask is empty"]


def test_cases_with_a_lesion_come_first_and_those_without_a_mask_last():
    masks = torch.stack([square(1, 1), square(1, 1, 0), square(2, 2), square(3, 3)])[:, None]
    output = batch_of(masks, has_mask=torch.tensor([False, True, True, True]))
    chosen = PredictionPictures(3)
    for number in range(2):
        chosen.add(output, {"name": [f"{number}{letter}" for letter in "abcd"]})
    assert [name for name, _ in chosen.pictures()] == ["0c", "0d", "1c"]
    chosen.forget()
    assert chosen.pictures() == []
    (alone,) = shown({**output, "image": output["image"][:1]} | batch_of(masks[:1], has_mask=torch.tensor([False])))
    assert not has(alone, TRUTH)  # not an empty mask: none is known


def test_plain_tensors_and_channels():
    index = torch.stack([square(1, 1)])[:, None]
    (picture,) = shown({"image": torch.rand(1, 1, 12, 12), "label": index, "pred": index.float()})
    assert has(picture, TRUTH)
    assert has(picture, PREDICTION)
    both = torch.cat([index, torch.stack([square(6, 6)])[:, None]], dim=1)
    assert len(shown({"image": torch.rand(1, 1, 12, 12), "label": both, "pred": both.float()})) == 1


def test_a_volume_shows_the_slice_with_most_of_the_true_mask_nose_up():
    true = torch.zeros(1, 1, 6, 8, 5)
    true[0, 0, 1, 2, 1] = 1
    true[0, 0, 1, 2:4, 3] = 1  # the larger part: slice 3, at x 1 (right of the middle in RAS is small x), y 2 to 3
    output = batch_of(true) | {"pred": {"mask": torch.zeros_like(true)}}
    (picture,) = shown(output)
    rows, columns = np.nonzero((picture[: 8 * 32, 200:392] == TRUTH).all(-1))  # the middle panel, 32 times as large
    assert (rows.min() // 32, rows.max() // 32) == (8 - 1 - 3, 8 - 1 - 2)  # volume[::-1, ::-1, z].T
    assert (columns.min() // 32, columns.max() // 32) == (4, 4)


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
    assert shown(output) == []


def test_a_prediction_without_truth_is_shown():
    (picture,) = shown({"image": torch.rand(1, 1, 12, 12), "pred": {"mask": square(1, 1)[None, None]}})
    assert has(picture, PREDICTION)
    assert not has(picture, TRUTH)


@pytest.mark.parametrize("sides", [(12, 16), (12, 16, 7)])
def test_a_reconstruction_is_shown_beside_its_image_with_the_difference(sides):
    image = torch.zeros(3, 2, *sides)
    image[:, :, 6:] = 1
    made = image.clone()
    made[..., 3] = 0.5  # in 3D the middle slice
    output = {"image": image, "label": image, "pred": {"reconstruction": made, "mean": torch.zeros(3, 4, 3, 4)}}
    pictures = shown(output, 2)
    assert len(pictures) == 2
    third = pictures[0].shape[1] // 3 - 40
    assert (pictures[0][:, :third].std(-1) == 0).all()  # gray
    assert not (pictures[0][:, 2 * third + 60 :].std(-1) == 0).all()  # the difference has colours
    assert shown(output, 0) == []
