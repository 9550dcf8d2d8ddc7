from __future__ import annotations

import re

import pytest
import torch

from medbundles.errors import ConfigError
from medbundles.networks import SegmentationNetwork, to_device
from medbundles.networks.quick_layers import QUICK
from medbundles.networks.segmentation_network import CHOSEN, NETWORKS, OF_DATA, SETTINGS
from medbundles.networks.small_inputs import CAREFUL
from medbundles.preflight.rules import broken_rules
from medbundles.rules import GIVEN
from tests.medbundles.networks.small_networks import NARROW, VOLUMETRIC, small

CONFIG = {"network_def": {"_target_": "medbundles.networks.SegmentationNetwork"}}
OWN = SegmentationNetwork.__init__.__kwdefaults__ or dict(
    zip((*CHOSEN[:1], *OF_DATA, *CHOSEN[1:]), SegmentationNetwork.__init__.__defaults__, strict=True)
)


def said(workflow="train", by_user=(), **given):
    """What the preflight says of these settings of a bundle."""
    values = {s: OWN.get(s.removeprefix("network_def#")) for s in SETTINGS} | {"batch_size": 8, GIVEN: by_user}
    for key, value in given.items():
        values[key if key in values else f"network_def#{key}"] = value
    return "\n".join(broken_rules(CONFIG, values, workflow))


@pytest.mark.parametrize("norm", ["instance", "batch", "group"])
@pytest.mark.parametrize("name", NETWORKS)
def test_all_in_2d_for_any_size_and_number_of_channels(name, norm):
    network = small(name, in_channels=3, out_channels=4, image_size=[37, 46], norm=norm)
    image = torch.randn(2, 3, 37, 46)
    logits = network(image)
    assert logits.shape == (2, 4, 37, 46)
    assert torch.equal(network(torch.nn.functional.pad(image, (0, 2, 0, 3), mode="replicate"))[..., :37, :46], logits)
    norms = {type(module).__name__ for module in network.modules() if "Norm" in type(module).__name__}
    wanted = {"instance": "InstanceNorm2d", "batch": "BatchNorm2d", "group": "GroupNorm"}
    assert wanted.pop(norm) in norms
    assert name == "transunet" or not norms & set(wanted.values())  # its encoder has its own


@pytest.mark.parametrize("name", VOLUMETRIC)
def test_five_in_3d(name):
    logits = small(name, spatial_dims=3, image_size=[34, 20, 16])(torch.randn(1, 1, 34, 20, 16))
    assert logits.shape == (1, 2, 34, 20, 16)


@pytest.mark.parametrize("name", ["deeplabv3plus", "transunet"])
def test_the_others_are_refused_in_3d_with_those_named(name):
    line = f"network_def#name: {name} is for 2D; with spatial_dims 3 use one of {', '.join(VOLUMETRIC)}."
    with pytest.raises(ConfigError, match=re.escape(line)):
        small(name, spatial_dims=3)
    assert line in said(**{"network_def#name": name}, spatial_dims=3)


