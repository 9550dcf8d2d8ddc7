"""Grad-CAM against MONAI's, on what MONAI's can read; and that the network is left as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.visualize import GradCAM
from torch import nn

from medbundles.errors import ConfigError
from medbundles.inferers import WindowInferer
from medbundles.networks import GradingResNet, MultitaskUNet, TaskOutput
from medbundles.reports.grad_cam import GradCam
from medbundles.transforms import HeadNormalise
from tools.phantoms.heads import draw_slice, random_head


def heat_ratio(heat: torch.Tensor, lesion: torch.Tensor) -> torch.Tensor:
    """Share of the heat inside the lesion, divided by the lesion's share of the image; 1 is what chance gives.

    Args:
        heat: (B, H, W) or (B, X, Y, Z), >= 0.
        lesion: as large, lesion where it is not 0.

    Returns:
        (B,); 0 without heat, NaN without a lesion.
    """
    heat, inside = heat.flatten(1), lesion.flatten(1) != 0
    share = (heat * inside).sum(dim=1) / heat.sum(dim=1).clamp(min=1e-30)
    return share / inside.float().mean(dim=1).where(inside.any(dim=1), torch.nan)


def heat_of(cam: GradCam, image: torch.Tensor, class_index=None) -> torch.Tensor:
    """Heat maps from a forward pass as an inference makes it; by default of the classes with the largest logit."""
    cam.network.eval()
    cam.watch()
    with torch.no_grad():  # as MONAI's engines
        output = cam.network(image)
    logits = output["cls"] if isinstance(output, dict) else output
    heat = cam.maps(logits, logits.argmax(dim=1) if class_index is None else torch.as_tensor(class_index))
    cam.forget()
    return heat


def network(**options) -> MultitaskUNet:
    torch.manual_seed(0)
    return MultitaskUNet(base_filters=4, depth=3, **options)


def test_mean_equals_monai():
    net, image = network().eval(), torch.rand(3, 1, 32, 40)
    heat = heat_of(GradCam(net, "encoder.downs.1", method="mean"), image, [1, 0, 1])
    for i, c in enumerate([1, 0, 1]):
        wanted = 1 - GradCAM(TaskOutput(net, "cls"), "network.encoder.downs.1")(image[i : i + 1], class_idx=c)[0, 0]
        assert torch.allclose(heat[i], wanted - wanted.min(), atol=0.05)  # MONAI also moves the smallest value to 0
        assert heat[i].max() == 1


def test_volumes_and_plain_outputs_also_equal_monai():
    torch.manual_seed(0)
    net, image = GradingResNet(depth=10, head="linear").eval(), torch.rand(2, 1, 32, 40, 24)
    layer = "backbone.layer1"
    heat = heat_of(GradCam(net, layer, method="mean"), image, [1, 0])
    assert heat.shape == (2, 32, 40, 24)
    for i, c in enumerate([1, 0]):
        wanted = 1 - GradCAM(net, layer)(image[i : i + 1], class_idx=c)[0, 0]
        assert torch.allclose(heat[i], wanted - wanted.min(), atol=0.05)
        assert heat[i].max() == 1


def test_a_volume_is_weighted_position_by_position():
    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Identity()

        def forward(self, x):
            weight = torch.zeros_like(x)
            weight[..., 1, 2, 0] = 3.0
            score = (weight * self.features(x)).sum(dim=(1, 2, 3, 4))
            return torch.stack([score, -score], dim=1)

    volume = torch.full((1, 2, 4, 5, 3), 0.5)
    heat = heat_of(GradCam(Product(), "features"), volume, [0])
    assert heat[0, 1, 2, 0] == heat.sum() == 1
    assert heat_of(GradCam(Product(), "features"), volume, [1]).sum() == 0


def test_hires_weights_each_position_by_its_own_gradient():
    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Identity()

        def forward(self, x):
            weight = torch.zeros_like(x)
            weight[..., 1, 2] = 3.0
            return torch.cat([(weight * self.features(x)).sum(dim=(1, 2, 3))[:, None], torch.zeros(len(x), 1)], dim=1)

    heat = heat_of(GradCam(Product(), "features"), torch.full((1, 2, 4, 5), 0.5), [0])
    assert heat[0, 1, 2] == 1
    assert heat.sum() == 1
    nothing = heat_of(GradCam(Product(), "features"), torch.ones(1, 2, 4, 5), [1])  # speaks for this class
    assert nothing.sum() == 0


def test_the_network_is_left_as_it_was_also_when_frozen_and_without_gradients():
    net = network(frozen=("encoder",)).requires_grad_(False)
    net.eval()
    modes = [module.training for module in net.modules()]
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    with torch.no_grad():
        heat = heat_of(GradCam(net), torch.rand(2, 1, 32, 32))
    assert heat.shape == (2, 32, 32)
    assert not heat.requires_grad
    assert heat.amax(dim=(1, 2)).tolist() == [1, 1]
    assert heat.min() >= 0
    assert [module.training for module in net.modules()] == modes
    assert all(p.grad is None and not p.requires_grad for p in net.parameters())
    assert all(not module._forward_hooks and not module._backward_hooks for module in net.modules())
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())


def test_heat_from_a_pass_in_bfloat16_is_nearly_that_in_float32():
    net, image, classes = network().eval(), torch.rand(3, 1, 32, 40), torch.tensor([1, 0, 1])
    cam = GradCam(net)
    wanted = heat_of(cam, image, classes)
    cam.watch()
    assert not cam.watching
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        out = net(image)
        assert torch.is_grad_enabled()
    assert cam.watching
    rough = cam.maps(out["cls"].float(), classes)
    cam.forget()
    assert min(np.corrcoef(a.flatten(), b.flatten())[0, 1] for a, b in zip(rough, wanted, strict=True)) > 0.85
    assert not cam.watching
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in net.modules())


def test_what_changes_the_features_in_place_does_not_matter():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 36, 2)).eval()
    heat = heat_of(GradCam(net, "0"), torch.rand(2, 1, 8, 8), [0, 1])
    assert heat.amax(dim=(1, 2)).tolist() == [1, 1]


def test_gradients_that_wait_for_the_optimizer_are_kept():
    net = network()
    net(torch.rand(1, 1, 32, 32))["cls"].sum().backward()
    before = [None if p.grad is None else p.grad.clone() for p in net.parameters()]
    heat_of(GradCam(net), torch.rand(1, 1, 32, 32))
    for p, old in zip(net.parameters(), before, strict=True):
        assert (p.grad is None) == (old is None)
        assert old is None or torch.equal(p.grad, old)


def test_batch_is_the_same_as_one_by_one_and_layers_can_be_averaged():
    net, image = network(), torch.rand(3, 1, 32, 32)
    cam = GradCam(net, ["encoder.downs.0", "encoder.downs.1"])
    assert torch.allclose(heat_of(cam, image), torch.cat([heat_of(cam, image[i : i + 1]) for i in range(3)]), atol=1e-5)


def test_misuse():
    with pytest.raises(ConfigError, match=r"'encoder.down.1' is not in the network; near are: encoder.downs.1"):
        GradCam(network(), "encoder.down.1")
    with pytest.raises(ConfigError, match="method 'plus' is unknown; use one of: hires, mean"):
        GradCam(network(), method="plus")
    with pytest.raises(ConfigError, match=r"its output \(1, 512, 1, 1, 1\) is no map of an image \(32, 32, 32\)"):
        heat_of(GradCam(GradingResNet(depth=10, layout="strided"), "backbone.layer4"), torch.rand(1, 1, 32, 32, 32))
    with pytest.raises(ConfigError, match="name an earlier layer"):
        heat_of(GradCam(GradingResNet(depth=10), "dropout"), torch.rand(1, 1, 32, 32, 32))


def test_heat_ratio():
    heat, lesion = torch.zeros(3, 4, 4), torch.zeros(3, 4, 4)
    lesion[:2, 0, :2] = 1
    heat[0, 0, 0], heat[0, 3, 3], heat[1:] = 1, 1, 1
    ratio = heat_ratio(heat, lesion)
    assert ratio[0] == 4
    assert ratio[1] == 1
    assert ratio[2].isnan()
    assert heat_ratio(heat.repeat(1, 2, 1)[:, :, None], lesion.repeat(1, 2, 1)[:, :, None])[0] == 4  # volumes


def test_heat_lies_in_the_lesions_of_phantoms():
    """The share of heat inside the lesion is at least 3 times the lesion's share of the area."""

    def sample(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        images, masks = [], []
        for i in range(count):
            rng = np.random.default_rng([seed, i])
            image, mask = draw_slice(random_head(rng), rng.uniform(-0.3, 0.3), float(i % 2), 48, rng)
            images.append(HeadNormalise()({"image": image[None]})["image"])
            masks.append(mask[None])
        return torch.tensor(np.stack(images)), torch.tensor(np.stack(masks)).float()

    torch.manual_seed(0)
    image, mask = sample(256, seed=0)
    label = mask.flatten(1).amax(1).long()
    net = MultitaskUNet(base_filters=8, depth=3, cls_dropout=0.0)
    optimizer = torch.optim.AdamW(net.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=150)
    for _ in range(150):
        chosen = torch.randint(0, 256, (16,))
        output = net(image[chosen])
        loss = nn.functional.cross_entropy(output["cls"], label[chosen])
        loss = loss + nn.functional.binary_cross_entropy_with_logits(
            output["seg"], mask[chosen], pos_weight=torch.tensor(5.0)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    image, mask = sample(48, seed=1)
    image, mask = image[1::2], mask[1::2, 0]
    ratio = heat_ratio(heat_of(GradCam(net), image, [1] * 24), mask)
    assert ratio.mean() >= 3
    assert (ratio >= 3).float().mean() >= 0.8


def test_with_flips_the_heat_is_that_of_the_image_itself():
    net, image = network().eval(), torch.rand(2, 1, 32, 40)
    cam, classes = GradCam(net), torch.tensor([1, 0])
    cam.watch()
    with torch.no_grad():
        wanted = cam.maps(net(image)["cls"].log_softmax(1), classes)  # probabilities are averaged
    cam.watch()
    with torch.no_grad():
        logits = WindowInferer("fp32", flips=True)(image, net)["cls"]
    assert torch.allclose(cam.maps(logits, classes), wanted, atol=1e-5)
    cam.forget()
