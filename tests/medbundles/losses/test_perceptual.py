from __future__ import annotations

import socket
import sys
from types import ModuleType

import monai.losses.perceptual
import pytest
import torch
from torch import nn

from medbundles.errors import CheckpointError, ConfigError
from medbundles.losses import AutoencoderLoss, Perceptual
from medbundles.losses.perceptual import FILES
from medbundles.preflight.rules import broken_rules


class StandIn(nn.Module):
    """In place of LPIPS: the squared difference of what a random convolution makes of the three channels."""

    def __init__(self, pretrained: bool, net: str, verbose: bool):
        super().__init__()
        assert pretrained
        assert net == "vgg"
        self.dropout, self.conv = nn.Dropout(0.5), nn.Conv2d(3, 4, 3)
        self.seen: list[torch.Tensor] = []

    def forward(self, made: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        self.seen.append(image)
        made, image = (self.dropout(self.conv(x * torch.ones(1, 3, 1, 1))) for x in (made, image))
        return (made - image).square().mean((1, 2, 3), keepdim=True)


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """Packages and weights as if they were there."""
    for package in ("lpips", "torchvision"):
        monkeypatch.setitem(sys.modules, package, ModuleType(package))
    monkeypatch.setattr(monai.losses.perceptual, "LPIPS", StandIn)
    file = place_file(monkeypatch, tmp_path)
    file.touch()
    return file


def place_file(monkeypatch, tmp_path, network="vgg"):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    file = tmp_path / "hub/checkpoints" / FILES[network]
    file.parent.mkdir(parents=True)
    return file


def no_network(*_, **__):
    raise AssertionError("reaches for the network")


def pair(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(shape, generator=generator), torch.rand(shape, generator=generator)


def test_values_go_in_from_minus_1_to_1_and_the_mean_over_the_batch_comes_out(stand_in):
    made, image = pair(3, 1, 20, 24)
    loss = Perceptual(2)
    value = loss(made, image)
    network = loss.loss.perceptual_function
    assert torch.equal(network.seen[0], 2 * image - 1)
    weight = network.conv.weight.double().sum(1, keepdim=True)  # a gray image stands for three equal channels
    difference = nn.functional.conv2d(2 * (made - image).double(), weight)
    assert value.item() == pytest.approx(difference.square().mean().item(), rel=1e-5)


def test_its_network_is_frozen_evaluates_and_is_part_of_nothing(stand_in):
    torch.manual_seed(0)
    perceptual = Perceptual(2)
    loss = AutoencoderLoss(perceptual_weight=0.5, perceptual=perceptual)
    loss.train()
    made, image = pair(2, 1, 16, 16)
    made.requires_grad_()
    latent = torch.zeros(2, 1, 4, 4)
    loss({"reconstruction": made, "mean": latent, "sigma": latent + 1}, image).backward()
    assert made.grad.abs().sum() > 0
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in perceptual.loss.parameters())
    assert not any(module.training for module in perceptual.loss.modules())
    assert not loss.state_dict()
    assert not list(loss.parameters())


def test_the_term_counts_with_its_weight_and_the_mean_of_the_images_is_the_batchs(stand_in):
    made, image = pair(3, 1, 16, 16)
    latent = torch.zeros(3, 1, 4, 4)
    pred = {"reconstruction": made, "mean": latent, "sigma": latent + 1}
    with_it = AutoencoderLoss(perceptual_weight=0.5, perceptual=Perceptual(2))
    total, without = with_it(pred, image), AutoencoderLoss()(pred, image)
    assert total.item() == pytest.approx(without.item() + 0.5 * with_it.parts["perceptual"].item())
    each = with_it.per_sample(pred, image)["perceptual"][0]
    assert each.shape == (3,)
    assert each.mean().item() == pytest.approx(with_it.parts["perceptual"].item(), rel=1e-5)
    assert len(each.unique()) == 3


def test_under_autocast_it_works_in_float32(stand_in):
    made, image = pair(1, 1, 16, 16)
    loss = Perceptual(2)
    right = loss(made.bfloat16(), image)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(made.bfloat16(), image), right)
    assert right.dtype == torch.float32


