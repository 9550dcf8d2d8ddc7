"""Ctrl-C, SIGTERM and SIGHUP end a run within one iteration, with a message that says where to go on."""

import logging
import os
import signal
import threading
from types import FrameType
from typing import Any

from ignite.engine import Engine, Events

from medbundles.handlers.closing import at_end
from medbundles.handlers.run import ATTRIBUTE, Run
from medbundles.ranks import is_rank_0
from medbundles.signals import ours

logger = logging.getLogger("medbundles")


class Interrupts:
    """Makes SIGINT, SIGTERM and SIGHUP end with the exit codes 130, 143 and 129 while the trainer runs.

    SIGHUP comes when a terminal is closed; one that is ignored, as under nohup, stays ignored.

    The run ends between two iterations of training or validation: an exception in the middle of anything, such as
    another thread's queue, could leave a lock behind that the end of the run waits for. Before the first iteration
    (filling a cache may take long) it ends at once, and so it does at the second signal. last.pt stays the last
    completed epoch: checkpoints are written whole or not at all. Without a `Run` (in a learning-rate test) there is
    neither last.pt nor validation.
    """

    phase = "start"

    def __init__(self) -> None:
        self.run: Run | None = None
        self.process = 0
        self.epoch = 0
        self.iterating = False
        self.received: int | None = None
        self.previous: dict[int, Any] = {}

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        engine.add_event_handler(Events.STARTED, self.install)
        engine.add_event_handler(Events.EPOCH_STARTED, self.note_epoch)
        engine.add_event_handler(Events.GET_BATCH_COMPLETED, self.note_iteration)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.end)
        engine.add_event_handler(Events.COMPLETED, self.end)
        at_end(engine, self.remove)

    def install(self, engine: Engine) -> None:
        """Signals can only be taken in the main thread; elsewhere the host deals with them."""
        self.iterating, self.received, self.run = False, None, getattr(engine, ATTRIBUTE, None)
        validator = self.run and self.run.validator
        if validator and not validator.has_event_handler(self.end, Events.ITERATION_COMPLETED):
            validator.add_event_handler(Events.ITERATION_COMPLETED, self.end)
        if threading.current_thread() is threading.main_thread():
            self.process = os.getpid()
            self.previous = {number: signal.signal(number, self.receive) for number in ours()}

    def note_epoch(self, engine: Engine) -> None:
        """Remember which epoch is running; between two epochs the run may end as well."""
        self.end(engine)
        self.epoch = engine.state.epoch

    def note_iteration(self, engine: Engine) -> None:
        """From the first batch on, the end of the iteration is waited for."""
        self.iterating = True

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The signal handler; a loader's worker, which inherits it, ends without a word."""
        if os.getpid() != self.process:
            raise SystemExit(128 + number)
        if self.received is not None:
            os._exit(128 + number)
        self.received = number
        if not self.iterating:
            self.end()
        elif is_rank_0():  # not through logging: its lock may be held by what was interrupted
            os.write(2, b"\nending after this iteration; once more: at once\n")

    def end(self, engine: Engine | None = None) -> None:
        """If a signal has come, say where to go on, and end this process."""
        if self.received is None:
            return
        if is_rank_0():
            name = signal.Signals(self.received).name
            when = f"in epoch {self.epoch}" if self.epoch else "before the first epoch"
            logger.warning("%s: stopped %s. %s", name, when, self.advice())
        raise SystemExit(128 + self.received)

    def remove(self, error: BaseException | None = None) -> None:
        """Give the signals back to the host, also after an error."""
        for number, handler in self.previous.items():
            signal.signal(number, handler)
        self.previous = {}

    def advice(self) -> str:
        """What is there to go on from."""
        if self.run is None or not self.run.directory.started:
            return "Nothing was written."
        last = self.run.directory.folder("checkpoints") / "last.pt"
        if not last.is_file():
            return f"No epoch was completed in {self.run.directory.path}."
        return f"{last} holds the last completed epoch; go on with --resume True."
