"""Each network with each loss learns four synthetic scans by heart: Dice above 0.95.

`-m slow` takes every network with every loss, the others each network once and each loss once. Steps until Dice is
above 0.95, looked at every tenth step (40 x 40, float32, one thread):

| network       | rate of Adam | dice | cross_entropy | focal | combined | boundary |
| ------------- | ------------ | ---- | ------------- | ----- | -------- | -------- |
| unet          | 1e-2         | 60   | 30            | 40    | 30       | 30       |
| vnet          | 1e-2         | 110  | 70            | 30    | 40       | 40       |
| segresnet     | 3e-3         | 90   | 30            | 20    | 40       | 40       |
| deeplabv3plus | 1e-3         | 200  | 60            | 50    | 40       | 40       |
| transunet     | 1e-3         | 30   | 40            | 30    | 20       | 20       |
| unetr         | 1e-3         | 130  | 50            | 40    | 30       | 40       |
| swin_unetr    | 1e-3         | 40   | 30            | 20    | 20       | 20       |

In 3D, with combined, the U-Net takes 60 and SegResNet 270. V-Net and the U-Net want the higher rate. Behind its last
wide convolution V-Net normalises the few channels of the classes and multiplies them by a matrix of classes x classes:
at 1e-3 those 18 numbers alone grow too slowly to part the classes. With 1e-2 for them and 1e-3 for all others 30 steps
do what takes 140 otherwise; the other way round, 170.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medbundles.losses import CombinedSegmentationLoss
from medbundles.metrics import Masks
from medbundles.metrics.overlap import with_case_scores
from medbundles.optimizers import build_optimizer
from medbundles.transforms import BoundaryDistance, Predictions
from tests.medbundles.networks.small_networks import NARROW, VOLUMETRIC, small
from tools.phantoms.organs import draw_scan

LOSSES = {
    "dice": {"name": "dice"},
    "cross_entropy": {"name": "cross_entropy"},
    "focal": {"name": "focal"},
    "combined": {"name": "combined"},
    "boundary": {"dice_weight": 0.4, "ce_weight": 0.4, "boundary_weight": 0.2},
}
RATES = {"unet": 1e-2, "vnet": 1e-2, "segresnet": 3e-3}  # of Adam; the others 1e-3
QUICK = {("unet", "dice"), ("vnet", "focal"), ("segresnet", "cross_entropy"), ("deeplabv3plus", "combined"),
         ("transunet", "combined"), ("unetr", "boundary"), ("swin_unetr", "focal")}  # fmt: skip
CLASSES, LESIONS = 3, (1, 2, 4, 5)  # of the phantoms, each of these shows an organ with a lesion
EVERY, MOST = 10, 400  # steps


def steps_to_fit(name: str, loss: str, sides: tuple[int, ...]) -> tuple[int, float]:
    """Steps on four scans until the mean Dice of organ and lesion is above 0.95, or all steps there are; the Dice."""
    network = small(name, spatial_dims=len(sides), out_channels=CLASSES, image_size=list(sides))
    criterion = CombinedSegmentationLoss(CLASSES, **LOSSES[loss])
    optimizer = build_optimizer(network, name="adam", lr=RATES.get(name, 1e-3))
    scans = [draw_scan(sides, number, np.random.default_rng([0, number])) for number in LESIONS]
    image, mask = (torch.from_numpy(np.stack(arrays))[:, None].float() for arrays in zip(*scans, strict=True))
    distance = BoundaryDistance(CLASSES)
    target = {"mask": mask, "distance": torch.stack([distance({"mask": one})["distance"] for one in mask])}
    dice = 0.0
    for step in range(1, MOST + 1):
        network.train()
        optimizer.zero_grad()
        criterion(network(image / 255), target).backward()
        optimizer.step()
        if step % EVERY == 0:
            dice = dice_of(network, image / 255, mask)
        if dice > 0.95:
            break
    return step, dice


@torch.no_grad()
def dice_of(network: torch.nn.Module, image: torch.Tensor, mask: torch.Tensor) -> float:
    predictions = Predictions(mask_rule="classes")
    output = predictions({"pred": network.eval()(image), "label": mask})
    return float(np.nanmean(with_case_scores({k: v.numpy() for k, v in Masks()(output).items()})["dice"]))


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        pytest.param(name, loss, marks=[] if (name, loss) in QUICK else pytest.mark.slow)
        for name in NARROW
        for loss in LOSSES
    ],
)
def test_each_network_with_each_loss_learns_four_pictures_by_heart(name, loss):
    steps, dice = steps_to_fit(name, loss, (40, 40))
    assert dice > 0.95, f"{dice:.3f} after {steps} steps"


@pytest.mark.slow
@pytest.mark.parametrize("name", VOLUMETRIC)
def test_each_network_learns_four_volumes_by_heart(name):
    steps, dice = steps_to_fit(name, "combined", (40, 24, 24))
    assert dice > 0.95, f"{dice:.3f} after {steps} steps"


def test_each_network_and_each_loss_is_among_the_quick_ones():
    assert {name for name, _ in QUICK} == set(NARROW)
    assert {loss for _, loss in QUICK} == set(LOSSES)