def test_a_volume_is_compared_by_slices_along_all_axes(stand_in):
    made, image = pair(1, 1, 16, 18, 20)
    loss = Perceptual(3, fake_3d_ratio=1.0)
    value = loss(made, image)
    network = loss.loss.perceptual_function
    assert {tuple(s.shape) for s in network.seen} == {(16, 1, 18, 20), (18, 1, 16, 20), (20, 1, 16, 18)}
    wanted = sum(
        network(2 * a.movedim(axis, 1).flatten(0, 1) - 1, 2 * b.movedim(axis, 1).flatten(0, 1) - 1).mean()
        for axis, a, b in ((axis, made, image) for axis in (2, 3, 4))
    )
    assert value.item() == pytest.approx(wanted.item(), rel=1e-5)
    half = Perceptual(3, fake_3d_ratio=0.5)
    half(made, image)
    assert sorted(len(slices) for slices in half.loss.perceptual_function.seen) == [8, 9, 10]
    with pytest.raises(ConfigError, match=r"perceptual#fake_3d_ratio: 0\.05 of the slices of a volume is none"):
        Perceptual(3, fake_3d_ratio=0.05)(made, image)


def test_of_one_image_it_is_always_the_same_and_the_trainings_random_numbers_stay(stand_in):
    made, image = pair(2, 1, 16, 16, 16)
    loss = Perceptual(3)
    loss(made, image)
    before = torch.get_rng_state()
    first = loss.per_image(made, image)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(loss.per_image(made, image), first)
    assert torch.equal(loss.per_image(made.flip(0), image.flip(0)), first.flip(0))


CONFIG = {"perceptual": {"_target_": "medbundles.losses.Perceptual"}}
VALUES = {"perceptual_weight": 1.0, "perceptual#network": "vgg", "patch_size": [64, 64]}


def test_what_is_missing_is_said_before_data_are_read(stand_in, monkeypatch):
    assert broken_rules(CONFIG, VALUES, "train") == []
    stand_in.unlink()
    for workflow in ("train", "find_lr", "evaluate"):
        (line,) = broken_rules(CONFIG, VALUES, workflow)
        assert str(stand_in) in line
        assert "https://download.pytorch.org/models/vgg16-397923af.pth" in line
        assert "--perceptual_weight 0" in line
    monkeypatch.setitem(sys.modules, "lpips", None)
    (line,) = broken_rules(CONFIG, VALUES, "train")
    assert "lpips and torchvision cannot be imported" in line
    assert ".[perceptual]" in line
    assert broken_rules(CONFIG, VALUES | {"perceptual_weight": 0}, "train") == []
    assert broken_rules(CONFIG, VALUES, "inference") == []


def test_patches_that_its_network_cannot_take_are_refused(stand_in):
    (line,) = broken_rules(CONFIG, VALUES | {"patch_size": [12, 64]}, "train")
    assert line == "patch_size: [12, 64] is too small for the perceptual network vgg; it takes 16 or more."


def test_without_the_file_nothing_is_downloaded(stand_in, monkeypatch):
    stand_in.unlink()
    monkeypatch.setattr(socket, "socket", no_network)
    with pytest.raises(CheckpointError, match=r"vgg16-397923af\.pth"):
        Perceptual(2)(*pair(1, 1, 16, 16))


def test_weight_0_imports_and_builds_nothing(monkeypatch, tmp_path):
    place_file(monkeypatch, tmp_path)
    monkeypatch.setitem(sys.modules, "lpips", None)  # importing it raises
    monkeypatch.setitem(sys.modules, "torchvision", None)
    perceptual = Perceptual(2)
    loss = AutoencoderLoss(perceptual_weight=0, perceptual=perceptual)
    latent = torch.zeros(1, 1, 2, 2)
    made, image = pair(1, 1, 8, 8)
    pred = {"reconstruction": made, "mean": latent, "sigma": latent + 1}
    loss(pred, image)
    assert set(loss.parts) == set(loss.per_sample(pred, image)) == {"recon", "kl"}
    assert perceptual.loss is None


def test_a_weight_without_a_loss_is_refused():
    with pytest.raises(ConfigError, match=r"perceptual_weight: 1\.0 of no loss"):
        AutoencoderLoss(perceptual_weight=1.0)


def test_the_real_network_reads_its_file_and_no_other(monkeypatch, tmp_path):
    pytest.importorskip("lpips", reason="the extra perceptual is not installed")
    models = pytest.importorskip("torchvision.models")
    file = place_file(monkeypatch, tmp_path, "squeeze")
    torch.manual_seed(1)
    weights = models.squeezenet1_1(weights=None).state_dict()
    torch.save(weights, file)
    monkeypatch.setattr(socket, "socket", no_network)
    loss = Perceptual(2, "squeeze")
    made, image = pair(2, 1, 24, 24)
    assert loss(made, image).item() > 0
    assert loss(image, image).item() == 0
    assert loss.per_image(made, image).mean().item() == pytest.approx(loss(made, image).item(), rel=1e-5)
    read = loss.loss.perceptual_function.net.slice1[0].weight
    assert torch.equal(read, weights["features.0.weight"])
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cut off"):
        Perceptual(2, "squeeze")(made, image)
