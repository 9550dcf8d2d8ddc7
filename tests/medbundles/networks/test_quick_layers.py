"""Layers in the form that a CPU computes faster, against torch's own in float64."""

from __future__ import annotations

import copy
from unittest.mock import patch

import pytest
import torch
from monai.networks.blocks import SpatialAttentionBlock
from torch import nn

from medbundles.errors import ConfigError
from medbundles.networks import MultitaskUNet, to_device
from medbundles.networks.memory_format import resolve_channels_last

LAYERS = {
    "norm": nn.InstanceNorm2d(12, affine=True),
    "norm_without_weights": nn.InstanceNorm2d(12, eps=1e-3),
    "norm_3d": nn.InstanceNorm3d(12, affine=True),
    "norm_with_statistics": nn.InstanceNorm2d(12, track_running_stats=True),
    "up": nn.ConvTranspose2d(12, 5, 2, stride=2),
    "up_3d": nn.ConvTranspose3d(12, 5, 2, stride=2),
    "up_uneven": nn.ConvTranspose2d(12, 5, (2, 3), stride=(2, 3), bias=False),
    "up_overlapping": nn.ConvTranspose2d(12, 5, 3, stride=2, padding=1, output_padding=1),
    "up_in_groups": nn.ConvTranspose2d(12, 6, 2, stride=2, groups=2),
}


def with_weights(layer):
    torch.manual_seed(0)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer


def through(layer, x, gradient=None):
    """What comes out, and the gradients of the input and of all parameters; in float64."""
    x = x.detach().requires_grad_()
    out = layer(x)
    out.backward(torch.ones_like(out) if gradient is None else gradient.to(out.dtype))
    return [tensor.double() for tensor in (out.detach(), x.grad, *(p.grad for p in layer.parameters()))]


@pytest.mark.parametrize("memory_format", ["first", "last"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5), (torch.bfloat16, 2e-2)], ids=str
)
@pytest.mark.parametrize("name", LAYERS)
def test_results_and_gradients_are_those_of_torch(name, dtype, tolerance, memory_format):
    plain = with_weights(copy.deepcopy(LAYERS[name]))
    dims = 3 if name.endswith("3d") else 2
    x = (3 + torch.randn(3, 12, *(6, 5, 4)[:dims])).to(dtype)
    exact = copy.deepcopy(plain).double()
    gradient = torch.randn_like(exact(x.double()))
    wanted = through(exact, x.double(), gradient)
    if memory_format == "last":
        x = x.contiguous(memory_format=torch.channels_last_3d if dims == 3 else torch.channels_last)
    quick = to_device(plain.double() if dtype == torch.float64 else plain, "cpu", memory_format == "last")
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        found = through(quick, x, gradient)
    for ours, right in zip(found, wanted, strict=True):
        assert (ours - right).norm() <= tolerance * right.norm()


def test_names_and_weights_stay():
    plain = MultitaskUNet(base_filters=4, depth=3)
    weights = copy.deepcopy(plain.state_dict())
    network = to_device(plain, "cpu", channels_last=True)
    assert list(network.state_dict()) == list(weights)
    network.load_state_dict(weights)
    assert str(network.encoder.stem.conv_0.adn.N).startswith("InstanceNorm2d(4, eps=1e-05")


def test_a_network_stays_channels_last():
    """One layer in between that is not would cost two copies, and all behind it the other layout."""
    network, seen = to_device(MultitaskUNet(base_filters=4, depth=3), "cpu", channels_last=True), []
    for module in network.modules():
        if not list(module.children()) and not isinstance(module, (nn.Linear, nn.Dropout)):
            module.register_forward_hook(lambda module, _, out: seen.append((module, out)))
    network(torch.randn(2, 1, 32, 32))
    images = [(module, out) for module, out in seen if out.dim() == 4 and out.shape[1] > 1]
    assert len(images) > 30
    assert not [module for module, out in images if not out.is_contiguous(memory_format=torch.channels_last)]


def test_an_attention_leaves_the_layout_as_it_was():
    plain = SpatialAttentionBlock(2, 8, norm_num_groups=2)
    x = torch.randn(2, 8, 4, 6)
    wanted = plain(x)
    found = to_device(plain, "cpu")(x)
    assert torch.equal(found, wanted)
    assert found.is_contiguous()


def test_one_place_is_refused_as_torch_does():
    for x in (torch.randn(2, 4, 1, 1), torch.randn(2, 4, 1, 1).contiguous(memory_format=torch.channels_last)):
        with pytest.raises(ValueError, match="more than 1 spatial element"):
            to_device(nn.InstanceNorm2d(4), "cpu")(x)


@pytest.mark.filterwarnings("ignore:Converting a tensor to a Python boolean")
def test_a_trace_holds_for_other_batches():
    network = to_device(nn.Sequential(nn.InstanceNorm2d(4)), "cpu", channels_last=True)
    x = torch.randn(3, 4, 6, 5).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(torch.jit.trace(network, x[:1])(x), network(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("avx512", [True, False])
def test_auto_is_channels_last_on_a_cpu_with_avx512_alone(avx512):
    with patch("torch.cpu._is_avx512_supported", return_value=avx512):
        assert resolve_channels_last("auto", "cpu") is avx512
        assert resolve_channels_last("auto", "cuda:0") is False
        assert resolve_channels_last(True, "cuda:0") is True
    with pytest.raises(ConfigError, match="channels_last: 'yes' is unknown"):
        to_device(nn.Conv2d(1, 1, 1), "cpu", "yes")


@pytest.mark.parametrize("layer", [nn.ConvTranspose2d(3, 4, 2, stride=2), nn.ConvTranspose2d(3, 4, 3, stride=2)])
def test_a_transposed_convolution_is_still_told_the_size_of_its_output(layer):
    network = to_device(copy.deepcopy(layer), "cpu")
    x = torch.rand(1, 3, 5, 7)
    size = [*layer(x).shape[:2], *(side + 1 for side in layer(x).shape[2:])]
    assert torch.equal(network(x, output_size=size[2:]), layer(x, output_size=size[2:]))


@pytest.mark.parametrize(("norm", "last"), [(nn.GroupNorm(4, 8), False), (nn.InstanceNorm2d(8), True)])
def test_auto_is_not_channels_last_with_group_normalisation(norm, last):
    """Its channels-last form is many times slower."""
    for channels_last, wanted in (("auto", last), (True, True)):
        network = nn.Sequential(nn.Conv2d(4, 8, 3), copy.deepcopy(norm))
        with patch("torch.cpu._is_avx512_supported", return_value=True):
            weight = to_device(network, "cpu", channels_last)[0].weight
        assert weight.is_contiguous(memory_format=torch.channels_last) is wanted
