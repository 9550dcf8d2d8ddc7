"""An epoch of the bundle's trainer, with all its handlers, against a bare PyTorch loop over the same batches."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ignite.engine import Engine, Events

from benchmarks.bundles import FILES, MeasuredBundle
from benchmarks.timing import now, ratios, show
from benchmarks.training import Batch, Training
from tools.bundle import build, plain_errors, read_config


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


def measure(bundle: MeasuredBundle) -> dict[str, Any]:
    """Train for `pairs` epochs, and one before them that fills the cache and is not counted."""
    own = read_config(bundle.folder, "train")["train"]["handlers"]
    handlers = [{"_target_": f"{__name__}.{Pairs.__name__}"}, *own]
    settings = bundle.all_settings({"epochs": bundle.pairs + 1, "train#handlers": handlers})
    config = build(bundle.folder, FILES, "train", settings)
    with plain_errors():
        trainer = config.get_parsed_content("train#trainer")
        pairs = config.get_parsed_content("train#handlers#0")
        pairs.bare = Training(config)
        # copied together, so that the copied optimizer moves the copied weights
        pairs.bare.network, pairs.bare.optimizer = copy.deepcopy((pairs.bare.network, pairs.bare.optimizer))
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
    show("epoch of the bare loop", bare, " s")
    return {
        "batches": batches,
        "batch_size": batch_size,
        bundle.size: size,
        "handlers": len(own),
        "seconds": seconds,
        "trainer_over_bare": show("epoch of the trainer / bare loop", ratios(seconds["trainer"], bare)),
        "bare_over_bare": show("bare loop after / bare loop before (noise)", ratios(after, before)),
    }
