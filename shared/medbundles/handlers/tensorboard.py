"""Curves, pictures, settings and histograms of a run for TensorBoard."""

import io
import logging
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from PIL import Image

from medbundles.atomic_files import cannot_write
from medbundles.handlers.closing import at_end
from medbundles.handlers.history import history_of
from medbundles.handlers.run import Run, run_of
from medbundles.networks import bare_network
from medbundles.ranks import is_rank_0
from medbundles.reports.panels import FORMATS
from medbundles.reports.prediction_pictures import PredictionPictures
from medbundles.runs.environment import environment

logger = logging.getLogger("medbundles")
SPEEDS = ("epoch_seconds", "samples_per_second")
FOLDERS = ("train", "val")
LARGEST = 1e19
MOST_VALUES = 100_000  # of a tensor, in a histogram


def place_of(name: str) -> tuple[str, str]:
    """Folder and tag of an entry of the history: `val_dice` -> ("val", "score/dice"), `lr` -> ("train", "lr").

    Training and validation have one tag in two folders: only so does TensorBoard draw both in one chart.
    """
    part, rest = re.fullmatch(r"(?:(train|val)_)?(.+)", name).groups(default="train")  # type: ignore[union-attr]
    if name in SPEEDS:
        return part, f"speed/{rest}"
    if re.match(r"(lr|grad_norm)(_|$)", name):
        return part, re.sub(r"^(lr|grad_norm)_", r"\1/", rest)
    kinds = ((rest.endswith("loss"), "loss"), ("threshold" in rest, "threshold"), (True, "score"))
    return part, f"{next(kind for holds, kind in kinds if holds)}/{rest}"


