"""torch.compile: one graph a network, and the same one in every step."""

from __future__ import annotations

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from medbundles.networks import Autoencoder, GradingResNet, MultitaskUNet, SegmentationNetwork, to_device
from tests.medbundles.networks.small_networks import NARROW

NETWORKS = {
    "multitask_unet": (MultitaskUNet, {"base_filters": 4, "depth": 3}, (2, 1, 24, 20)),
    "grading_resnet": (GradingResNet, {"depth": 10}, (2, 1, 16, 16, 16)),
    "grading_resnet_34": (GradingResNet, {"depth": 34, "head": "linear"}, (2, 1, 16, 16, 16)),
    "autoencoder": (
        Autoencoder,
        {"channels": (8, 16), "attention_levels": (False, True), "norm_num_groups": 4},
        (2, 1, 18, 13),
    ),
    **{
        name: (SegmentationNetwork, {"name": name, "image_size": 40, **narrow}, (2, 1, 37, 40))
        for name, narrow in NARROW.items()
    },
}


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in NARROW and n != "unet" else n for n in NETWORKS]
)
def test_a_training_compiles_each_network_once(name, bf16):
    """Breaking off in the middle, or a number that changes from step to step, made it slower than not compiling."""
    torch._dynamo.reset()
    network, arguments, size = NETWORKS[name]
    counter = CompileCounter()
    compiled = torch.compile(to_device(network(**arguments), "cpu"), backend=counter, fullgraph=True)
    for step in range(12):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            out = compiled(torch.rand(size) + step)
        values = [out] if torch.is_tensor(out) else list(out.values())
        sum(value.float().square().mean() for value in values).backward()
    assert counter.frame_count == 1
