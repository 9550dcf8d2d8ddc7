"""Curves, pictures and histograms of a run for TensorBoard."""

import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from medbundles.atomic_files import cannot_write
from medbundles.handlers.closing import at_end
from medbundles.handlers.run import run_of
from medbundles.networks import bare_network
from medbundles.ranks import is_rank_0
from medbundles.reports.prediction_pictures import prediction_pictures

logger = logging.getLogger("medbundles")
SPEEDS = ("epoch_seconds", "samples_per_second")


def tag_of(name: str) -> str:
    """TensorBoard tag of an entry of the history: `val_dice` -> `val/dice`, `lr_encoder` -> `lr/encoder`."""
    return f"speed/{name}" if name in SPEEDS else re.sub(r"^(train|val|lr|grad_norm)_", r"\1/", name)


def finite_values(tensor: torch.Tensor) -> np.ndarray:
    """The finite values of a tensor as a flat array: histograms have no place for others."""
    values = tensor.detach().float().cpu().flatten()
    return values[values.isfinite()].numpy()


class TensorBoard:
    """Writes each epoch's record, sample predictions and histograms to the run's logs; the step is the epoch.

    Losses and metrics of training and validation, learning rates, gradient norm, epoch time; the last validation
    batch's images with the true (green) and predicted (red) outline, when there are masks, or beside their
    reconstructions. A resumed run goes on in the same curves; what an interrupted epoch left there is dropped. Only
    rank 0 writes.
    Ignite's TensorboardLogger is not used: it opens its file when it is built, before the run has a folder.
    Look with `tensorboard --logdir <run directory>/logs`.

    Args:
        enabled: False switches it off.
        images: how many pictures per validation; 0: none.
        histograms: of all weights and of the gradients of the epoch's last step (after clipping), each epoch.
        image_interval: pictures of every so many-th epoch, if it is validated; 0: none.

    Example::

        {"_target_": "medbundles.handlers.TensorBoard", "enabled": "@tensorboard"}
    """

    phase = "watch"

    def __init__(self, enabled: bool = True, images: int = 4, histograms: bool = False, image_interval: int = 1):
        self.enabled, self.images, self.histograms = enabled, images, histograms
        self.image_interval = image_interval
        self.writer: Any = None

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        if self.enabled and is_rank_0():
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)
            at_end(engine, self.close)

    def __call__(self, engine: Engine) -> None:
        if not self.enabled:
            return
        try:
            self.write(engine)
        except OSError as error:
            folder = run_of(engine).directory.folder("logs")
            logger.warning("%s; the run goes on without TensorBoard.", cannot_write(folder, error))
            self.enabled, self.writer = False, None  # what it still holds could not be written either

    def write(self, engine: Engine) -> None:
        """Write what the epoch gave."""
        state: Any = engine.state
        run, epoch = run_of(engine), state.epoch
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(run.directory.folder("logs")), purge_step=epoch if epoch > 1 else None)
        for name, value in state.epoch_record.items():
            if name != "epoch":
                self.writer.add_scalar(tag_of(name), value, epoch)
        is_due = self.image_interval and epoch % self.image_interval == 0
        if is_due and run.validation(engine) is not None:
            for number, picture in enumerate(prediction_pictures(run.validator.state.output, self.images)):
                self.writer.add_image(f"predictions/{number}", picture, epoch)
        if self.histograms:
            for name, values in _histograms(bare_network(engine.network)):  # type: ignore[attr-defined]
                self.writer.add_histogram(name, values, epoch)
        self.writer.flush()

    def close(self, error: BaseException | None = None) -> None:
        """Close the file."""
        if self.writer is not None:
            with suppress(OSError):  # of a disk that has just become full: the epochs before are there
                self.writer.close()
            self.writer = None


def _histograms(network: torch.nn.Module) -> Iterator[tuple[str, np.ndarray]]:
    for name, weight in network.named_parameters():
        for kind, tensor in (("weights", weight), ("gradients", weight.grad)):
            values = finite_values(tensor) if tensor is not None else np.empty(0)
            if len(values):
                yield f"{kind}/{name}", values
