from __future__ import annotations

import torch
from torch.nn.functional import conv2d, group_norm

from medbundles.networks import SegmentationNetwork
from medbundles.networks.resnet_v2 import ResNetV2, StandardisedConv2d, Unit
from medbundles.networks.transunet import TransUNet


def test_as_many_parameters_as_in_the_authors_network():
    """ViT-B/16, 224x224, 9 classes; MONAI's block has a norm of 1,536 for a cross-attention that is not there."""
    with torch.device("meta"):
        network = TransUNet(3, 9, (224, 224))
    unused = {name: p.numel() for name, p in network.named_parameters() if "norm_cross_attn" in name}
    assert sum(unused.values()) == 12 * 1_536
    assert sum(p.numel() for p in network.parameters()) - 12 * 1_536 == 105_277_081


def test_what_trains_is_what_the_authors_network_has():
    network = SegmentationNetwork("transunet", in_channels=3, out_channels=9, image_size=64, layers=2, hidden=48)
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert sum(p.numel() for p in network.parameters()) - trained == 2 * 2 * 48
    qkv = network.body.transformer[1].attn.qkv
    assert qkv.bias is not None


def standardised(layer):
    weight = layer.weight.double()
    mean = weight.mean(dim=(1, 2, 3), keepdim=True)
    return (weight - mean) / ((weight - mean).square().mean(dim=(1, 2, 3), keepdim=True) + 1e-5).sqrt()


def test_kernels_are_standardised():
    torch.manual_seed(0)
    layer, x = StandardisedConv2d(5, 8, 3, stride=2), torch.randn(2, 5, 9, 12)
    wanted = conv2d(x.double(), standardised(layer), stride=2, padding=1)
    torch.testing.assert_close(layer(x).double(), wanted, atol=1e-5, rtol=1e-5)


def test_a_unit_is_that_of_the_authors():
    """Convolution and group normalisation three times, beside one whose groups are single channels."""
    torch.manual_seed(0)
    unit, x = Unit(64, 32, stride=2), torch.randn(2, 64, 8, 10)
    for parameter in unit.parameters():
        torch.nn.init.normal_(parameter)

    def part(x, convolution, norm, groups, eps, **options):
        x = conv2d(x, standardised(convolution), **options)
        return group_norm(x, groups, norm.weight.double(), norm.bias.double(), eps)

    layers, short = unit.layers, unit.shortcut
    y = part(x.double(), layers[0], layers[1], 32, 1e-6).relu()
    y = part(y, layers[3], layers[4], 32, 1e-6, stride=2, padding=1).relu()
    y = part(y, layers[6], layers[7], 32, 1e-6)
    wanted = (y + part(x.double(), short[0], short[1], 128, 1e-5, stride=2)).relu()
    torch.testing.assert_close(unit(x).double(), wanted, atol=1e-4, rtol=1e-4)


def test_the_encoder_shrinks_to_a_16th_in_3_4_and_9_units():
    encoder = ResNetV2(1)
    assert [len(block) for block in encoder.blocks] == [3, 4, 9]
    with torch.no_grad():
        levels = encoder(torch.randn(1, 1, 48, 64))
    assert [tuple(level.shape[1:]) for level in levels] == [(64, 24, 32), (256, 12, 16), (512, 6, 8), (1024, 3, 4)]
