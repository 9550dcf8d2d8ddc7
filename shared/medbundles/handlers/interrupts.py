"""Ctrl-C and SIGTERM end a run at once, with a message that says where to go on."""

from __future__ import annotations

import logging
import os
import signal
import threading
from types import FrameType
from typing import Any

from ignite.engine import Engine, Events

from medbundles.runs.directory import RunDirectory, is_rank_0

logger = logging.getLogger("medbundles")
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Turns SIGINT and SIGTERM into exit codes 130 and 143 while the trainer runs.

    last.pt stays the last completed epoch: checkpoints are written whole or not at all.

    Args:
        run_dir: its last.pt is named in the message.
    """

    def __init__(self, run_dir: RunDirectory):
        self.run_dir = run_dir
        self.process = 0
        self.epoch = 0
        self.previous: dict[int, Any] = {}

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer, as the first handler."""
        engine.add_event_handler(Events.STARTED, self.install)
        engine.add_event_handler(Events.EPOCH_STARTED, self.note_epoch)
        engine.add_event_handler(Events.COMPLETED, self.remove)

    def install(self, engine: Engine) -> None:
        """Signals can only be taken in the main thread; elsewhere the host deals with them."""
        if threading.current_thread() is threading.main_thread():
            self.process = os.getpid()
            self.previous = {number: signal.signal(number, self.stop) for number in SIGNALS}

    def note_epoch(self, engine: Engine) -> None:
        """Remember which epoch is running."""
        self.epoch = engine.state.epoch

    def remove(self, engine: Engine) -> None:
        """Give the signals back."""
        for number, handler in self.previous.items():
            signal.signal(number, handler)
        self.previous = {}

    def stop(self, number: int, frame: FrameType | None) -> None:
        """End this process; a loader's worker, which inherits this, ends without a word."""
        if os.getpid() == self.process and is_rank_0():
            logger.warning("%s: stopped in epoch %d. %s", signal.Signals(number).name, self.epoch, self.advice())
        raise SystemExit(128 + number)

    def advice(self) -> str:
        """What is there to go on from."""
        if not self.run_dir.started:
            return "Nothing was written."
        last = self.run_dir.folder("checkpoints") / "last.pt"
        if not last.is_file():
            return f"No epoch was completed in {self.run_dir.path}."
        return f"{last} holds the last completed epoch; go on with --resume True."
