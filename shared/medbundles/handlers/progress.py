"""Shows a run on the console: a bar while an epoch runs, two lines when it is done."""

import logging
import math
import sys
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer

from medbundles.handlers.history import history_of
from medbundles.lines import duration, wrapped
from medbundles.ranks import is_rank_0

logger = logging.getLogger("medbundles")
RECENT = 5  # epochs from whose time the rest is told


def in_words(record: dict[str, Any], prefix: str, loss_decimals: int = 4) -> str:
    """`Loss: 0.4521, Dice: 0.7012` from the record's entries with this prefix."""
    names = [n for n in record if n.startswith(prefix)]
    decimals = {n: loss_decimals if n.endswith("loss") else 4 for n in names}
    texts = {n: "undefined" if math.isnan(record[n]) else f"{record[n]:.{decimals[n]}f}" for n in names}
    return ", ".join(f"{n.removeprefix(prefix).replace('_', ' ').capitalize()}: {texts[n]}" for n in names)


class Progress:
    """A tqdm bar per epoch with the running loss, its terms, metrics and the time left; only lines when not a terminal.

    Ignite's ProgressBar is not used: it also draws where there is no terminal, and its bar would still be open while
    the validation, which ends the epoch, writes its lines.

    Args:
        every: iterations between two updates of the numbers beside the bar (reading them waits for a GPU).
        bar: False: no bar even on a terminal.
        loss_decimals: decimals of the losses in the epoch's lines.
    """

    phase = "watch"

    def __init__(self, every: int = 10, bar: bool = True, loss_decimals: int = 4):
        self.every, self.bar_wanted, self.loss_decimals = every, bar, loss_decimals
        self.bar: Any = None

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        if not is_rank_0():
            return
        engine.add_event_handler(Events.EPOCH_STARTED, self.open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.advance)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def open(self, engine: SupervisedTrainer) -> None:
        """A new bar for the epoch."""
        if self.bar_wanted and sys.stderr.isatty():
            from tqdm import tqdm

            title = f"Epoch {engine.state.epoch}/{engine.state.max_epochs}"
            self.bar = tqdm(total=engine.state.epoch_length, desc=title, leave=False, dynamic_ncols=True)

    def advance(self, engine: SupervisedTrainer) -> None:
        """One iteration more."""
        if self.bar is None:
            return
        self.bar.update(1)
        if engine.state.iteration % self.every == 0:
            running = history_of(engine).running()
            self.bar.set_postfix({name.removesuffix("_loss"): f"{v:.4f}" for name, v in running.items()})
        if self.bar.n == self.bar.total:
            self.bar.close()
            self.bar = None

    def __call__(self, engine: SupervisedTrainer) -> None:
        record, state = engine.state.epoch_record, engine.state
        rates = ", ".join(f"{n} {v:.2e}" for n, v in record.items() if n.startswith("lr"))
        speed = f"{record['epoch_seconds']:.1f} s, {record['samples_per_second']:.0f} samples/s"
        epochs_left = state.max_epochs - state.epoch
        last = [epoch["epoch_seconds"] for epoch in history_of(engine).epochs[-RECENT:]]
        left = f", up to {duration(sum(last) / len(last) * epochs_left)} left" if epochs_left and last else ""
        lines = {f"Epoch {state.epoch}/{state.max_epochs}  ": f"{speed}, {rates}{left}"}
        lines["Train - "] = in_words(record, "train_", self.loss_decimals)
        if any(name.startswith("val_") for name in record):
            lines["Val   - "] = in_words(record, "val_", self.loss_decimals)
        for head, text in lines.items():
            # a name stays beside its value
            for line in wrapped(text.replace(" ", "\xa0").replace(",\xa0", ", "), head, " " * len(head)):
                logger.info("%s", line.replace("\xa0", " "))
