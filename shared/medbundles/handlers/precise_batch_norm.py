"""Gives batch normalisation statistics that belong to the weights they are used with."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from medbundles.networks import bare_network
from medbundles.ranks import rank_and_world, summed


class PreciseBatchNorm:
    """Before each validation, estimates the running statistics anew on training batches (Wu & Johnson 2021).

    The usual running averages (arXiv:2105.07576, section 3) come from the last ten small batches or so, each with other
    weights: with batches of 4 the validation then sees another network than the training. Here all of them come from
    the same weights: the plain mean over the epoch's first batches, augmented as they were. The training itself does
    not use running statistics and is not changed. Under torchrun the processes' statistics are averaged.

    Args:
        batches: how many; 0: off.
        interval: epochs between two validations.
    """

    phase = "guard"

    def __init__(self, batches: int = 20, interval: int = 1):
        self.batches, self.interval = batches, interval

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        if self.batches > 0:
            engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self)

    @torch.no_grad()
    def __call__(self, engine: SupervisedTrainer) -> None:
        network = bare_network(engine.network)
        layers = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
        if not layers:
            return
        mixed = engine.amp or getattr(engine.inferer, "enabled", False)  # the inferer's own: on a CPU
        with torch.autocast(torch.device(engine.state.device).type, enabled=mixed):
            update_bn(self._images(engine), network)
        for statistic in (s for layer in layers for s in (layer.running_mean, layer.running_var)):
            assert statistic is not None
            summed(statistic).div_(rank_and_world()[1])

    def _images(self, engine: SupervisedTrainer) -> Iterator[torch.Tensor]:
        """The epoch's first batches, on the device; the network's precision is not that of their augmentation."""
        loader: Any = engine.data_loader
        batches, device = islice(iter(loader), self.batches), engine.state.device
        while True:
            with torch.autocast(torch.device(device).type, enabled=False):
                batch = next(batches, None)
                if batch is None:
                    return
                image = engine.prepare_batch(batch, device, engine.non_blocking, **engine.to_kwargs)[0]
            yield image
