from __future__ import annotations

import pytest
import torch
from monai.networks import nets

from medbundles.networks.vnet import VNet


@pytest.mark.parametrize("dims", [2, 3])
def test_equal_to_monais_at_its_width_norm_and_channels(dims):
    torch.manual_seed(0)
    theirs = nets.VNet(dims, 1, 3)
    for module in theirs.modules():  # some are always 0.5 there
        if isinstance(module, torch.nn.Dropout3d):
            module.p = 0.0
    ours = VNet(dims, 1, 3, 16, norm="batch")
    ours.load_state_dict(theirs.state_dict())  # strict: the same names and shapes
    image = torch.randn(2, 1, *[16] * dims)
    found, wanted = ours(image), theirs(image)
    assert torch.equal(found, wanted)
    found.square().mean().backward()
    wanted.square().mean().backward()
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert torch.equal(ours.eval()(image), theirs.eval()(image))


def test_dropout_stands_where_monais_does():
    theirs = nets.VNet(2, 1, 2, dropout_prob_down=0.3, dropout_prob_up=(0.3, 0.3))
    places = [name for name, module in theirs.named_modules() if "Dropout" in type(module).__name__]
    ours = VNet(2, 1, 2, dropout=0.3)
    kinds = {name: module for name, module in ours.named_modules() if "Dropout" in type(module).__name__}
    assert list(kinds) == places
    assert {module.p for module in kinds.values()} == {0.3}
    assert {type(module) for module in kinds.values()} == {torch.nn.Dropout2d}  # MONAI's 3D default drops whole images


@pytest.mark.parametrize(("channels", "width"), [(3, 16), (4, 6), (12, 8)])
def test_any_channels_are_added_to_the_features_in_turn(channels, width):
    torch.manual_seed(0)
    entry = VNet(2, channels, 2, width).eval().in_tr
    image = torch.randn(1, channels, 8, 8)
    turned = torch.stack([image[:, i % channels] for i in range(width)], dim=1)
    wanted = torch.nn.functional.elu(entry.conv_block(image) + turned)
    torch.testing.assert_close(entry(image), wanted)


def test_group_norm_of_the_logits_has_as_many_groups_as_divide_them():
    network = VNet(2, 1, 6, 8, norm="group")
    norm = network.out_tr.conv_block.adn.N
    assert (norm.num_groups, norm.num_channels) == (2, 6)
    assert network.in_tr.conv_block.adn.N.num_groups == 8
