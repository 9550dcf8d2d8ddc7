"""Weights of others' autoencoders: the same input gives the same output."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import AutoencoderKL

from medbundles.errors import CheckpointError
from medbundles.handlers import InitialWeights
from medbundles.networks import Autoencoder, load_weights

# of the model zoo's brats_mri_axial_slices_generative_diffusion, whose published weights have the old names
ZOO = {
    "spatial_dims": 2, "in_channels": 1, "out_channels": 1, "latent_channels": 1, "channels": (64, 128, 256),
    "num_res_blocks": 2, "norm_num_groups": 32, "norm_eps": 1e-6, "attention_levels": (False, False, False),
    "with_encoder_nonlocal_attn": True, "with_decoder_nonlocal_attn": True,
}  # fmt: skip
# as brats_mri_generative_diffusion, smaller
VOLUMES = ZOO | {
    "spatial_dims": 3, "latent_channels": 3, "channels": (32, 64), "attention_levels": (False, False),
    "with_encoder_nonlocal_attn": False, "with_decoder_nonlocal_attn": False,
}  # fmt: skip
LEVELS = ZOO | {"channels": (32, 64), "attention_levels": (False, True), "with_decoder_nonlocal_attn": False}


def original(settings, include_fc):
    torch.manual_seed(1)
    return AutoencoderKL(**settings, include_fc=include_fc).eval()


def old_names(weights):
    """As monai-generative writes them; its projections are there, whether its network uses them or not."""
    renamed = {}
    for name, value in weights.items():
        old = name.replace(".attn.to_", ".to_").replace(".attn.out_proj.", ".proj_attn.")
        renamed[old.replace(".postconv.", ".conv.")] = value
    for name, value in list(renamed.items()):
        renamed.setdefault(name.replace(".to_q.", ".proj_attn."), torch.randn_like(value))
    assert not any("attn.to_" in name or "postconv" in name for name in renamed)
    return renamed


@pytest.mark.parametrize("settings", [ZOO, VOLUMES, LEVELS], ids=["zoo", "volumes", "levels"])
@pytest.mark.parametrize(
    ("theirs_projects", "old", "ours_projects"),
    [(True, False, True), (True, True, True), (False, True, False), (False, False, False), (False, False, True)],
    ids=["today", "old", "old without projection", "today without projection", "identity in its place"],
)
def test_the_same_input_gives_the_same_output(settings, theirs_projects, old, ours_projects, tmp_path):
    theirs = original(settings, theirs_projects)
    weights = theirs.state_dict()
    torch.save({"state_dict": old_names(weights) if old else weights}, tmp_path / "model_autoencoder.pt")
    torch.manual_seed(2)
    ours = Autoencoder(**settings, include_fc=ours_projects).eval()
    InitialWeights(str(tmp_path / "model_autoencoder.pt")).load(ours)
    image = torch.rand(1, 1, *[16] * settings["spatial_dims"])
    with torch.no_grad():
        wanted, out = theirs.reconstruct(image), ours(image)
        mean, sigma = theirs.encode(image)
    torch.testing.assert_close(out["reconstruction"], wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(out["mean"], mean, rtol=0, atol=1e-5)
    torch.testing.assert_close(out["sigma"], sigma, rtol=1e-4, atol=1e-5)
    if old and theirs_projects == ours_projects:  # what MONAI itself makes of the old names
        again = original(settings, theirs_projects)
        again.load_old_state_dict(old_names(weights))
        with torch.no_grad():
            torch.testing.assert_close(again.reconstruct(image), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["today", "old"])
def test_all_tensors_are_used_and_nothing_is_left(kind):
    weights = original(LEVELS, include_fc=True).state_dict()
    assert load_weights(Autoencoder(**LEVELS), old_names(weights) if kind == "old" else weights) == []


def test_what_does_not_fit_is_named():
    weights = old_names(original(LEVELS, include_fc=False).state_dict())
    network = Autoencoder(**LEVELS | {"latent_channels": 3})
    with pytest.raises(CheckpointError, match=r"quant_conv_mu\.conv\.weight \(shape \(1, 1, 1, 1\), the network has"):
        load_weights(network, weights)
    del weights["decoder.blocks.0.conv.weight"]
    weights["discriminator.weight"] = torch.zeros(1)
    skipped = load_weights(Autoencoder(**LEVELS), weights)
    assert skipped == ["decoder.blocks.0.conv.weight (missing)", "discriminator.weight (not in the network)"]
    without = {name: value for name, value in weights.items() if ".to_" not in name and ".proj_attn." not in name}
    with pytest.raises(CheckpointError, match=r"attn\.out_proj\.weight \(missing\).*attn\.to_q\.weight \(missing\)"):
        load_weights(Autoencoder(**LEVELS), without)
