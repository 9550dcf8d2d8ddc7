from __future__ import annotations

import pytest
import torch
from monai.inferers import SlidingWindowInferer

from medbundles.inferers import EnsembleInferer, WindowInferer
from medbundles.inferers.windows import AT_ONCE
from medbundles.networks import SegmentationNetwork


@pytest.mark.parametrize("shape", [(40, 33), (8, 40), (20, 18, 25)])
def test_windows_are_blended_as_monai_does(shape):
    torch.manual_seed(0)
    dims = len(shape)
    network = torch.nn.Conv2d(1, 2, 3, padding=1) if dims == 2 else torch.nn.Conv3d(1, 2, 3, padding=1)
    image, window = torch.rand(1, 1, *shape), [16] * dims
    found = WindowInferer("fp32", window=window, overlap=0.5)(image, network)
    theirs = SlidingWindowInferer(window, overlap=0.5, mode="gaussian", padding_mode="replicate")
    assert torch.allclose(found, theirs(image, network), atol=1e-5)
    assert found.shape == (1, 2, *shape)


@pytest.mark.parametrize(("precision", "overlap"), [("fp32", 0.5), ("fp32", 0.25), ("bf16", 0.5)])
def test_a_volume_gives_bit_for_bit_what_monai_s_inferer_gives_with_the_same_network(precision, overlap):
    torch.manual_seed(0)
    network = SegmentationNetwork("unet", 3, 1, 4, 16, base_channels=4, depth=2).eval()
    volume, window = torch.rand(1, 1, 30, 25, 9), [16, 16, 16]  # fewer slices than a window

    def as_precise(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            return network(x).float()

    with torch.no_grad():
        found = WindowInferer(precision, window=window, overlap=overlap)(volume, network)
        theirs = SlidingWindowInferer(window, AT_ONCE, overlap, mode="gaussian", padding_mode="replicate")
        assert torch.equal(found, theirs(volume, as_precise))


def test_without_windows_an_image_goes_through_whole():
    seen = []
    inferer = WindowInferer("bf16")
    found = inferer(torch.rand(2, 1, 40, 33), lambda x: seen.append(x.shape) or torch.nn.Conv2d(1, 2, 1)(x))
    assert seen == [(2, 1, 40, 33)]
    assert found.dtype == torch.float32


def test_windows_are_as_precise_as_asked():
    kinds = []
    network = torch.nn.Conv2d(1, 2, 1)
    network.register_forward_hook(lambda *of: kinds.append(of[-1].dtype))
    for amp in ("bf16", "fp32"):
        WindowInferer(amp, window=[16, 16])(torch.rand(1, 1, 20, 20), network)
    assert set(kinds[: len(kinds) // 2]) == {torch.bfloat16}
    assert set(kinds[len(kinds) // 2 :]) == {torch.float32}


@pytest.mark.parametrize("dims", [2, 3])
def test_the_probabilities_of_flips_are_averaged(dims):
    """A network that looks to one side gives what one that looks to all sides would."""
    image = 9 * torch.randn(1, 1, *(8,) * dims)
    seen = []

    def from_the_left(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return x.roll((1,) * dims, dims=tuple(range(2, 2 + dims)))

    found = WindowInferer("fp32", flips=True)(image, from_the_left)
    assert len(seen) == 2**dims
    shifts = torch.cartesian_prod(*[torch.tensor([1, -1])] * dims).tolist()
    expected = sum(image.roll(shift, dims=tuple(range(2, 2 + dims))).sigmoid() for shift in shifts) / 2**dims
    assert torch.allclose(found.sigmoid(), expected, atol=1e-6)


def test_of_several_outputs_each_is_averaged_and_a_class_is_not_flipped_back():
    image = 9 * torch.randn(2, 1, 8, 8)

    def from_the_left(x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"seg": x.roll(1, dims=3), "cls": x[:, 0, 0, :3]}

    found = WindowInferer("fp32", flips=True)(image, from_the_left)
    both = (image.roll(1, dims=3).sigmoid() + image.roll(-1, dims=3).sigmoid()) / 2
    assert torch.allclose(found["seg"].sigmoid(), both, atol=1e-6)
    corners = [image[:, 0, row][:, columns] for row in (0, -1) for columns in ([0, 1, 2], [7, 6, 5])]
    assert torch.allclose(found["cls"].softmax(1), torch.stack(corners).softmax(2).mean(0), atol=1e-6)


@pytest.mark.parametrize("rule", ["classes", "regions"])
def test_flips_of_several_channels_follow_the_rule_of_the_masks(rule):
    image = 9 * torch.randn(1, 3, 6, 6)
    found = WindowInferer("fp32", flips=True, mask_rule=rule)(image, lambda x: x.roll(1, dims=2))

    def prob(logits: torch.Tensor) -> torch.Tensor:
        return logits.double().softmax(1) if rule == "classes" else logits.double().sigmoid()

    expected = (prob(image.roll(1, dims=2)) + prob(image.roll(-1, dims=2))) / 2
    assert torch.allclose(prob(found), expected, atol=1e-6)


def test_networks_with_flips_are_the_mean_of_all_their_passes():
    torch.manual_seed(0)
    members = [torch.nn.Conv2d(1, 3, 3, padding=1) for _ in range(3)]
    image = 20 * torch.randn(1, 1, 8, 8)
    with torch.no_grad():
        found = EnsembleInferer(WindowInferer("fp32", flips=True), members)(image, members[0])
        every = [
            member(image.flip(axes)).flip(axes).double().softmax(1)
            for member in members
            for axes in ((), (2,), (3,), (2, 3))
        ]
    assert torch.allclose(found.double().softmax(1), sum(every) / 12, atol=1e-6)
