"""An autoencoder by windows is what it is whole, and its latents decode to the same image."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medbundles.errors import ConfigError
from medbundles.inferers import AutoencoderInferer
from medbundles.networks import Autoencoder


class BlockMeans(nn.Module):
    """A network whose parts see one block of pixels at a time, so that windows change nothing where they fit."""

    factor, alone = 4, False
    padded = Autoencoder.padded

    def __init__(self):
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def encode(self, image):
        self.seen.append(tuple(image.shape[2:]))
        mean = getattr(nn.functional, f"avg_pool{image.dim() - 2}d")(image, self.factor)
        return mean, mean.square() + 1

    def decode(self, latent):
        for dim in range(2, latent.dim()):
            latent = latent.repeat_interleave(self.factor, dim)
        return latent


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Autoencoder(channels=(8, 16, 16), num_res_blocks=1, attention_levels=(False,) * 3, norm_num_groups=4).eval()


@pytest.mark.parametrize("size", [(100, 61), (64, 200), (97, 98)])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.3, 0.9])
def test_windows_change_nothing_where_each_part_sees_a_block(size, overlap):
    image = torch.rand(2, 1, *size)
    whole = AutoencoderInferer("fp32")(image, BlockMeans())
    inferer = AutoencoderInferer("fp32", window_above=32, window_size=48, window_overlap=overlap)
    made = inferer(image, BlockMeans())
    for name, values in whole.items():
        assert made[name].shape == values.shape
        torch.testing.assert_close(made[name], values, atol=1e-5, rtol=1e-5)


def test_windows_change_nothing_in_volumes_with_sides_of_their_own():
    image, network = torch.rand(1, 1, 30, 17, 41), BlockMeans()
    inferer = AutoencoderInferer("fp32", window_above=20, window_size=[16, 20, 24])
    whole = AutoencoderInferer("fp32")(image, BlockMeans())["reconstruction"]
    torch.testing.assert_close(inferer(image, network)["reconstruction"], whole, atol=1e-5, rtol=1e-5)
    assert set(network.seen) == {(16, 20, 24)}


@pytest.mark.parametrize(("above", "windows"), [(0, 1), (100, 1), (99, 9)])
def test_only_a_longer_side_than_the_setting_goes_by_windows(above, windows):
    network = BlockMeans()
    AutoencoderInferer("fp32", window_above=above, window_size=40, window_overlap=0.2)(
        torch.rand(1, 1, 100, 98), network
    )
    assert len(network.seen) == windows


@pytest.mark.parametrize("above", [0, 40])
def test_a_latent_decodes_later_to_exactly_the_same_image(network, above):
    inferer = AutoencoderInferer("fp32", window_above=above, window_size=32)
    image = torch.rand(1, 1, 71, 50)
    with torch.no_grad():
        made = inferer(image, network)
        again = inferer(made["mean"].clone(), network, size=(71, 50))
    assert again.keys() == {"reconstruction"}
    assert torch.equal(again["reconstruction"], made["reconstruction"])


def test_whole_is_what_the_network_gives_by_itself(network):
    image = torch.rand(2, 1, 30, 41)
    with torch.no_grad():
        made, alone = AutoencoderInferer("fp32")(image, network), network(image)
    for name in ("reconstruction", "mean", "sigma"):
        assert torch.equal(made[name], alone[name])


def test_under_bfloat16_the_latent_still_decodes_to_the_same_image(network):
    inferer = AutoencoderInferer("bf16", window_above=40, window_size=32)
    image = torch.rand(1, 1, 64, 48)
    with torch.no_grad():
        made = inferer(image, network)
        again = inferer(made["mean"], network, size=(64, 48))["reconstruction"]
    assert all(values.dtype == torch.float32 for values in made.values())
    assert torch.equal(again, made["reconstruction"])


def test_between_two_images_the_mixed_mean_is_decoded():
    one, other = torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16)
    inferer, network = AutoencoderInferer("fp32"), BlockMeans()
    ends = [inferer(image, network)["reconstruction"] for image in (one, other)]
    made = inferer(one, network, other=other, weight=0.25)["reconstruction"]
    torch.testing.assert_close(made, 0.75 * ends[0] + 0.25 * ends[1])


@pytest.mark.parametrize(("window", "words"), [(30, "multiples of 4"), ([32, 32, 32], "3 numbers; spatial_dims is 2")])
def test_windows_that_do_not_fit_are_refused(window, words):
    (rule,) = AutoencoderInferer.rules
    values = {"window_above": 40, "window_size": window, "spatial_dims": 2, "network_def#channels": [8, 16, 32]}
    assert words in rule.line(values, "inference")
    assert rule.line({**values, "window_above": 0}, "inference") is None
    assert rule.line({**values, "window_size": 32}, "inference") is None
    with pytest.raises(ConfigError, match=words):
        AutoencoderInferer("fp32", window_above=40, window_size=window)(torch.rand(1, 1, 64, 64), BlockMeans())
