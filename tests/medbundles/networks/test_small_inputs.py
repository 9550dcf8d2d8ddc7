"""Gradients of small inputs in bfloat16, where torch's own convolutions give what lies in memory."""

from __future__ import annotations

import copy

import pytest
import torch
from monai.networks.nets import DenseNet121
from torch import nn

from medbundles.networks import to_device

CONVOLUTIONS = [
    *[(nn.Conv3d, 3, stride, side) for stride in (1, 2) for side in ((1, 1, 1), (2, 2, 2), (2, 3, 5), (4, 4, 4))],
    *[(nn.Conv3d, kernel, 1, (side,) * 3) for kernel in (5, 7) for side in (1, 3, 4, 8)],
    (nn.Conv2d, 3, 2, (1, 1)), (nn.Conv2d, 7, 2, (1, 1)),
    *[(nn.ConvTranspose3d, kernel, 2, (side,) * 3) for kernel in (3, 5) for side in (1, 2, 4)],
]  # fmt: skip


@pytest.mark.parametrize(("kind", "kernel", "stride", "side"), CONVOLUTIONS)
def test_weight_gradients_are_those_of_float32(kind, kernel, stride, side):
    torch.manual_seed(0)
    network = to_device(nn.Sequential(kind(32, 32, kernel, stride=stride, padding=kernel // 2)), "cpu", True)
    x, gradients = torch.randn(4, 32, *side), []
    for enabled in (False, True):
        network.zero_grad()
        dirty = [torch.full((size,), float("nan")) for size in (3_000_000, 1_000_000, 500_000, 200_000)]
        del dirty  # what lies in memory
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            out = network(x)
        out.float().square().sum().backward()
        gradients.append(network[0].weight.grad.clone())
    assert (gradients[1] - gradients[0]).norm() < 0.02 * gradients[0].norm()


def test_a_network_of_others_trains_on_small_volumes():
    """Its last blocks see two voxels a side; torch's own gradients there reach 1e35."""
    torch.manual_seed(0)
    network = to_device(DenseNet121(spatial_dims=3, in_channels=1, out_channels=2), "cpu").train()
    with torch.autocast("cpu", torch.bfloat16):
        out = network(torch.randn(2, 1, 64, 64, 64))
    out.float().square().sum().backward()
    assert all(parameter.grad.abs().max() < 1e3 for parameter in network.parameters())


def test_names_results_and_copies_stay(tmp_path):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ConvTranspose2d(4, 1, 2, stride=2))
    x, weights = torch.randn(2, 1, 2, 9), copy.deepcopy(plain.state_dict())
    wanted = plain(x)
    torch.save(to_device(plain, "cpu"), tmp_path / "whole.pt")
    network = copy.deepcopy(torch.load(tmp_path / "whole.pt", weights_only=False))
    network.load_state_dict(weights)
    assert torch.equal(network(x), wanted)
    assert str(network[0]) == "Conv2d(1, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))"
    with torch.autocast("cpu", torch.bfloat16):
        assert network[0](x).dtype == torch.float32
        assert network[0](torch.randn(1, 1, 3, 3)).dtype == torch.bfloat16
