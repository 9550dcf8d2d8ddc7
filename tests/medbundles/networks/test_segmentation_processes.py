"""Each network trains on two processes: a parameter without gradient would stop the second step."""

from __future__ import annotations

import pytest

from tests.medbundles.networks.small_networks import NARROW
from tests.two_processes import in_two_processes

TWO_STEPS = """
import torch
from torch.nn.parallel import DistributedDataParallel
from tests.medbundles.networks.small_networks import small
network = DistributedDataParallel(small(sys.argv[3]))
optimizer = torch.optim.SGD((p for p in network.parameters() if p.requires_grad), lr=0.1)
torch.manual_seed(rank)
for _ in range(2):
    optimizer.zero_grad()
    network(torch.randn(2, 1, 40, 40)).square().mean().backward()
    optimizer.step()
print(sum(p.double().abs().sum().item() for p in network.parameters()))
"""
QUICK = ("unet", "unetr")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NARROW]
)
def test_two_steps_on_two_processes(name, tmp_path):
    first, second = in_two_processes(tmp_path, TWO_STEPS, name)
    assert first == second
    assert float(first) > 0
