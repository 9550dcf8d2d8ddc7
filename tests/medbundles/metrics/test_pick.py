from __future__ import annotations

import pickle

import pytest
import torch

from medbundles.errors import ConfigError
from medbundles.metrics import Pick, PickMasks

OUTPUT = {"pred": {"mask": torch.ones(1), "class": 3}, "label": {"mask": torch.tensor([0, 2])}, "image": 5}


def test_one_path_gives_the_entry_more_give_a_tuple():
    assert Pick("image")(OUTPUT) == 5
    assert Pick("pred.class", "image")(OUTPUT) == Pick(paths=["pred.class", "image"])(OUTPUT) == (3, 5)
    assert pickle.loads(pickle.dumps(Pick("pred.class")))(OUTPUT) == 3


def test_masks_become_zero_and_one():
    pred, mask = pickle.loads(pickle.dumps(PickMasks("pred.mask", "label.mask")))(OUTPUT)
    assert (pred.tolist(), mask.tolist()) == ([1.0], [0.0, 1.0])
    assert PickMasks("label.mask")(OUTPUT).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("pred.prob", r"no 'pred.prob' in the engine's output: 'prob' is not among: mask, class"),
        ("image.x", r"no 'image.x' in the engine's output: 'x' is not among: int"),
    ],
)
def test_what_is_not_there_is_named(path, message):
    with pytest.raises(ConfigError, match=message):
        Pick("image", path)(OUTPUT)
    with pytest.raises(ConfigError, match="at least one path"):
        Pick()
