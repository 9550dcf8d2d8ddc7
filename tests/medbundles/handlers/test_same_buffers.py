"""Two real processes validate one network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import nn

from medbundles.handlers import SameBuffers

SCRIPT = """
import sys
import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from torch import nn
from medbundles.handlers import SameBuffers
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method="file://" + sys.argv[2] + "/store", rank=rank, world_size=2)
network = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)))
torch.manual_seed(rank)
engine = Engine(lambda engine, batch: network(torch.randn(6, 3) + rank).sum().backward())
engine.network, before = network, {}
keep = lambda: before.update({name: buffer.clone() for name, buffer in network.module.named_buffers()})
engine.add_event_handler(Events.EPOCH_COMPLETED, keep)
SameBuffers().attach(engine)
engine.run([0, 1, 2])
after = dict(network.module.named_buffers())
torch.save({"before": before, "after": after}, f"{sys.argv[2]}/{rank}.pt")
dist.barrier()
dist.destroy_process_group()
"""


def test_statistics_of_two_processes_are_those_of_the_first(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    path = os.pathsep.join([str(Path(__file__).parents[3] / "shared"), os.environ.get("PYTHONPATH", "")])
    processes = [
        subprocess.Popen(
            [sys.executable, str(tmp_path / "script.py"), str(rank), str(tmp_path)],
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        results = [process.communicate(timeout=90) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert all(process.returncode == 0 for process in processes), results
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert not torch.equal(first["before"]["1.running_mean"], second["before"]["1.running_mean"])
    for name, value in first["before"].items():
        assert torch.equal(first["after"][name], value)
        assert torch.equal(second["after"][name], value)


def test_one_process_has_nothing_to_do():
    engine = SimpleNamespace(network=nn.BatchNorm1d(2))
    SameBuffers()(engine)
