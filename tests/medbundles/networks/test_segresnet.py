from __future__ import annotations

import torch
from monai.networks import nets

from medbundles.networks.segresnet import SegResNet


def test_equal_to_monais_at_depth_3():
    torch.manual_seed(0)
    theirs, ours = nets.SegResNet(2, 8, 2, 3), SegResNet(2, 2, 3, base_channels=8, norm="group")
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(1, 2, 32, 40)
    assert torch.equal(ours(image), theirs(image))


def test_other_depths_halve_as_often():
    assert len(SegResNet(2, 1, 2, 8, depth=2).down_layers) == 3
    assert [len(layer) - 1 for layer in SegResNet(2, 1, 2, 8, depth=5).down_layers] == [1, 2, 2, 2, 2, 4]
