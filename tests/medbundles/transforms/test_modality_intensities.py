from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from medbundles.errors import ConfigError
from medbundles.transforms import ModalityIntensities


def changed(modality, image, path="", ct_values=None):
    return ModalityIntensities(modality, ct_values)({"image": image, "image_path": str(path)})["image"]


def test_ct_is_clipped_and_scaled_with_given_values():
    image = torch.tensor([[[-2000.0, -100.0, 40.0, 3000.0]]])
    found = changed("ct", image, ct_values=[-100, 300, 40, 50])
    assert found.flatten().tolist() == pytest.approx([-2.8, -2.8, 0.0, 5.2])
    with pytest.raises(ConfigError, match="ct_values"):
        ModalityIntensities("ct")


@pytest.mark.parametrize("background", [0.0, -4.0])
def test_mri_is_scaled_by_what_is_above_its_darkest_value(background):
    """Whatever scale and background a file has."""
    inside = torch.linspace(1, 9, 50)
    image = torch.cat([torch.full((100,), background), inside]).reshape(1, 10, 15)
    found = changed("mri", torch.cat([image, 1e6 * image + 7]))
    assert torch.allclose(found[0], found[1], atol=1e-4)
    head = found[0].flatten()[100:]
    assert float(head.mean()) == pytest.approx(0, abs=1e-5)
    assert float(head.std()) == pytest.approx(1, abs=1e-5)


def test_pictures_of_8_bits_keep_their_gray_levels(tmp_path):
    path = tmp_path / "x.png"
    Image.fromarray(np.array([[10, 100]], np.uint8)).save(path)
    image = torch.tensor([[[10.0, 100.0]]])
    assert changed("xray", image, path).flatten().tolist() == pytest.approx([10 / 255, 100 / 255])
    Image.fromarray(np.array([[1000, 3000]], np.uint16)).save(path)
    assert changed("rgb", 10 * image, path).flatten().tolist() == pytest.approx([0, 1])


def test_auto_is_known_to_a_training_alone():
    with pytest.raises(ConfigError, match=r"use the trained.json beside the weights"):
        changed("auto", torch.zeros(1, 2, 2))
