from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import Resize
from torch.utils.data import default_collate

from medbundles.transforms import VOLUME_BACKGROUND, ResizeVolume


def smooth(shape) -> np.ndarray:
    grid = np.mgrid[tuple(slice(n) for n in shape)] / 7.0
    return np.sin(grid[0] + 0.5 * grid[1]) * np.cos(grid[2])[None].astype(np.float32)


def test_the_result_collates_and_holds_nothing_else(volume):
    item = {
        "image": volume, "label": 1, "name": "a", "patient": "p", "source": "volumes", "image_path": "a.nii",
        "grade": "HGG", "head": volume[0] > 0, "crop": torch.zeros(6), "original_size": torch.zeros(3),
    }  # fmt: skip
    out = ResizeVolume([16, 20, 12])(item)
    assert set(out) == {"image", "label", "name", "patient", "source", "image_path"}
    assert type(out["image"]) is torch.Tensor
    assert out["image"].dtype == torch.float32
    assert default_collate([out, out])["image"].shape == (2, 1, 16, 20, 12)


def test_proportions_are_kept_and_the_rest_is_background():
    out = ResizeVolume([32, 32, 16])({"image": np.ones((1, 40, 20, 20), np.float32)})["image"][0]
    inside = out > 0.5
    assert inside.any(2).any(1).sum() == 32
    assert inside.any(2).any(0).sum() == 16
    assert inside.any(1).any(0).sum() == 16
    assert (out[:, :7] == VOLUME_BACKGROUND).all()
    torch.testing.assert_close(out[16, 16, 8], torch.tensor(1.0))


@pytest.mark.parametrize("size", [10, 24, 40])
def test_it_is_monais_antialiased_resize(size):
    image = np.random.default_rng(0).normal(size=(2, 30, 30, 30)).astype(np.float32)
    wanted = Resize((size,) * 3, mode="trilinear", anti_aliasing=size < 30)(torch.from_numpy(image - VOLUME_BACKGROUND))
    out = ResizeVolume(size)({"image": image})["image"]
    np.testing.assert_allclose(out, wanted.as_tensor() + VOLUME_BACKGROUND, atol=1e-4)


def test_enlarging_keeps_smooth_images():
    image = smooth((20, 20, 20))[:1]
    out = ResizeVolume(40)({"image": image})["image"]
    np.testing.assert_allclose(out[0, ::2, ::2, ::2].numpy(), image[0], atol=0.2)


def test_the_bits_do_not_depend_on_the_number_of_threads(volume):
    before, results = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(ResizeVolume(37)({"image": volume})["image"])
    torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
