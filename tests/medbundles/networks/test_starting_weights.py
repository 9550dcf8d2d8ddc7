"""Training starts from weights of other numbers of classes or channels, and from published encoders."""

from __future__ import annotations

import logging

import pytest
import torch
from monai.networks import nets
from monai.networks.nets.resnet import resnet18

from medbundles.errors import CheckpointError
from medbundles.networks import SegmentationNetwork, load_weights
from tests.medbundles.networks.small_networks import NARROW, small

ENDS = {
    "unet": ["input_block.conv1.conv.weight", "output_block.conv.conv.weight", "output_block.conv.conv.bias"],
    "segresnet": ["convInit.conv.weight", "conv_final.2.conv.weight", "conv_final.2.conv.bias"],
    "deeplabv3plus": ["resnet.conv1.weight", "head.weight", "head.bias"],
    "transunet": ["resnet.root.0.weight", "head.weight", "head.bias"],
}


@pytest.mark.parametrize("name", NARROW)
def test_weights_of_other_classes_and_channels_start_a_training_and_what_is_fresh_is_named(name, tmp_path, caplog):
    source, network = small(name, in_channels=1, out_channels=2), small(name, in_channels=3, out_channels=4)
    torch.save({"network": source.state_dict()}, tmp_path / "best.pt")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    fresh = [line.split(" ")[0] for line in load_weights(network, tmp_path / "best.pt", starting=True)]
    old, new = source.state_dict(), network.state_dict()
    assert fresh == [key for key in old if old[key].shape != new[key].shape]
    assert [key.removeprefix("body.") for key in fresh] == ENDS.get(name, [key.removeprefix("body.") for key in fresh])
    assert all(torch.equal(new[key], before[key] if key in fresh else old[key]) for key in new)
    said = caplog.messages[-1]
    assert "these tensors of the network start fresh: " in said
    assert all(key in said for key in fresh[:8])
    with pytest.raises(CheckpointError, match="does not fit"):  # an evaluation needs all of them
        load_weights(network, tmp_path / "best.pt", min_share=1)


def test_another_width_is_no_start():
    with pytest.raises(CheckpointError, match=r"does not fit: \d of \d+ tensors of the network match, 99% must"):
        load_weights(small("unet"), small("unet", base_channels=16).state_dict(), starting=True)


def test_weights_of_monais_own_network_fit():
    torch.manual_seed(1)
    theirs = nets.SegResNet(2, 8, 1, 2, norm=("instance", {"affine": True}), blocks_down=(1, 2, 4), blocks_up=(1, 1))
    network = small("segresnet")
    assert load_weights(network, theirs.state_dict(), min_share=1) == []
    image = torch.randn(1, 1, 40, 40)
    torch.testing.assert_close(network(image), theirs(image))


def published(source: nets.SwinUNETR) -> dict:
    """As model_swinvit.pt: MONAI's `load_from` reads these names; it has further heads of the pretraining."""
    weights = {
        f"module.{name.removeprefix('swinViT.').replace('.mlp.linear', '.mlp.fc')}": value
        for name, value in source.state_dict().items()
        if name.startswith("swinViT.")
    }
    heads = {"module.rotation_head.weight": torch.zeros(4, 8), "module.norm.weight": torch.zeros(8)}
    return {"epoch": 7, "state_dict": weights | heads, "optimizer": {"state": {}, "param_groups": []}}


@pytest.mark.parametrize("in_channels", [1, 2])
def test_monais_published_pretraining_of_swin_unetr_loads(in_channels, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    torch.manual_seed(1)
    source = nets.SwinUNETR(1, 14, feature_size=12, spatial_dims=3)
    torch.save(published(source), tmp_path / "model_swinvit.pt")
    network = SegmentationNetwork(
        "swin_unetr", spatial_dims=3, in_channels=in_channels, out_channels=3, image_size=64, embed_dim=12
    )
    skipped = load_weights(network, tmp_path / "model_swinvit.pt", starting=True)
    reference = nets.SwinUNETR(1, 3, feature_size=12, spatial_dims=3)
    reference.load_from(torch.load(tmp_path / "model_swinvit.pt"))
    encoder = {f"body.{n}": value for n, value in reference.state_dict().items() if n.startswith("swinViT.")}
    first = {"body.swinViT.patch_embed.proj.weight"} if in_channels == 2 else set()
    assert all(torch.equal(network.state_dict()[n], value) for n, value in encoder.items() if n not in first)
    of_network = {line.split(" ")[0] for line in skipped if "not in the network" not in line}
    assert of_network == first | {n for n in network.state_dict() if not n.startswith("body.swinViT.")}
    assert f"loaded {len(encoder) - len(first)} of {len(network.state_dict())} tensors" in caplog.text
    assert "start fresh: body." in caplog.text
    assert "skipped body.rotation_head.weight (not in the network), body.norm.weight" in caplog.text


@pytest.mark.parametrize("prefix", ["swin_vit.", "swinViT."])
def test_a_pretraining_of_ones_own_loads(prefix):
    source = nets.SwinUNETR(1, 2, feature_size=24, depths=(1,) * 4, spatial_dims=2)
    encoder = {n: value for n, value in source.state_dict().items() if n.startswith("swinViT.")}
    network = small("swin_unetr")
    load_weights(network, {n.replace("swinViT.", prefix): value for n, value in encoder.items()}, starting=True)
    assert all(torch.equal(network.state_dict()[f"body.{n}"], value) for n, value in encoder.items())


def test_the_disruptive_autoencoders_encoder_loads():
    """Of ssl_pretrained_weights.pth, whose names MONAI's own filter maps."""
    source = nets.SwinUNETR(1, 2, feature_size=24, depths=(1,) * 4, spatial_dims=2)
    encoder = {n.removeprefix("swinViT."): v for n, v in source.state_dict().items() if n.startswith("swinViT.")}
    theirs = {
        f"encoder.{n}" if n.startswith("patch_embed") else f"encoder.{n[:10]}0.{n[10:]}": v for n, v in encoder.items()
    }
    network = small("swin_unetr")
    load_weights(network, theirs | {"encoder.mask_token": torch.zeros(1)}, starting=True)
    assert all(torch.equal(network.state_dict()[f"body.swinViT.{n}"], value) for n, value in encoder.items())


def test_weights_of_a_resnet_start_deeplabs_encoder():
    resnet = resnet18(spatial_dims=2, n_input_channels=3, num_classes=5, bias_downsample=False, shortcut_type="B")
    network = small("deeplabv3plus", encoder="resnet18", in_channels=3, norm="batch")
    skipped = load_weights(network, resnet.state_dict(), starting=True)
    assert {line.split(".")[1] for line in skipped if "(missing)" in line} == {"pooling", "low", "decoder", "head"}
    assert [line for line in skipped if "not in the network" in line] == [
        "body.resnet.fc.weight (not in the network)",
        "body.resnet.fc.bias (not in the network)",
    ]
    assert torch.equal(network.body.resnet.layer4[1].conv2.weight, resnet.layer4[1].conv2.weight)


def test_half_an_encoder_is_no_start():
    encoder = {n: v for n, v in small("swin_unetr").state_dict().items() if n.startswith("body.swinViT.layers1")}
    with pytest.raises(CheckpointError, match="does not fit"):
        load_weights(small("swin_unetr"), encoder, starting=True)
