"""What a bundle trains with, in a bare PyTorch loop."""

import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from monai.engines import default_prepare_batch

from .timing import now

Batch = tuple[torch.Tensor, Any]


class Training:
    """Network, loss, optimizer, inferer and loader of a bundle, and a bare PyTorch loop over them.

    Args:
        config: a checked config, as `tools.bundle.build` returns it.

    Attributes:
        waiting: share of each loaded epoch that was spent waiting for data.
    """

    def __init__(self, config: Any):
        get = config.get_parsed_content
        self.config, self.network, self.loss, self.optimizer = config, get("network"), get("loss"), get("optimizer")
        if get("compile_model"):
            self.network = torch.compile(self.network)
        self.inferer, self.loader = get("train#inferer"), get("train#dataloader")
        self.device = torch.device(get("device"))
        self.prepare: Any = get("prepare_batch") if "prepare_batch" in config else default_prepare_batch
        self.waiting: list[float] = []
        self.set_precision()

    def set_precision(self) -> None:
        """Mixed precision on a GPU is that of the engine, as the inferer says."""
        self.mixed = bool(self.inferer.engine_amp)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.mixed)

    def batches(self) -> list[Batch]:
        """The batches of the first epoch, collated and on the device."""
        self.loader.set_epoch(1)
        return [self.prepare(batch, self.device) for batch in self.loader]

    def epoch(self, batches: Iterable[Batch]) -> float:
        """Seconds of an epoch: what a training loop cannot do without, and no more."""
        self.network.train()
        begin = now(self.device)
        for image, target in batches:
            self.optimizer.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type) if self.mixed else nullcontext():
                loss = self.loss(self.inferer(image, self.network), target)
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
        return now(self.device) - begin

    def loaded_epoch(self) -> float:
        """Seconds of the next epoch with the loading of its batches."""
        waits: list[float] = []
        self.loader.set_epoch(len(self.waiting) + 1)
        seconds = self.epoch(self._loaded(waits))
        self.waiting.append(sum(waits) / seconds)
        return seconds

    def _loaded(self, waits: list[float]) -> Iterator[Batch]:
        """The batches as the loader gives them; `waits` gets the seconds that each took to come."""
        batches = iter(self.loader)
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            waits.append(time.perf_counter() - asked)
            if batch is None:
                return
            yield self.prepare(batch, self.device)
