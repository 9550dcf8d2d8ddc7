"""Two real processes validate one network."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import nn

from medbundles.handlers import SameBuffers
from tests.two_processes import in_two_processes

SCRIPT = """
import torch
from ignite.engine import Engine, Events
from torch import nn
from medbundles.handlers import SameBuffers
network = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)))
torch.manual_seed(rank)
engine = Engine(lambda engine, batch: network(torch.randn(6, 3) + rank).sum().backward())
engine.network, before = network, {}
keep = lambda: before.update({name: buffer.clone() for name, buffer in network.module.named_buffers()})
engine.add_event_handler(Events.EPOCH_COMPLETED, keep)
SameBuffers().attach(engine)
engine.run([0, 1, 2])
after = dict(network.module.named_buffers())
torch.save({"before": before, "after": after}, f"{sys.argv[3]}/{rank}.pt")
"""


def test_statistics_of_two_processes_are_those_of_the_first(tmp_path):
    in_two_processes(tmp_path, SCRIPT, str(tmp_path))
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert not torch.equal(first["before"]["1.running_mean"], second["before"]["1.running_mean"])
    for name, value in first["before"].items():
        assert torch.equal(first["after"][name], value)
        assert torch.equal(second["after"][name], value)


def test_one_process_has_nothing_to_do():
    engine = SimpleNamespace(network=nn.BatchNorm1d(2))
    SameBuffers()(engine)
