from __future__ import annotations

import pytest
import torch
from monai.networks import nets

from medbundles.networks.unetr import UNETR


@pytest.mark.parametrize("dims", [2, 3])
def test_equal_to_monais_with_its_12_layers(dims):
    torch.manual_seed(0)
    affine = ("instance", {"affine": True})
    theirs = nets.UNETR(2, 3, 32, hidden_size=24, mlp_dim=96, num_heads=2, spatial_dims=dims, norm_name=affine)
    ours = UNETR(dims, 2, 3, [32] * dims, hidden=24, heads=2)
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(1, 2, *[32] * dims)
    torch.testing.assert_close(ours(image), theirs(image))


def test_skips_leave_after_each_quarter_of_the_layers():
    network, seen = UNETR(2, 1, 2, [32, 32], layers=8, hidden=24, heads=2), []
    proj_feat, network.proj_feat = network.proj_feat, lambda x: seen.append(x) or proj_feat(x)
    outputs = []
    for block in network.vit.blocks:
        block.register_forward_hook(lambda module, inputs, out: outputs.append(out))
    network(torch.randn(1, 1, 32, 32))
    assert len(outputs) == 8
    assert all(a is b for a, b in zip(seen[:3], [outputs[2], outputs[4], outputs[6]], strict=True))