def finite_values(tensor: torch.Tensor) -> np.ndarray:
    """The values of a tensor below 1e19 as a flat array: TensorBoard's histograms have no place for others.

    Of a large tensor every so many-th: 100 million values would take 10 s an epoch. The step shares no factor with the
    tensor's size, or it would take the same place of every kernel.
    """
    values = tensor.detach().flatten()
    step = next(n for n in count(max(1, len(values) // MOST_VALUES)) if math.gcd(n, len(values)) == 1)
    values = values[::step].float().cpu()
    return values[values.abs() < LARGEST].numpy()


class TensorBoard:
    """Writes each epoch's record, sample predictions and histograms to the run's logs; the step is the epoch.

        logs/train   training loss and scores, learning rates, gradient norm, speed
        logs/val     loss and scores of the validation, under the same tags: one chart shows both
        logs         pictures of the validation (true and predicted outline beside the image, the reconstruction, or
                     true and predicted class), histograms, the run's settings and versions as text, and its settings
                     as hparams, so that runs can be compared

    The pictures show the same cases after every epoch, those with a lesion first. A resumed run goes on in the same
    curves: what an interrupted epoch left there is dropped, and what they lack is taken from the history. Only rank 0
    writes. Ignite's TensorboardLogger is not used: it opens its file when it is built, before the run has a folder.
    Look with `tensorboard --logdir <run directory>`, or the folder of all runs.

    Args:
        enabled: False switches it off.
        images: how many pictures per validation; 0: none.
        histograms: of the weights of every layer and of the gradients of the epoch's last step (after clipping), each
            epoch; of a tensor with more than 100,000 values about as many of them.
        image_interval: pictures of every so many-th epoch, if it is validated; 0: none.
        class_names: names of the classes for the pictures' captions.

    Example::

        {"_target_": "medbundles.handlers.TensorBoard", "enabled": "@tensorboard"}
    """

    phase = "watch"

    def __init__(
        self,
        enabled: bool = True,
        images: int = 4,
        histograms: bool = False,
        image_interval: int = 1,
        class_names: Sequence[str] = (),
    ):
        self.enabled, self.histograms, self.image_interval = enabled, histograms, image_interval
        self.shown = PredictionPictures(images, class_names)
        self.writers: dict[str, Any] = {}
        self.end: Any = None  # what says that the run was completed

    def attach(self, engine: Engine) -> None:
        """Wire it to the trainer."""
        if self.enabled and is_rank_0():
            engine.add_event_handler(Events.STARTED, self.start)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)
            at_end(engine, self.close)

    def start(self, engine: Engine) -> None:
        """Listen to the validator."""
        validator = run_of(engine).validator
        if not validator.has_event_handler(self.look, Events.ITERATION_COMPLETED):  # a host may run it again
            validator.add_event_handler(Events.EPOCH_STARTED, lambda: self.shown.forget())
            validator.add_event_handler(Events.ITERATION_COMPLETED, self.look)

    def look(self, validator: Engine) -> None:
        """Choose what is shown, where pictures are due; the validator's epoch is the trainer's."""
        if self.image_interval and validator.state.epoch % self.image_interval == 0:
            self.shown.add(validator.state.output, validator.state.batch)

    def __call__(self, engine: Engine) -> None:
        if not self.enabled:
            return
        try:
            self.write(engine)
        except OSError as error:
            folder = run_of(engine).directory.folder("logs")
            logger.warning("%s; the run goes on without TensorBoard.", cannot_write(folder, error))
            self.enabled, self.writers = False, {}  # what it still holds could not be written either

    def write(self, engine: Engine) -> None:
        """Write what the epoch gave."""
        state: Any = engine.state
        run, epoch = run_of(engine), state.epoch
        if not self.writers:
            self._open(engine, run, epoch)
        self._scalars(state.epoch_record)
        if run.validation(engine) is not None:
            for number, (name, picture) in enumerate(self.shown.pictures(f"epoch {epoch}")):
                self.writers[""].file_writer.add_summary(_image(f"predictions/{number} {name}", picture), epoch)
            self.shown.forget()
        if self.histograms:
            for name, values in _histograms(bare_network(engine.network)):  # type: ignore[attr-defined]
                self.writers[""].add_histogram(name, values, epoch)
        for writer in self.writers.values():
            writer.flush()

    def _open(self, engine: Engine, run: Run, epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        logs = run.directory.folder("logs")
        is_new = epoch == 1 or not any((logs / folder).is_dir() for folder in FOLDERS)
        purge = None if is_new else epoch
        self.writers = {folder: SummaryWriter(str(logs / folder), purge_step=purge) for folder in ("", *FOLDERS)}
        for record in history_of(engine).epochs[:-1] if is_new else ():  # resumed, without a board until now
            self._scalars(record)
        settings = run.directory.settings
        versions = environment(getattr(engine.state, "device", "cpu"), run.seed)
        for title, values in {"settings": settings, "environment": versions}.items():
            self.writers[""].add_text(title, _table(values), epoch)
        free = run.directory.free_settings - {"epochs"}  # what changes no result
        start, self.end = _hparams({k: v for k, v in settings.items() if k not in free})
        if is_new:
            self.writers[""].file_writer.add_summary(start)

    def _scalars(self, record: Mapping[str, Any]) -> None:
        for name, value in record.items():
            if name != "epoch":
                folder, tag = place_of(name)
                self.writers[folder].add_scalar(tag, value, record["epoch"])

    def close(self, error: BaseException | None = None) -> None:
        """Close the files."""
        if self.writers and error is None:
            self.writers[""].file_writer.add_summary(self.end)
        for writer in self.writers.values():
            with suppress(OSError):  # of a disk that has just become full: the epochs before are there
                writer.close()
        self.writers = {}


def _image(tag: str, picture: Image.Image) -> Any:
    """A picture as JPEG: torch's `add_image` writes PNG, which takes longer and more space."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    encoded = io.BytesIO()
    picture.save(encoded, **FORMATS[".jpg"])
    shown = Summary.Image(
        height=picture.height, width=picture.width, colorspace=3, encoded_image_string=encoded.getvalue()
    )
    return Summary(value=[Summary.Value(tag=tag, image=shown)])


def _hparams(settings: Mapping[str, Any]) -> tuple[Any, Any]:
    """What says which settings a run has, and what says that it is done.

    Paths are left out: they are no parameters. What torch says of the experiment is left out, too: without it
    TensorBoard takes all runs together, shows first which settings differ, and finds the scores in the folders below.
    torch's `add_hparams` is not used, as it makes a run of its own.
    """
    from torch.utils.tensorboard.summary import hparams

    plain = {
        name: value if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
        for name, value in settings.items()
        if not (isinstance(value, str) and os.sep in value)
    }
    _, start, end = hparams(plain, {})
    return start, end


def _table(values: Mapping[str, Any]) -> str:
    """Names and values as a table in Markdown."""
    cells = {name: re.sub(r"\s+", " ", str(value)).replace("|", "\\|") for name, value in values.items()}
    lines = [f"| {name} | `{cell}` |" if cell else f"| {name} | |" for name, cell in cells.items()]
    return "\n".join(["| name | value |", "| --- | --- |", *lines])


def _histograms(network: torch.nn.Module) -> Iterator[tuple[str, np.ndarray]]:
    for name, weight in network.named_parameters():
        for kind, tensor in (("weights", weight), ("gradients", weight.grad)):
            values = finite_values(tensor) if tensor is not None else np.empty(0)
            if len(values):
                yield f"{kind}/{name}", values
