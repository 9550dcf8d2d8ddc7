from __future__ import annotations

import pytest
import torch
from torch import nn

from medbundles.inferers import AutocastInferer
from medbundles.metrics import PatchAgainstWhole


class Contrast(nn.Module):
    """Takes off the mean of what it sees, as instance normalisation does; noisy while it trains."""

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        noise = torch.rand_like(image) if self.training else 0
        return {"reconstruction": image - image.mean((2, 3), keepdim=True) + noise}


def test_a_network_that_depends_on_how_much_it_sees_has_a_gap():
    image = torch.zeros(2, 1, 10, 8)
    image[0, :, 3:7, 2:6] = 1  # the centre patch of 4 x 4
    image[1] = 0.5
    network = Contrast().eval()
    output = {"pred": network(image), "label": image}
    network.train()
    columns = PatchAgainstWhole(network, AutocastInferer(False), [4, 4])(output)
    # alone the patch loses its whole mean of 1; in the image 16 of 80 pixels are 1, so the mean is .2
    assert columns["l1_patch"].tolist() == pytest.approx([1, 0.5], abs=1e-6)
    assert columns["l1_gap"].tolist() == pytest.approx([0.2 - 1, 0], abs=1e-6)
    assert network.training  # left as it was


def test_an_image_smaller_than_the_patch_is_its_own_patch():
    image, network = torch.rand(1, 1, 5, 9), Contrast().eval()
    columns = PatchAgainstWhole(network, AutocastInferer(False), [16, 16])({"pred": network(image), "label": image})
    assert columns["l1_gap"].tolist() == pytest.approx([0], abs=1e-7)
    assert columns["l1_patch"].item() > 0.1
