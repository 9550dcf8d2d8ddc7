"""Two real processes validate one network."""

from __future__ import annotations

from types import SimpleNamespace

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from ignite.engine import Engine, Events
from torch import nn

from medbundles.handlers import SameBuffers


def train(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    network = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)))
    torch.manual_seed(rank)

    def step(engine, batch):
        network(torch.randn(6, 3) + rank).sum().backward()

    engine = Engine(step)
    engine.network = network
    before: dict[str, torch.Tensor] = {}

    def keep():
        before.update({name: buffer.clone() for name, buffer in network.module.named_buffers()})

    engine.add_event_handler(Events.EPOCH_COMPLETED, keep)
    SameBuffers().attach(engine)
    engine.run([0, 1, 2])
    torch.save({"before": before, "after": network.module.state_dict()}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_statistics_of_two_processes_are_those_of_the_first(tmp_path):
    mp.spawn(train, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert not torch.equal(first["before"]["1.running_mean"], second["before"]["1.running_mean"])
    for name, value in first["before"].items():
        assert torch.equal(first["after"][name], value)
        assert torch.equal(second["after"][name], value)


def test_one_process_has_nothing_to_do():
    engine = SimpleNamespace(network=nn.BatchNorm1d(2))
    SameBuffers()(engine)
