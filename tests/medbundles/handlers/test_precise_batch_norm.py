from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines.utils import default_prepare_batch
from torch import nn

from medbundles.handlers import PreciseBatchNorm

BATCHES = [{"image": torch.randn(4, 2, 3, 3, 3) * (i + 1) + i} for i in range(5)]


def trained(batches: int, epochs: int = 1, interval: int = 1) -> nn.Module:
    """A network after epochs of wrong running statistics."""
    network = nn.Sequential(nn.BatchNorm3d(2), nn.Dropout(0.5))
    engine = Engine(lambda *_: None)
    engine.data_loader, engine.amp, engine.prepare_batch = BATCHES, False, default_prepare_batch
    engine.non_blocking, engine.to_kwargs, engine.state.device = False, {}, torch.device("cpu")
    engine.network, engine.inferer = network, SimpleNamespace(enabled=False)
    PreciseBatchNorm(batches, interval).attach(engine)
    engine.on(Events.EPOCH_STARTED)(lambda: nn.init.constant_(network[0].running_mean, 99.0))
    engine.run([0], max_epochs=epochs)
    return network


@pytest.mark.parametrize("batches", [2, 20])
def test_statistics_are_the_mean_over_the_first_batches(batches):
    images = [batch["image"].double() for batch in BATCHES[:batches]]
    network = trained(batches)
    mean = torch.stack([x.mean(dim=(0, 2, 3, 4)) for x in images]).mean(0)
    variance = torch.stack([x.var(dim=(0, 2, 3, 4)) for x in images]).mean(0)
    assert torch.allclose(network[0].running_mean.double(), mean, atol=1e-5)
    assert torch.allclose(network[0].running_var.double(), variance, rtol=1e-5)
    assert network[0].momentum == 0.1
    assert network.training


def test_off_it_leaves_them_alone():
    assert (trained(0)[0].running_mean == 99).all()


def test_only_epochs_that_are_validated():
    assert (trained(5, epochs=3, interval=2)[0].running_mean == 99).all()
    assert (trained(5, epochs=4, interval=2)[0].running_mean != 99).all()


def test_loading_is_not_under_the_networks_precision():
    """Without workers the augmentation runs in this process; MONAI's cannot work in bfloat16."""
    seen = []

    class Loader:
        def __iter__(self):
            for batch in BATCHES:
                seen.append((batch["image"][0, 0, 0] @ batch["image"][0, 0, 0]).dtype)
                yield batch

    network = nn.Sequential(nn.Conv3d(2, 2, 1), nn.BatchNorm3d(2))
    kinds = []
    network[0].register_forward_hook(lambda module, inputs, output: kinds.append(output.dtype))
    engine = Engine(lambda *_: None)
    engine.data_loader, engine.amp, engine.prepare_batch = Loader(), False, default_prepare_batch
    engine.non_blocking, engine.to_kwargs, engine.state.device = False, {}, torch.device("cpu")
    engine.network, engine.inferer = network, SimpleNamespace(enabled=True)
    PreciseBatchNorm(3).attach(engine)
    engine.run([0], max_epochs=1)
    assert set(seen) == {torch.float32}
    assert kinds == [torch.bfloat16] * 3
