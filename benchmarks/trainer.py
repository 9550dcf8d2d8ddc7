"""An epoch of the bundle's trainer, with all its handlers, against a bare PyTorch loop over the same batches."""

from __future__ import annotations

import copy
from typing import Any

from ignite.engine import Engine, Events

from benchmarks.parts import FILES, Batch, Case, Training, now, ratios, spread, tell
from tools.bundle import build, plain_errors, read_config


class Pairs:
    """Runs the bare loop before and after each epoch of the trainer, and takes all three times.

    The trainer's epoch runs from its first handler of EPOCH_STARTED to its last of EPOCH_COMPLETED (logging and
    checkpoints are in), without the time of the validator. Its first epoch fills the cache and is not counted.
    """

    def __init__(self) -> None:
        self.bare: Training | None = None
        self.batches: list[Batch] = []
        self.before: list[float] = []
        self.trainer: list[float] = []
        self.after: list[float] = []
        self.begin = self.validating = 0.0

    def attach(self, engine: Engine) -> None:
        """As the first of the trainer's handlers."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.epoch_started)

    def attach_end(self, engine: Engine, validator: Engine, bare: Training, batches: list[Batch]) -> None:
        """When all other handlers are there."""
        self.bare, self.batches = bare, batches
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)
        run = validator.run

        def timed(*args: Any, **kwargs: Any) -> Any:
            begin = now(bare.device)
            try:
                return run(*args, **kwargs)
            finally:
                self.validating += now(bare.device) - begin

        validator.run = timed  # type: ignore[method-assign]

    def epoch_started(self, engine: Engine) -> None:
        """The bare loop, then the clock for the trainer starts."""
        assert self.bare is not None
        self.before.append(self.bare.epoch(self.batches))
        self.validating, self.begin = 0.0, now(self.bare.device)

    def epoch_completed(self, engine: Engine) -> None:
        """The clock stops, then the bare loop again."""
        assert self.bare is not None
        self.trainer.append(now(self.bare.device) - self.begin - self.validating)
        self.after.append(self.bare.epoch(self.batches))


def measure(case: Case) -> dict[str, Any]:
    """Train for `pairs` epochs and one that is not counted."""
    first = {"_target_": f"{__name__}.{Pairs.__name__}"}
    handlers = [first, *read_config(case.folder, "train")["train"]["handlers"]]
    settings = case.all_settings(dataset_dir=case.data(), epochs=case.pairs + 1)
    config = build(case.folder, FILES, "train", {**settings, "train#handlers": handlers})
    with plain_errors():
        trainer = config.get_parsed_content("train#trainer")
        pairs = config.get_parsed_content("train#handlers#0")
        bare = Training.of(config)
        # copied together, so that the copied optimizer moves the copied weights
        bare.network, bare.optimizer = copy.deepcopy((bare.network, bare.optimizer))
        batches = bare.batches()
        pairs.attach_end(trainer, config.get_parsed_content("validate#evaluator"), bare, batches)
        trainer.run()
    before, epochs, after = pairs.before[1:], pairs.trainer[1:], pairs.after[1:]
    plain = [(a + b) / 2 for a, b in zip(before, after, strict=True)]
    size = case.subject.size
    result = {
        "batches": len(batches), "batch_size": settings["batch_size"], size: config.get_parsed_content(size),
        "handlers": len(handlers) - 1,
        "seconds": {"bare_before": before, "trainer": epochs, "bare_after": after},
        "trainer_over_bare": ratios(epochs, plain), "bare_over_bare": ratios(after, before),
    }  # fmt: skip
    print(f"{len(batches)} batches of {settings['batch_size']} at {result[size]}, {len(handlers) - 1} handlers")
    tell("epoch of the bare loop", spread(plain), " s")
    tell("epoch of the trainer / bare loop", result["trainer_over_bare"])
    tell("bare loop after / bare loop before (noise)", result["bare_over_bare"])
    return result
