from __future__ import annotations

import pytest
import torch
from monai.networks import nets
from torch import nn

from medbundles.networks.unet import UNet


def test_equal_to_monais():
    torch.manual_seed(0)
    theirs = nets.DynUNet(2, 2, 3, [3] * 4, [1, 2, 2, 2], [2] * 3, filters=[8, 16, 32, 64])
    ours = UNet(2, 2, 3, base_channels=8, depth=3)
    once = {name: value for name, value in theirs.state_dict().items() if not name.startswith("skip_layers.")}
    ours.load_state_dict(once)
    image = torch.randn(2, 2, 40, 48)
    assert torch.equal(ours(image), theirs(image))


def test_every_weight_has_one_name():
    assert len(UNet(2, 1, 2, 8, 2).state_dict()) == len(list(UNet(2, 1, 2, 8, 2).parameters()))


def test_the_guides_width_has_31_million_parameters():
    with torch.device("meta"):
        assert sum(p.numel() for p in UNet(2, 1, 2).parameters()) == 31_035_586


def test_a_thin_axis_is_halved_at_the_lowest_levels_with_kernels_of_1_above():
    network = UNet(3, 1, 2, base_channels=8, depth=[3, 3, 1])
    first = [block.conv1.conv for block in (network.input_block, *network.downsamples, network.bottleneck)]
    assert [convolution.stride for convolution in first] == [(1, 1, 1), (2, 2, 1), (2, 2, 1), (2, 2, 2)]
    assert [convolution.kernel_size for convolution in first] == [(3, 3, 1), (3, 3, 1), (3, 3, 3), (3, 3, 3)]
    assert network(torch.zeros(1, 1, 16, 24, 6)).shape == (1, 2, 16, 24, 6)


@pytest.mark.parametrize("depth", [2, 4])
def test_dropout_follows_each_convolution_but_never_drops_logits(depth):
    network = UNet(2, 1, 2, base_channels=8, depth=depth, dropout=0.4)
    dropped = [name for name, module in network.named_modules() if isinstance(module, nn.Dropout)]
    assert dropped
    assert not [name for name in dropped if name.startswith("output_block")]
