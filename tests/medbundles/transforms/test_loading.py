from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from monai.transforms import Compose
from PIL import Image

from medbundles.errors import ConfigError, DataError
from medbundles.transforms import CropToHead, HeadNormalise, LoadSlice, ResizeSquare


@pytest.fixture
def item(tmp_path, head) -> dict:
    Image.fromarray(head[0].astype(np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(((head[0] > 165) * 255).astype(np.uint8)).save(tmp_path / "a_mask.png")
    return {
        "image": str(tmp_path / "a.png"),
        "mask": str(tmp_path / "a_mask.png"),
        "label": -1,
        "has_mask": True,
        "patient": "p",
        "source": "slices",
        "name": "p/a",
    }


def test_reads_image_and_mask(item, head):
    out = LoadSlice(channels=1, mask_classes=1)(item)
    np.testing.assert_array_equal(out["image"], head.astype(np.uint8))
    assert out["image"].dtype == np.float32
    assert out["mask"].dtype == np.uint8
    assert out["mask"].shape == (1, 200, 160)
    assert out["label"] == 1
    assert out["image_path"] == item["image"]
    assert out["original_size"].tolist() == [200, 160]
    assert item["label"] == -1  # the datalist stays as it is


def test_unknown_label_is_0_without_tumour(item, tmp_path):
    Image.fromarray(np.zeros((200, 160), np.uint8)).save(tmp_path / "a_mask.png")
    assert LoadSlice(1, 1)(item)["label"] == 0


def test_a_slice_has_the_class_that_is_named_for_it(item, tmp_path):
    names = ["glioma", "none", "meningioma"]
    load = LoadSlice(class_names=names, slice_classes=["none", "glioma"])
    assert load(item)["label"] == 0
    Image.fromarray(np.zeros((200, 160), np.uint8)).save(tmp_path / "a_mask.png")
    assert load(item)["label"] == 1
    with pytest.raises(ConfigError, match=r"slice_classes: \['no', 'yes'\] must be two of class_names \['glioma'"):
        LoadSlice(class_names=names)


def test_no_mask_is_zeros_and_a_known_label_stays(item):
    out = LoadSlice(1, 1)(item | {"mask": "", "label": 1, "has_mask": False})
    assert out["label"] == 1
    assert not out["mask"].any()
    assert out["mask"].shape == (1, 200, 160)


def test_another_size_names_both_files(item, tmp_path):
    Image.fromarray(np.zeros((100, 160), np.uint8)).save(tmp_path / "a_mask.png")
    with pytest.raises(DataError, match=r"a_mask\.png: the mask has 100x160 .* its image .*a\.png has 200x160"):
        LoadSlice(1, 1)(item)


def test_the_whole_preprocessing(item):
    steps = Compose([LoadSlice(1, 1), HeadNormalise(), CropToHead(0.05), ResizeSquare(96)])
    out = pickle.loads(pickle.dumps(steps))(item)
    assert set(out) == {*item, "image_path", "original_size", "crop"}
    assert type(out["image"]) is type(out["mask"]) is torch.Tensor
    assert (out["image"].shape, out["mask"].shape) == ((1, 96, 96), (1, 96, 96))
    again = steps(item)
    assert torch.equal(out["image"], again["image"])
