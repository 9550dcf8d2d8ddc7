"""Every random number of an epoch comes from (seed, epoch, rank)."""

import random
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer

from medbundles.handlers.closing import at_end
from medbundles.ranks import rank_and_world

FLAGS = ((torch.backends.cudnn, "benchmark"), (torch.backends.cudnn, "deterministic"))
# not even read unless they are set: torch refuses them in a process that sets its newer fp32_precision
OF_TF32 = ((torch.backends.cudnn, "allow_tf32"), (torch.backends.cuda.matmul, "allow_tf32"))


class Seeding:
    """Seeds torch, NumPy and Python at the start of each epoch, gives the loader the epoch, and sets the cuDNN flags.

    MONAI's set_determinism is not used: it seeds once per run, and always switches cuDNN's benchmark off.
    So a run that is resumed at an epoch draws the same numbers as one that was never interrupted.

    The flags are the process's: at the end of the run they are again what they were, for what else it does.

    Args:
        seed: seed of the run.
        cudnn_benchmark: let cuDNN try its kernels and keep the fastest.
        cudnn_deterministic: only deterministic cuDNN kernels.
        tf32: allow TensorFloat-32 in matrix products and convolutions on a GPU; None leaves torch's setting.

    Example::

        {"_target_": "medbundles.handlers.Seeding", "seed": "@seed"}
    """

    phase = "start"

    def __init__(
        self, seed: int, cudnn_benchmark: bool = True, cudnn_deterministic: bool = False, tf32: bool | None = None
    ):
        self.seed, self.benchmark, self.deterministic, self.tf32 = seed, cudnn_benchmark, cudnn_deterministic, tf32
        self.kept: dict[tuple[Any, str], bool] = {}
        self.puts_back = False

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        engine.add_event_handler(Events.STARTED, self.keep_flags)
        engine.add_event_handler(Events.STARTED, self.set_flags)
        engine.add_event_handler(Events.EPOCH_STARTED, self.seed_epoch)

    def keep_flags(self, engine: SupervisedTrainer) -> None:
        """Remember the process's flags that the run sets."""
        if not self.puts_back:  # an engine may run again
            self.puts_back = True
            at_end(engine, self.put_back)  # now, so that it stands behind the others' ends
        flags = (*FLAGS, *(() if self.tf32 is None else OF_TF32))
        self.kept = {(place, name): getattr(place, name) for place, name in flags}

    def put_back(self, error: BaseException | None = None) -> None:
        """Set the flags as they were before the run."""
        for (place, name), value in self.kept.items():
            setattr(place, name, value)
        self.kept = {}

    def set_flags(self, engine: SupervisedTrainer) -> None:
        """Set what holds for the whole run."""
        torch.backends.cudnn.benchmark = self.benchmark
        torch.backends.cudnn.deterministic = self.deterministic
        if self.tf32 is not None:
            torch.backends.cuda.matmul.allow_tf32 = self.tf32
            torch.backends.cudnn.allow_tf32 = self.tf32

    def seed_epoch(self, engine: SupervisedTrainer) -> None:
        """Seed everything for the epoch that starts."""
        epoch = engine.state.epoch
        number = int(np.random.SeedSequence([self.seed, epoch, rank_and_world()[0]]).generate_state(1)[0])
        random.seed(number)
        np.random.seed(number)
        torch.manual_seed(number)
        if hasattr(engine.data_loader, "set_epoch"):
            engine.data_loader.set_epoch(epoch)
