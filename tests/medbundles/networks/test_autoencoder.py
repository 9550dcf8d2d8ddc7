"""Images of any size, the mean in evaluation, attention in both forms, and what is refused."""

from __future__ import annotations

import logging

import pytest
import torch
from monai.networks.nets import AutoencoderKL

from medbundles.errors import ConfigError, DataError
from medbundles.networks import Autoencoder
from medbundles.networks.padding import cropped

SMALL = {"channels": (4, 8), "num_res_blocks": 1, "norm_num_groups": 2, "attention_levels": (False, True)}


def network(**options):
    torch.manual_seed(0)
    return Autoencoder(**SMALL | options).eval()


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (1, 5), (6, 7, 5)])
def test_any_size_comes_back_and_the_border_is_repeated(size):
    net = network(spatial_dims=len(size))
    image = torch.rand(2, 1, *size)
    out = net(image)
    assert out["reconstruction"].shape == image.shape
    assert out["mean"].shape == (2, 4, *(-(-side // 2) for side in size))
    padded = net.padded(image)
    assert all(side % 2 == 0 for side in padded.shape[2:])
    assert torch.equal(cropped(padded, list(size)), image)
    assert torch.equal(padded[..., -1], padded[..., image.shape[-1] - 1])


def test_one_position_of_the_latent_needs_channels_together():
    alone, together = network(norm_num_groups=8, channels=(8, 8)), network(norm_num_groups=4, channels=(8, 8))
    with pytest.raises(DataError, match=r"An image of 2x1 is one value of each channel .* needs a side above 2"):
        alone(torch.rand(1, 1, 2, 1))
    assert alone(torch.rand(1, 1, 3, 1))["mean"].shape[2:] == (2, 1)
    assert together(torch.rand(1, 1, 2, 1))["mean"].shape[2:] == (1, 1)


def test_evaluation_decodes_the_mean_as_monais_reconstruct_and_training_a_draw():
    net = network()
    image = torch.rand(1, 1, 8, 8)
    theirs = AutoencoderKL(spatial_dims=2, in_channels=1, out_channels=1, latent_channels=4, norm_eps=1e-6, **SMALL)
    theirs.load_state_dict(net.state_dict())
    once, again = net(image), net(image)
    assert torch.equal(once["reconstruction"], again["reconstruction"])
    torch.testing.assert_close(once["reconstruction"], theirs.eval().reconstruct(image))
    net.train()
    assert not torch.equal(net(image)["reconstruction"], net(image)["reconstruction"])


def test_fused_attention_and_recomputed_activations_change_nothing():
    image, outs = torch.rand(1, 1, 16, 16), []
    for options in ({}, {"use_flash_attention": False}, {"use_checkpoint": True}):
        outs.append(network(**options)(image)["reconstruction"])
    torch.testing.assert_close(outs[0], outs[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(outs[0], outs[2], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm_num_groups": 3}, r"3 does not divide the channels \[4, 8\]; use one of \[1, 2, 4\]"),
        ({"attention_levels": (False,)}, r"attention_levels: \[False\] has 1 levels, network_def#channels has 2"),
        ({"num_res_blocks": (1, 1, 1)}, r"num_res_blocks: \[1, 1, 1\] has 3 levels"),
    ],
)
def test_what_does_not_fit_together_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        network(**options)


def test_one_channel_per_group_is_warned_of(caplog):
    with caplog.at_level(logging.WARNING, "medbundles"):
        network()
        assert not caplog.text
        network(norm_num_groups=4)
    assert "4 groups on 4 channels normalise each channel alone" in caplog.text
    assert "such as 1" in caplog.text


def test_rules_about_sizes_and_channels():
    rules = {rule.settings: rule for rule in Autoencoder.rules}
    patch = rules["patch_size", "spatial_dims", "network_def#channels"]
    values = {"patch_size": [16, 18], "spatial_dims": 2, "network_def#channels": [4, 8, 16]}
    assert "must be multiples of 4" in patch.line(values, "train")
    assert "has 2 numbers; spatial_dims is 3" in patch.line(values | {"spatial_dims": 3}, "train")
    assert patch.line(values | {"patch_size": [16, 20]}, "train") is None
    alone = rules["patch_size", "network_def#channels", "network_def#norm_num_groups"]
    values |= {"patch_size": [4, 4], "network_def#norm_num_groups": 16}
    assert "cannot be normalised: give a side above 4" in alone.line(values, "train")
    assert alone.line(values | {"network_def#norm_num_groups": 8}, "train") is None
    assert alone.line(values | {"patch_size": [4, 8]}, "train") is None
    channels = rules["network_def#in_channels", "network_def#out_channels"]
    differ = {"network_def#in_channels": 3, "network_def#out_channels": 1}
    assert "out_channels: 1 differs from in_channels, 3" in channels.line(differ, "inference")
