from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from medbundles.errors import ConfigError
from medbundles.transforms import Components


def masks(dims: int = 2) -> torch.Tensor:
    """Two classes (2, 2, ...): of each component sizes 9, 4 and 1 in 2D."""
    found = np.zeros((2, 2, *(16,) * dims), np.float32)
    for start, side in ((1, 3), (6, 2), (10, 1)):
        found[(slice(None), slice(None), *(slice(start, start + side),) * dims)] = 1
    return torch.from_numpy(found)


def sizes(found: torch.Tensor, i: int, k: int) -> list[int]:
    labels, _ = ndimage.label(found[i, k].numpy())
    return sorted(np.bincount(labels.ravel())[1:].tolist(), reverse=True)


def clean(options: dict, dims: int = 2, **more) -> torch.Tensor:
    before = masks(dims)
    found = Components(**options)({"pred": {"mask": before}, **more})["pred"]["mask"]
    assert torch.equal(before, masks(dims))
    return found


@pytest.mark.parametrize(
    ("options", "first", "second"),
    [
        ({}, [9, 4, 1], [9, 4, 1]),
        ({"largest": True}, [9], [9]),
        ({"largest": [2]}, [9, 4, 1], [9]),
        ({"min_size": 4}, [9, 4], [9, 4]),
        ({"min_size": [0, 5]}, [9, 4, 1], [9]),
        ({"largest": True, "min_size": 10}, [], []),
    ],
)
def test_what_is_kept(options, first, second):
    found = clean(options)
    for image in (0, 1):
        assert sizes(found, image, 0) == first
        assert sizes(found, image, 1) == second


def test_sizes_of_volumes_are_in_mm3():
    spacing = torch.tensor([[1.0, 1.0, 0.5], [1.0, 1.0, 2.0]])
    found = clean({"min_size": 4.5}, dims=3, label={"spacing": spacing})
    assert [sizes(found, i, 0) for i in (0, 1)] == [[27], [27, 8]]


def test_diagonal_neighbours_are_apart_and_nothing_stays_nothing():
    mask = torch.eye(6)[None, None]
    assert Components(largest=True)({"pred": {"mask": mask}})["pred"]["mask"].sum() == 1
    assert Components(largest=True)({"pred": {"mask": 0 * mask}})["pred"]["mask"].sum() == 0


def test_classes_that_there_are_not_are_named():
    with pytest.raises(ConfigError, match=r"largest_component: \[3\] are no classes; there are 1 to 2"):
        clean({"largest": [3]})
    with pytest.raises(ConfigError, match=r"min_size: .* are 3 numbers; there are 2 classes"):
        clean({"min_size": [1, 2, 3]})


def test_without_masks_nothing_is_cleaned():
    data = {"pred": {"cls": torch.zeros(1, 2)}}
    assert Components(largest=True)(data) is data
