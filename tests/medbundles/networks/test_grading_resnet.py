from __future__ import annotations

import pytest
import torch
from torch.nn import functional as f

from medbundles.errors import ConfigError
from medbundles.networks import GradingResNet
from medbundles.networks.grading_resnet import BLOCKS, CosineHead, LinearHead, PaddedShortcut


def randomised(network: torch.nn.Module) -> torch.nn.Module:
    """In float64, with normalisation statistics that are not those of a fresh network."""
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.2)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return network.double().eval()


def medicalnet_features(w: dict[str, torch.Tensor], x: torch.Tensor, depth: int) -> torch.Tensor:
    """MedicalNet's network written down from its publication, with plain functions."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return f.batch_norm(x, *(w[f"{name}.{n}"] for n in ("running_mean", "running_var", "weight", "bias")))

    def shortcut(x: torch.Tensor, name: str, planes: int, stride: int) -> torch.Tensor:
        if depth in (18, 34):
            small = f.avg_pool3d(x, 1, stride)
            return torch.cat([small, small.new_zeros(len(x), planes - x.shape[1], *small.shape[2:])], dim=1)
        return norm(f.conv3d(x, w[f"{name}.downsample.0.weight"], stride=stride), f"{name}.downsample.1")

    x = f.conv3d(x, w["conv1.weight"], stride=2, padding=3)
    x = f.max_pool3d(f.relu(norm(x, "bn1")), 3, 2, 1)
    kind, blocks = BLOCKS[depth]
    expansion = 4 if kind == "bottleneck" else 1
    for number, (count, stride, dilation) in enumerate(zip(blocks, (1, 2, 1, 1), (1, 1, 2, 4), strict=True), start=1):
        planes = 64 * 2 ** (number - 1) * expansion
        for i in range(count):
            name, step = f"layer{number}.{i}", stride if i == 0 else 1
            wide = {"padding": dilation, "dilation": dilation}
            if kind == "bottleneck":
                y = f.relu(norm(f.conv3d(x, w[f"{name}.conv1.weight"]), f"{name}.bn1"))
                y = f.relu(norm(f.conv3d(y, w[f"{name}.conv2.weight"], stride=step, **wide), f"{name}.bn2"))
                y = norm(f.conv3d(y, w[f"{name}.conv3.weight"]), f"{name}.bn3")
            else:
                y = f.relu(norm(f.conv3d(x, w[f"{name}.conv1.weight"], stride=step, **wide), f"{name}.bn1"))
                y = norm(f.conv3d(y, w[f"{name}.conv2.weight"], **wide), f"{name}.bn2")
            changes = step != 1 or x.shape[1] != planes
            x = f.relu(y + (shortcut(x, name, planes, step) if changes else x))
    return x.mean(dim=(2, 3, 4))


@pytest.mark.parametrize("depth", [10, 18, 50])
def test_features_are_medicalnets(depth):
    network = randomised(GradingResNet(depth))
    x = torch.randn(2, 1, 32, 40, 24, dtype=torch.float64)
    expected = medicalnet_features(network.backbone.state_dict(), x, depth)
    assert torch.allclose(network.backbone(x), expected, rtol=1e-9, atol=1e-9)
    other = GradingResNet(depth, layout="strided")
    if depth != 18:  # other shortcuts there
        other.load_state_dict(network.state_dict())
        assert not torch.allclose(other.double().eval().backbone(x), expected, rtol=1e-2)


def test_parameters_of_resnet50():
    assert sum(p.numel() for p in GradingResNet().parameters()) == 46_159_168  # and 2 for the biases of a linear head
    assert sum(p.numel() for p in GradingResNet(head="linear").parameters()) == 46_159_170


@pytest.mark.parametrize(("layout", "side"), [("medicalnet", 4), ("strided", 1)])
def test_resolution_of_the_layouts(layout, side):
    sizes = []
    network = GradingResNet(10, layout=layout)
    network.backbone.layer4.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[2:]))
    network(torch.randn(2, 1, 32, 32, 32))
    assert sizes == [(side,) * 3]


def test_gradients_pass_the_padded_shortcut():
    """MONAI's shortcut A cuts them off."""
    x = torch.randn(1, 3, 4, 4, 4, requires_grad=True)
    out = PaddedShortcut(5, 2)(x)
    assert out.shape == (1, 5, 2, 2, 2)
    assert not out[:, 3:].any()
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.sum() == 3 * 8


def test_cosine_head_is_the_cosine_times_the_scale():
    network = GradingResNet(10, num_classes=3, scale=20, dropout=0).eval()
    x = torch.randn(4, 1, 32, 32, 32)
    features = network.backbone(x).double()
    cosines = f.cosine_similarity(features[:, None], network.head.weight.double()[None], dim=2)
    assert torch.allclose(network(x).double(), 20 * cosines, atol=1e-4)


@pytest.mark.parametrize("head", [CosineHead(64, 2), LinearHead(64, 2)])
def test_heads_compute_in_float32_under_autocast(head):
    x = torch.randn(8, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = head(x)
    assert mixed.dtype == torch.float32
    assert torch.allclose(mixed, head(x), atol=1e-6)


def test_linear_head_is_a_linear_layer():
    head, x = LinearHead(16, 3), torch.randn(5, 16)
    assert torch.allclose(head(x), f.linear(x, head.weight, head.bias), atol=1e-6)


def test_dropout_stands_before_the_head():
    network = GradingResNet(10, dropout=1 - 1e-9, head="linear", scale=1)
    out = network.train()(torch.randn(2, 1, 32, 32, 32))
    assert torch.allclose(out, network.head.bias.expand(2, 2))


def test_it_can_be_scripted():
    network = GradingResNet(18).eval()
    x = torch.randn(1, 1, 32, 32, 32)
    assert torch.allclose(torch.jit.script(network)(x), network(x), atol=1e-5)


@pytest.mark.parametrize("wrong", [{"depth": 101}, {"layout": "dense"}, {"head": "sine"}])
def test_unknown_names_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        GradingResNet(**wrong)
