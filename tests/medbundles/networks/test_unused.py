from __future__ import annotations

import pytest
import torch
from monai.networks.blocks import TransformerBlock
from torch import nn

from medbundles.networks.unused import freeze_unused
from tests.medbundles.networks.small_networks import NARROW, VOLUMETRIC, small


def test_what_gets_no_gradient_is_frozen_and_nothing_else_changes():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), TransformerBlock(8, 16, 2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert freeze_unused(network, [1, 3, 4]) == ["1.norm_cross_attn.weight", "1.norm_cross_attn.bias"]
    assert [name for name, p in network.named_parameters() if not p.requires_grad] == [
        "1.norm_cross_attn.weight",
        "1.norm_cross_attn.bias",
    ]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(p.grad is None and p.device.type == "cpu" for p in network.parameters())


@pytest.mark.parametrize(("name", "sides"), [(n, [40, 40]) for n in NARROW] + [(n, [36, 20, 16]) for n in VOLUMETRIC])
def test_every_parameter_of_a_network_that_is_not_frozen_gets_a_gradient(name, sides):
    network = small(name, spatial_dims=len(sides), image_size=sides)
    network(torch.randn(2, 1, *sides)).square().mean().backward()
    assert all((p.grad is not None) == p.requires_grad for p in network.parameters())
    frozen = {n.split(".")[-2] for n, p in network.named_parameters() if not p.requires_grad}
    assert frozen == ({"norm_cross_attn"} if name in ("transunet", "unetr") else set())
