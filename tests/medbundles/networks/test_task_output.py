from __future__ import annotations

import torch
from monai.visualize import GradCAM

from medbundles.networks import MultitaskUNet, TaskOutput


def test_one_output_is_picked():
    network = MultitaskUNet(base_filters=4, depth=3).eval()
    image = torch.randn(1, 1, 32, 32)
    for key in ("seg", "cls"):
        assert torch.equal(TaskOutput(network, key)(image), network(image)[key])


def test_grad_cam_of_the_bottleneck():
    network = MultitaskUNet(base_filters=4, depth=3).eval()
    cam = GradCAM(TaskOutput(network, "cls"), target_layers="network.encoder.downs.2")
    assert cam(torch.randn(1, 1, 32, 32), class_idx=1).shape == (1, 1, 32, 32)