@pytest.mark.parametrize(
    ("name", "setting", "value", "others"),
    [
        ("vnet", "depth", 3, "unet, segresnet"),
        ("swin_unetr", "base_channels", 32, "unet, vnet, segresnet"),
        ("unet", "embed_dim", 24, "swin_unetr"),
        ("unetr", "embed_dim", 24, "swin_unetr"),
        ("unet", "encoder", "resnet18", "deeplabv3plus"),
        ("transunet", "output_stride", 8, "deeplabv3plus"),
        ("segresnet", "layers", 6, "transunet, unetr, swin_unetr"),
        ("deeplabv3plus", "heads", 6, "transunet, unetr, swin_unetr"),
        ("swin_unetr", "hidden", 96, "transunet, unetr"),
    ],
)
def test_a_setting_that_the_network_has_not_is_refused(name, setting, value, others):
    line = f"network_def#{setting}: {name} has none; it is a setting of {others}. Leave it out."
    for workflow in ("train", "evaluate", "inference"):
        assert said(workflow, **{"network_def#name": name, setting: value}) == line
    with pytest.raises(ConfigError, match=re.escape(line)):
        SegmentationNetwork(name, **{setting: value})


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_left_as_it_is_or_given_to_the_right_network_is_no_mistake(name):
    assert said(**{"network_def#name": name}) == ""
    assert said(**{"network_def#name": name}, **NARROW[name]) == ""


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"base_channels": 12, "norm": "group"}, "base_channels: 12 is no multiple of the 8 groups"),
        ({"network_def#name": "swin_unetr", "embed_dim": 36, "norm": "group"}, "embed_dim: 36 is no multiple of the 8"),
        ({"network_def#name": "swin_unetr", "embed_dim": 32, "heads": 4}, "embed_dim: 32 must be a multiple of 12"),
        ({"network_def#name": "swin_unetr", "heads": 5}, "heads: 5 does not divide network_def#embed_dim, 48."),
        ({"network_def#name": "unetr", "heads": 7}, "heads: 7 does not divide network_def#hidden, 768."),
        ({"network_def#name": "transunet", "hidden": 100}, "heads: 12 does not divide network_def#hidden, 100."),
        ({"network_def#name": "unetr", "layers": 3}, "layers: 3 is too few for unetr"),
        ({"depth": [4, 4, 2]}, r"depth: [4, 4, 2] is not allowed; use a number, for unet also a list of 2."),
        ({"network_def#name": "segresnet", "depth": [3, 3]}, "depth: [3, 3] is not allowed; use a number"),
        ({"depth": [1, 0]}, "depth: [1, 0] is not allowed; one axis must be halved twice or more."),
        ({"image_size": [64, 64, 64]}, "image_size: [64, 64, 64] must be one number, or 2, as spatial_dims is."),
        ({"image_size": 16}, "image_size: [16, 16] is too small for unet, which shrinks it to one position"),
        ({"network_def#name": "swin_unetr", "image_size": 32}, "one side must be larger than 32."),
    ],
)
def test_values_that_cannot_be_are_refused_before_a_run_and_from_python(given, line):
    assert line in said(**given)
    with pytest.raises(ConfigError, match=re.escape(line)):
        SegmentationNetwork(**{key.removeprefix("network_def#"): value for key, value in given.items()})


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"name": "swinunetr"}, "network_def#name: 'swinunetr' is unknown.*did you mean 'swin_unetr'"),
        ({"norm": "layer"}, "network_def#norm: 'layer' is unknown"),
        ({"spatial_dims": 1}, "spatial_dims: 1 is unknown; use one of: 2, 3"),
        ({"dropout": 1.0}, "network_def#dropout: 1.0 is not allowed"),
        ({"base_channels": 0}, "network_def#base_channels: 0 is not allowed; it must be at least 1"),
        ({"out_channels": 0}, "out_channels: 0 is not allowed"),
        ({"name": "deeplabv3plus", "encoder": "resnet101"}, "network_def#encoder: 'resnet101' is unknown"),
        ({"name": "deeplabv3plus", "output_stride": 32}, "network_def#output_stride: 32 is unknown; use one of: 16, 8"),
    ],
)
def test_values_that_the_schema_knows_are_refused_from_python_too(given, line):
    with pytest.raises(ConfigError, match=line):
        SegmentationNetwork(**given)


def test_with_patches_it_is_their_size_that_counts():
    assert said(image_size=16, patch_size=32) == ""
    assert "patch_size: [16, 8] is too small for unet" in said(image_size=256, patch_size=[16, 8])


def test_one_image_in_a_batch_is_refused_where_batch_norm_has_one_value_per_channel():
    deep = {"network_def#name": "deeplabv3plus", "norm": "batch"}
    assert "batch_size: with a single image the image pooling of deeplabv3plus" in said(**deep, batch_size=1)
    assert said(**deep, batch_size=2) == said("evaluate", **deep, batch_size=1) == ""
    assert said(**deep | {"norm": "group"}, batch_size=1) == said(norm="batch", batch_size=1) == ""


@pytest.mark.parametrize("name", ["transunet", "unetr"])
def test_images_of_another_size_than_it_was_built_for_are_refused(name):
    network = small(name, image_size=40)
    assert network(torch.zeros(1, 1, 33, 48)).shape == (1, 2, 33, 48)  # padded to the same
    with pytest.raises(ConfigError, match=f"{name} was built for image_size 40, but an image has \\[40, 64\\]"):
        network(torch.zeros(1, 1, 40, 64))


def test_an_image_too_small_is_refused():
    with pytest.raises(ConfigError, match=r"\[4, 4\] is too small for unet, which shrinks it to one position"):
        small("unet")(torch.zeros(1, 1, 4, 4))
    assert small("unet")(torch.zeros(1, 1, 4, 5)).shape == (1, 2, 4, 5)


@pytest.mark.parametrize("name", NETWORKS)
def test_dropout_acts_in_training_alone(name):
    network = small(name, dropout=0.5)
    image = torch.randn(2, 1, 40, 40)
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))
    plain = small(name, dropout=0.0)
    assert torch.equal(plain(image), plain(image))


@pytest.mark.parametrize("name", NETWORKS)
def test_quick_layers_apply_and_bfloat16_trains(name):
    network, image = small(name), torch.randn(2, 1, 40, 40)
    wanted = network(image)
    network = to_device(network, "cpu", channels_last=True)
    assert not [module for module in network.modules() if type(module) in CAREFUL or type(module) in QUICK]
    torch.testing.assert_close(network(image), wanted, atol=2e-4, rtol=2e-3)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(image)
    logits.float().square().mean().backward()
    gradients = [p.grad for p in network.parameters() if p.requires_grad]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


def test_a_setting_that_the_user_gave_counts_with_its_default_too():
    line = "network_def#embed_dim: unet has none; it is a setting of swin_unetr. Leave it out."
    assert said(embed_dim=48, by_user=["network_def#embed_dim"]) == line
    assert not said(embed_dim=48, by_user=["network_def#base_channels"])
    assert not said(embed_dim=None, by_user=["network_def#embed_dim"])
