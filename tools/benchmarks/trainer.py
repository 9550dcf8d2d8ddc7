"""An epoch of the bundle's trainer, with all its handlers, against a bare PyTorch loop over the same batches."""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ignite.engine import Engine, Events

from medbundles.networks.freed_memory import keep_freed_memory
from medbundles.networks.quick_layers import QUICK
from medbundles.networks.small_inputs import CAREFUL

from ..bundle import build, plain_errors, read_config
from .bundles import MeasuredBundle
from .memory import give_memory_back
from .timing import now, ratios, show
from .training import Batch, Training


class Pairs:
    """Runs the bare loop before and after each epoch of the trainer, and takes all three times.

    The trainer's epoch runs from its first handler of EPOCH_STARTED to its last of EPOCH_COMPLETED (logging and
    checkpoints are in), without the time of the validator.

    Attributes:
        bare: what the bare loop trains.
        batches: what both train on.
        seconds: of the bare loop before each epoch of the trainer, of the epoch, and of the bare loop after it.
    """

    bare: Training
    batches: list[Batch]

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {"bare_before": [], "trainer": [], "bare_after": []}
        self.begin = 0.0

    def attach(self, engine: Engine) -> None:
        """As the first of the trainer's handlers."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.epoch_started)

    def epoch_started(self) -> None:
        """The bare loop, then the clock for the trainer starts."""
        self.seconds["bare_before"].append(self.bare.epoch(self.batches))
        self.begin = now(self.bare.device)

    def epoch_completed(self) -> None:
        """The clock stops, then the bare loop again."""
        self.seconds["trainer"].append(now(self.bare.device) - self.begin)
        self.seconds["bare_after"].append(self.bare.epoch(self.batches))

    @contextmanager
    def not_counted(self) -> Iterator[None]:
        """What runs in it, or in a function decorated with it, is not the trainer's time."""
        begin = now(self.bare.device)
        yield
        self.begin += now(self.bare.device) - begin


class Stock(Training):
    """What MONAI alone trains: float32, torch's own layers, loops and use of memory, the usual order of axes."""

    def __init__(self, config: Any):
        super().__init__(config)
        bare = {quick: torchs for torchs, quick in (*QUICK.items(), *CAREFUL.items())}
        for module in self.network.modules():
            while type(module) in bare:
                module.__class__ = bare[type(module)]
        for group in self.optimizer.param_groups:
            group["fused"] = None

    def epoch(self, batches: Iterable[Batch]) -> float:
        """As a bare loop, while the C library gives memory back."""
        give_memory_back()
        seconds = super().epoch(batches)
        keep_freed_memory()
        return seconds


def stock(bundle: MeasuredBundle) -> dict[str, Any]:
    """An epoch of the bundle's trainer, with loading and all handlers, against stock MONAI on ready batches."""
    plain = {"amp": False, "channels_last": False}
    return _measure(bundle, lambda _: Stock(bundle.training(plain).config), "stock")


def measure(bundle: MeasuredBundle) -> dict[str, Any]:
    """An epoch of the bundle's trainer against a bare loop over the same network."""

    def same(config: Any) -> Training:
        bare = Training(config)
        # copied together, so that the copied optimizer moves the copied weights
        bare.network, bare.optimizer = copy.deepcopy((bare.network, bare.optimizer))
        return bare

    return _measure(bundle, same, "bare")


def _measure(bundle: MeasuredBundle, other: Callable[[Any], Training], name: str) -> dict[str, Any]:
    """Train for `pairs` epochs, and one before them that fills the cache and is not counted.

    Args:
        bundle: what is measured.
        other: makes what the trainer is measured against of the bundle's config.
        name: what that is called.
    """
    own = read_config(bundle.folder, "train")["train"]["handlers"]
    handlers = [{"_target_": f"{__name__}.{Pairs.__name__}"}, *own]
    settings = bundle.all_settings({"epochs": bundle.pairs + 1, "train#handlers": handlers})
    config = build(bundle.folder, bundle.files, "train", settings)
    with plain_errors():
        trainer = config.get_parsed_content("train#trainer")
        pairs = config.get_parsed_content("train#handlers#0")
        pairs.bare = other(config)
        pairs.batches = pairs.bare.batches()
        validator = config.get_parsed_content("validate#evaluator")
        validator.run = pairs.not_counted()(validator.run)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, pairs.epoch_completed)
        trainer.run()
    seconds = {name: values[1:] for name, values in pairs.seconds.items()}
    before, after = seconds["bare_before"], seconds["bare_after"]
    bare = [(a + b) / 2 for a, b in zip(before, after, strict=True)]
    batches, batch_size, size = len(pairs.batches), settings["batch_size"], config.get_parsed_content(bundle.size)
    print(f"{batches} batches of {batch_size} at {size}, {len(own)} handlers")
    show(f"epoch of the {name} loop", bare, " s")
    return {
        "batches": batches,
        "batch_size": batch_size,
        bundle.size: size,
        "handlers": len(own),
        "seconds": seconds,
        f"trainer_over_{name}": show(f"epoch of the trainer / {name} loop", ratios(seconds["trainer"], bare)),
        f"{name}_over_trainer": show(f"epoch of the {name} loop / trainer", ratios(bare, seconds["trainer"])),
        f"{name}_over_{name}": show(f"{name} loop after / {name} loop before (noise)", ratios(after, before)),
    }
