from __future__ import annotations

import pytest
import torch
from monai.networks.nets.resnet import ResNet
from torch.nn.functional import conv2d, relu

from medbundles.networks.deeplabv3plus import DeepLabV3Plus, ImagePooling


@pytest.mark.parametrize(("encoder", "parameters"), [("resnet50", 26_671_570), ("resnet18", 12_323_282)])
def test_as_many_parameters_as_in_segmentation_models_pytorch(encoder, parameters):
    with torch.device("meta"):
        assert sum(p.numel() for p in DeepLabV3Plus(1, 2, encoder).parameters()) == parameters


@pytest.mark.parametrize(("output_stride", "dilations"), [(16, [6, 12, 18]), (8, [12, 24, 36])])
@pytest.mark.parametrize("encoder", ["resnet10", "resnet50"])
def test_dilated_features_hold_those_of_the_strided_network(encoder, output_stride, dilations):
    """The same weights, strided, see each second (or fourth) position of the dilated features."""
    torch.manual_seed(0)
    network = DeepLabV3Plus(1, 2, encoder, output_stride).eval().double()
    block, layers = ("bottleneck", [3, 4, 6, 3]) if encoder == "resnet50" else ("basic", [1, 1, 1, 1])
    strided = ResNet(
        block, layers, [64, 128, 256, 512], spatial_dims=2, n_input_channels=1, conv1_t_stride=2,
        feed_forward=False, bias_downsample=False,
    ).eval().double()  # fmt: skip
    strided.load_state_dict(network.resnet.state_dict())

    def features(resnet, x):
        x = resnet.maxpool(resnet.act(resnet.bn1(resnet.conv1(x))))
        return resnet.layer4(resnet.layer3(resnet.layer2(resnet.layer1(x))))

    image, step = torch.randn(1, 1, 64, 96, dtype=torch.float64), 32 // output_stride
    with torch.no_grad():
        dense, sparse = features(network.resnet, image), features(strided, image)
    assert dense.shape[2:] == (64 // output_stride, 96 // output_stride)
    torch.testing.assert_close(dense[:, :, ::step, ::step], sparse)
    branches = network.pooling[0].branches
    assert [branch[0].dilation[0] for branch in branches[1:4]] == dilations
    assert all(branch[0].groups == branch[0].in_channels for branch in (*branches[1:4], network.decoder))


@pytest.mark.parametrize("norm", ["instance", "batch", "group"])
def test_image_pooling_is_the_mean_through_a_1x1_convolution(norm):
    torch.manual_seed(0)
    pooling, x = ImagePooling(6, 16, norm).eval(), torch.randn(2, 6, 5, 7)
    linear, normalise, _ = pooling.layers
    mean = x.double().mean(dim=(2, 3), keepdim=True)
    bias = None if linear.bias is None else linear.bias.double()
    wanted = conv2d(mean, linear.weight.double()[:, :, None, None], bias)
    wanted = relu(normalise.double()(wanted[:, :, 0, 0]))[:, :, None, None].expand(-1, -1, 5, 7)
    torch.testing.assert_close(pooling.float()(x).double(), wanted, atol=1e-5, rtol=1e-4)
    assert (linear.bias is None) == (norm != "instance")


def test_the_last_batch_of_an_epoch_may_have_one_image():
    network = DeepLabV3Plus(1, 2, "resnet10", norm="batch")
    network(torch.randn(2, 1, 64, 64))
    assert network(torch.randn(1, 1, 64, 64)).isfinite().all()
