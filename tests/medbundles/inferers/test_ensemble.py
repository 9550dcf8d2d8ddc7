"""The ensemble's mean, against the mean of probabilities in float64; its heat maps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medbundles.inferers import AutocastInferer, EnsembleInferer, WindowInferer
from medbundles.reports import GradCam
from medbundles.transforms import Predictions

RULES = [(1, "foreground"), (3, "classes"), (3, "regions"), (2, "foreground")]


class Both(nn.Module):
    """Masks and classes of an image (B, 1, H, W)."""

    def __init__(self, channels: int = 2, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.features, self.seg, self.cls = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, channels, 1), nn.Linear(4, 2)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        found = self.features(image)
        return {"seg": 9 * self.seg(found), "cls": 30 * self.cls(found.relu().mean((2, 3)))}


@pytest.fixture
def image():
    return torch.randn(2, 1, 12, 10, generator=torch.Generator().manual_seed(3))


def probabilities(output, rule):
    pred = Predictions(mask_rule=rule)({"pred": output})["pred"]
    return pred["mask_prob"].double(), pred["prob"]


@pytest.mark.parametrize(("channels", "rule"), RULES)
def test_it_is_the_mean_of_what_each_says_in_any_order(image, channels, rule):
    members = [Both(channels, seed) for seed in range(3)]
    with torch.no_grad():
        one = AutocastInferer("fp32")
        found = EnsembleInferer(one, members, rule)(image, members[0])
        turned = EnsembleInferer(one, members[::-1], rule)(image, members[0])
        each = [one(image, member) for member in members]
    by_hand = [_by_hand(output, channels, rule) for output in each]
    masks, classes = (torch.stack(values).mean(0) for values in zip(*by_hand, strict=True))
    if rule == "foreground" and channels > 1:  # of the channels that exclude each other the strongest counts
        masks = masks[:, 1:].amax(1, keepdim=True) / (masks[:, 1:].amax(1, keepdim=True) + masks[:, :1])
    if rule == "classes":
        masks = masks[:, 1:]
    for output in (found, turned):
        of_masks, of_classes = probabilities(output, rule)
        torch.testing.assert_close(of_masks, masks, atol=2e-6, rtol=0)
        torch.testing.assert_close(of_classes, classes, atol=1e-6, rtol=0)


def _by_hand(output, channels, rule):
    seg, cls = output["seg"].double(), output["cls"].double()
    alone = channels == 1 or rule == "regions"
    return 1 / (1 + (-seg).exp()) if alone else seg.exp() / seg.exp().sum(1, keepdim=True), cls.softmax(1)


def test_two_equal_networks_are_one(image):
    one = Both(1)
    with torch.no_grad():
        single, both = one(image), EnsembleInferer(AutocastInferer("fp32"), [one, Both(1)])(image, one)
    for here, there in zip(probabilities(single, "foreground"), probabilities(both, "foreground"), strict=True):
        torch.testing.assert_close(here, there, atol=1e-6, rtol=0)


def test_what_is_nearly_certain_keeps_its_order():
    class Fixed(nn.Module):
        def __init__(self, certain):
            super().__init__()
            self.logits = torch.tensor([[0.0, certain]])

        def forward(self, image):
            return self.logits

    image = torch.zeros(1, 1, 4, 4)
    found = [EnsembleInferer(AutocastInferer("fp32"), [Fixed(x), Fixed(x)])(image, None) for x in (200.0, 300.0)]
    assert [float((each[:, 1] - each[:, 0])[0]) for each in found] == pytest.approx([200, 300])


def test_windows_and_flips_are_those_of_each_member(image):
    members = [nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 3, padding=1)]
    single = WindowInferer("fp32", window=[8, 8], overlap=0.25, flips=True)
    with torch.no_grad():
        found = EnsembleInferer(single, members)(image, members[0]).sigmoid()
        each = [single(image, member).double().sigmoid() for member in members]
    torch.testing.assert_close(found.double(), sum(each) / 2, atol=1e-6, rtol=0)


def test_heat_maps_are_of_all_members_and_no_gradient_is_left_on(image):
    members = [Both(1, seed) for seed in range(2)]
    cam = GradCam(members[0], "features")
    ensemble = EnsembleInferer(AutocastInferer("fp32"), members)
    cam.watch(*members)
    with torch.no_grad():
        logits = ensemble(image, members[0])["cls"]
        assert len(cam.kept) == 2
        heat = cam.maps(logits, torch.tensor([1, 1]))
    cam.forget()
    assert heat.shape == (2, 12, 10)
    assert not any(member.features._forward_hooks for member in members)
    with torch.no_grad():
        assert not ensemble(image, members[0])["cls"].requires_grad
