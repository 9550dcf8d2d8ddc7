from __future__ import annotations

import logging
import pickle

import pytest
import torch
from monai.networks.nets.resnet import ResNet

from medbundles.errors import CheckpointError
from medbundles.networks import GradingResNet, load_medicalnet
from medbundles.networks.grading_resnet import BLOCKS


def published(depth: int, channels: int = 1) -> dict[str, torch.Tensor]:
    """Weights named and shaped as in MedicalNet's files."""
    block, layers = BLOCKS[depth]
    shortcut = "A" if depth in (18, 34) else "B"
    net = ResNet(
        block, layers, [64, 128, 256, 512], n_input_channels=channels, feed_forward=False, bias_downsample=False,
        shortcut_type=shortcut,
    )  # fmt: skip
    return net.state_dict()


@pytest.mark.parametrize("depth", [10, 18, 34, 50])
def test_file_as_published(tmp_path, depth, caplog):
    weights = published(depth)
    path = tmp_path / f"resnet_{depth}_23dataset.pth"
    wrapped = {f"module.{k}": v for k, v in weights.items() if "num_batches" not in k}  # older files lack the counters
    torch.save({"state_dict": wrapped}, path)
    network = GradingResNet(depth)
    head = network.head.weight.clone()
    with caplog.at_level(logging.INFO):
        skipped = load_medicalnet(network, path)
    loaded = network.backbone.state_dict()
    turned = {k: v.permute(0, 1, 4, 3, 2) if v.dim() == 5 else v for k, v in weights.items()}
    assert all(torch.equal(loaded[k], v) for k, v in turned.items() if "num_batches" not in k)
    assert torch.equal(network.head.weight, head)
    assert skipped == []
    number = len(wrapped)
    assert f"loaded {number} of {number} tensors of the backbone" in caplog.text


@pytest.mark.parametrize("depth", [18, 50])
def test_a_volume_gives_what_it_gives_there_with_its_axes_turned(tmp_path, depth):
    """MedicalNet's volumes are (D, H, W), ours (X, Y, Z) with canonical axes: D is Z, W is X."""
    torch.manual_seed(0)
    weights = published(depth)
    torch.save({"state_dict": weights}, tmp_path / "w.pth")
    theirs, ours = GradingResNet(depth).eval(), GradingResNet(depth).eval()
    theirs.backbone.load_state_dict(weights)
    load_medicalnet(ours, tmp_path / "w.pth")
    x = torch.randn(1, 1, 24, 16, 32)
    assert torch.allclose(ours.backbone(x), theirs.backbone(x.permute(0, 1, 4, 3, 2)), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(ours.backbone(x), theirs.backbone(x), rtol=1e-2, atol=1e-3)


def test_shortcuts_of_another_kind_are_refused(tmp_path):
    block, layers = BLOCKS[18]
    net = ResNet(block, layers, [64, 128, 256, 512], n_input_channels=1, feed_forward=False, bias_downsample=False)
    torch.save(net.state_dict(), tmp_path / "w.pth")
    with pytest.raises(
        CheckpointError, match=r"has layers that .* layer2\.0\.downsample\.0\.weight.* shortcuts of kind A"
    ):
        load_medicalnet(GradingResNet(18), tmp_path / "w.pth")


def test_plain_state_dict_of_a_whole_network(tmp_path):
    other = GradingResNet(10)
    torch.save(other.state_dict(), tmp_path / "plain.pt")
    network = GradingResNet(10)
    skipped = load_medicalnet(network, tmp_path / "plain.pt")
    assert torch.equal(network.backbone.conv1.weight, other.backbone.conv1.weight)
    assert skipped == ["head.weight (not in the backbone)"]


def test_first_convolution_is_adapted_to_the_channels(tmp_path):
    torch.save({"state_dict": published(10)}, tmp_path / "w.pth")
    one, four = GradingResNet(10).eval(), GradingResNet(10, in_channels=4).eval()
    for network in (one, four):
        load_medicalnet(network, tmp_path / "w.pth")
    x = torch.randn(1, 1, 32, 32, 32)
    assert torch.allclose(one.backbone(x), four.backbone(x.repeat(1, 4, 1, 1, 1)), rtol=1e-3, atol=1e-4)


def test_file_of_another_depth_says_which(tmp_path):
    torch.save({"state_dict": published(34)}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"is a ResNet-34, the network is a ResNet-50.*--depth 34"):
        load_medicalnet(GradingResNet(50), tmp_path / "w.pth")


def test_too_few_tensors_change_nothing(tmp_path):
    weights = published(10)
    gone = [name for name in weights if name.startswith("layer2")]
    weights[gone[0]] = weights[gone[0]][:1]
    torch.save(weights, tmp_path / "w.pth")
    network = GradingResNet(10)
    before = network.backbone.conv1.weight.clone()
    with pytest.raises(CheckpointError, match=r"59 of 60 tensors of the backbone match.*layer2.0.conv1.weight"):
        load_medicalnet(network, tmp_path / "w.pth")
    assert torch.equal(network.backbone.conv1.weight, before)


def test_something_else_is_refused(tmp_path):
    torch.save({"encoder.weight": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="holds no ResNet"):
        load_medicalnet(GradingResNet(10), tmp_path / "w.pth")
    (tmp_path / "code.pth").write_bytes(pickle.dumps({"state_dict": print}))
    with pytest.raises(CheckpointError):
        load_medicalnet(GradingResNet(10), tmp_path / "code.pth")
    with pytest.raises(CheckpointError, match="there is no such file of weights"):
        load_medicalnet(GradingResNet(10), tmp_path / "nowhere.pth")
