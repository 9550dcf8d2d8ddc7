"""What the benches share: data, the parts of a training, timing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.engines import default_prepare_batch

from benchmarks.subjects import Subject
from tools.bundle import build

FILES = ("train", "quick_test")
BATCHES = (4, 80)  # fewest and most batches of an epoch on phantoms
Batch = tuple[torch.Tensor, Any]


@dataclass
class Case:
    """What was asked for.

    Args:
        folder: the bundle.
        subject: what is known of it.
        temporary: everything is written below it.
        settings: of the bundle.
        dataset_dir: prepared data, or "" for phantoms.
        slices_dir: raw kaggle_3m folder, or ""; for bundles of slices.
        pairs: repetitions.
        epoch_seconds: how long an epoch on phantoms should take.
    """

    folder: Path
    subject: Subject
    temporary: Path
    settings: Mapping[str, Any]
    dataset_dir: str
    slices_dir: str
    pairs: int
    epoch_seconds: float
    _data: str = field(default="", init=False)

    def all_settings(self, **more: Any) -> dict[str, Any]:
        """The settings of a bench: small, nothing random, nothing published; then those asked for.

        Args:
            **more: settings that the bench itself varies; they win. `__` stands for '#'.
        """
        return {
            **self.subject.settings, "num_workers": 0, "cache": "memory", "augmentation#enabled": False,
            "publish": False, "early_stopping#enabled": False,
            "output_dir": str(self.temporary / "runs"), **self.settings,
            **{name.replace("__", "#"): value for name, value in more.items()},
        }  # fmt: skip

    def cache_data(self) -> tuple[str, str]:
        """Data for the caches, or "" and the reason why there are none."""
        if self.dataset_dir and self.subject.cache_on_own_data:
            return str(Path(self.dataset_dir).resolve()), ""
        return self.subject.cache_data(self.temporary / "cached", self.slices_dir)

    def data(self) -> str:
        """The data folder; phantoms are made with the first call, as many as the machine needs for an epoch."""
        if self.dataset_dir:
            return str(Path(self.dataset_dir).resolve())
        if not self._data:
            probe, data = self.temporary / "probe", self.temporary / "phantoms"
            size = self.all_settings()["batch_size"]
            self.subject.phantoms(probe, size)
            seconds = seconds_per_step(Training.build(self, self.all_settings(dataset_dir=str(probe))))
            batches = int(np.clip(round(self.epoch_seconds / seconds), *BATCHES))
            items = self.subject.phantoms(data, batches * size)
            self._data = str(data)
            print(f"phantoms: {items} training images, about {batches * seconds:.1f} s per epoch")
        return self._data


@dataclass
class Training:
    """The parts of a bundle's training, and a bare PyTorch loop over them."""

    config: Any
    network: torch.nn.Module
    loss: torch.nn.Module
    optimizer: torch.optim.Optimizer
    inferer: Any
    loader: Any
    device: torch.device

    @classmethod
    def build(cls, case: Case, settings: Mapping[str, Any]) -> Training:
        """Build the parts from the bundle's config; nothing is written."""
        config = build(case.folder, FILES, "train", settings)
        return cls.of(config)

    @classmethod
    def of(cls, config: Any) -> Training:
        """The parts of a checked config."""
        names = ("network", "loss", "optimizer", "train#inferer", "train#dataloader", "device")
        network, loss, optimizer, inferer, loader, device = (config.get_parsed_content(name) for name in names)
        return cls(config, network, loss, optimizer, inferer, loader, torch.device(device))

    def __post_init__(self) -> None:
        self.mixed = bool(self.inferer.engine_amp)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.mixed)
        own = "prepare_batch" in self.config
        self.prepare: Any = self.config.get_parsed_content("prepare_batch") if own else default_prepare_batch

    def batches(self, epoch: int = 1) -> list[Batch]:
        """The batches of an epoch, collated and on the device."""
        self.loader.set_epoch(epoch)
        return [self.prepare(batch, self.device) for batch in self.loader]

    def step(self, image: torch.Tensor, target: Any) -> None:
        """One step of the optimizer: what a training loop cannot do without, and no more."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, enabled=True) if self.mixed else _nothing():
            loss = self.loss(self.inferer(image, self.network), target)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def epoch(self, batches: Iterable[Batch]) -> float:
        """Seconds of an epoch over batches that are ready."""
        self.network.train()
        begin = now(self.device)
        for image, target in batches:
            self.step(image, target)
        return now(self.device) - begin

    def loaded_epoch(self, number: int) -> tuple[float, float]:
        """Seconds of an epoch with its loading, and how many of them were spent waiting for data."""
        self.network.train()
        self.loader.set_epoch(number)
        begin, waited = now(self.device), 0.0
        batches = iter(self.loader)
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            waited += time.perf_counter() - asked
            if batch is None:
                return now(self.device) - begin, waited
            self.step(*self.prepare(batch, self.device))


class Epoch:
    """Epochs of a training over batches that are ready, for `take_turns`."""

    def __init__(self, training: Training, batches: list[Batch]):
        self.training, self.batches = training, batches

    def __call__(self, number: int) -> float:
        return self.training.epoch(self.batches)


class _nothing:  # noqa: N801 - a context manager without an effect
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def now(device: torch.device) -> float:
    """The time in seconds when all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds_per_step(training: Training, steps: int = 3) -> float:
    """Mean time of a step, after one that is not counted."""
    (batch,) = training.batches()[:1]
    training.epoch([batch])
    return training.epoch([batch] * steps) / steps


def take_turns(measures: Mapping[str, Callable[[int], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each measure in every round; round 0 only warms up.

    Args:
        measures: name -> a function of the round's number that does something and tells how long it took.
        rounds: how many count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(rounds + 1):
        for name, measure in measures.items():
            value = measure(number)
            if number:
                seconds[name].append(value)
    return seconds


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, quartiles, smallest and largest."""
    q1, median, q3 = np.percentile(values, [25, 50, 75])
    return {
        "median": float(median), "q1": float(q1), "q3": float(q3),
        "min": float(min(values)), "max": float(max(values)), "n": len(values),
    }  # fmt: skip


def ratios(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """Spread of the ratios, round by round."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def tell(text: str, values: Mapping[str, float], unit: str = "") -> None:
    """Print a spread on one line."""
    print(
        f"{text:<52} {values['median']:.3f}{unit}  quartiles {values['q1']:.3f} to {values['q3']:.3f}, "
        f"all {values['min']:.3f} to {values['max']:.3f}, n = {values['n']}",
        flush=True,
    )
