from __future__ import annotations

import errno
import io
import math

import numpy as np
import pytest
import torch
from ignite.engine import Events
from PIL import Image

from medbundles.handlers import TensorBoard
from medbundles.handlers.tensorboard import finite_values, tag_of
from medbundles.reports.prediction_pictures import picture


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0, "histograms": 0}).Reload()


def boards(**options):
    return lambda run_dir, network, validator: [TensorBoard(**options)]


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("train_seg_loss", "train/seg_loss"),
        ("val_dice", "val/dice"),
        ("lr", "lr"),
        ("lr_encoder", "lr/encoder"),
        ("grad_norm_max", "grad_norm/max"),
        ("epoch_seconds", "speed/epoch_seconds"),
        ("trainer", "trainer"),
    ],
)
def test_tags(name, tag):
    assert tag_of(name) == tag


def test_every_entry_of_the_history_is_there(tiny_training):
    trainer = tiny_training(epochs=3, after_history=boards())
    trainer.run()
    events = read(trainer.run_dir.folder("logs"))
    records = trainer.history.epochs
    expected = {tag_of(name) for name in records[0] if name != "epoch"}
    assert {"train/loss", "train/seg_loss", "val/acc", "val/auc", "lr", "grad_norm/mean"} <= expected
    assert set(events.Tags()["scalars"]) == expected
    for name in set(records[0]) - {"epoch"}:
        scalars = events.Scalars(tag_of(name))
        assert [s.step for s in scalars] == [1, 2, 3]
        np.testing.assert_array_equal([s.value for s in scalars], np.float32([r[name] for r in records]))
    assert math.isnan(events.Scalars("val/auc")[0].value)


def test_pictures_are_those_of_the_last_validation_batch(tiny_training):
    trainer = tiny_training(epochs=2, after_history=boards(images=4))
    trainer.run()
    events = read(trainer.run_dir.folder("logs"))
    # 5 images in batches of 3: the last one has 2
    assert sorted(events.Tags()["images"]) == ["predictions/0", "predictions/1"]
    shown = events.Images("predictions/0")
    assert [s.step for s in shown] == [1, 2]
    pixels = np.asarray(Image.open(io.BytesIO(shown[-1].encoded_image_string)))
    output = trainer.validator.state.output
    expected = picture(
        *(part[0, 0].numpy() for part in (output["image"], output["label"]["mask"], output["pred"]["mask"]))
    )
    np.testing.assert_array_equal(pixels.transpose(2, 0, 1), expected.numpy())
    assert output["pred"]["mask"].any()


@pytest.mark.parametrize(("interval", "steps"), [(2, [2, 4]), (3, [3]), (0, [])])
def test_pictures_every_so_many_epochs(tiny_training, interval, steps):
    trainer = tiny_training(epochs=4, after_history=boards(image_interval=interval))
    trainer.run()
    events = read(trainer.run_dir.folder("logs"))
    assert [s.step for s in (events.Images("predictions/0") if steps else [])] == steps
    assert bool(events.Tags()["images"]) == bool(steps)


def test_no_pictures_by_choice(tiny_training):
    trainer = tiny_training(after_history=boards(images=0))
    trainer.run()
    assert read(trainer.run_dir.folder("logs")).Tags()["images"] == []


@pytest.mark.parametrize("histograms", [True, False])
def test_histograms_hold_all_weights_and_gradients(tiny_training, histograms):
    trainer = tiny_training(after_history=boards(histograms=histograms))
    trainer.run()
    events = read(trainer.run_dir.folder("logs"))
    names = [name for name, _ in trainer.network.named_parameters()]
    expected = sorted(f"{kind}/{name}" for kind in ("weights", "gradients") for name in names) if histograms else []
    assert sorted(events.Tags()["histograms"]) == expected
    if histograms:
        last = events.Histograms("weights/seg.weight")[-1]
        weights = trainer.network.seg.weight.detach().double()
        assert last.step == 2
        assert last.histogram_value.num == weights.numel()
        assert last.histogram_value.sum == pytest.approx(float(weights.sum()), abs=1e-6)
        gradient = events.Histograms("gradients/seg.weight")[-1].histogram_value
        assert gradient.sum == pytest.approx(float(trainer.network.seg.weight.grad.sum()), abs=1e-6)


def test_histogram_values_are_finite():
    values = finite_values(torch.tensor([[1.0, math.nan], [math.inf, -2.0]], dtype=torch.bfloat16))
    assert values.tolist() == [1.0, -2.0]


def test_a_resumed_run_goes_on_and_drops_what_has_no_checkpoint(tiny_training):
    """Stopped in epoch 2 between TensorBoard and the checkpoint: epoch 2 is written a second time, and counts once."""

    def stop(engine):
        raise SystemExit(143)

    def killed(run_dir, network, validator):
        return [TensorBoard(), AtEpoch(2, stop)]

    trainer = tiny_training(epochs=3, after_history=killed)
    with pytest.raises(SystemExit):
        trainer.run()
    assert [s.step for s in read(trainer.run_dir.folder("logs")).Scalars("train/loss")] == [1, 2]

    resumed = tiny_training(epochs=3, resume=True, after_history=boards())
    resumed.run()
    assert resumed.run_dir.path == trainer.run_dir.path
    events = read(resumed.run_dir.folder("logs"))
    speed = events.Scalars("speed/epoch_seconds")  # differs between the first and the second try
    assert [s.step for s in speed] == [1, 2, 3]
    assert [s.value for s in speed] == [float(np.float32(r["epoch_seconds"])) for r in resumed.history.epochs]
    assert [s.step for s in events.Images("predictions/0")] == [1, 2, 3]


class AtEpoch:
    """Does something at the end of an epoch."""

    def __init__(self, epoch, action):
        self.epoch, self.action = epoch, action

    def attach(self, engine):
        engine.add_event_handler(Events.EPOCH_COMPLETED(once=self.epoch), self.action)


def test_off_writes_nothing(tiny_training):
    trainer = tiny_training(after_history=boards(enabled=False))
    trainer.run()
    assert [p.name for p in trainer.run_dir.folder("logs").iterdir()] == ["train.log"]


def test_other_ranks_write_nothing(tiny_training, monkeypatch):
    monkeypatch.setattr("medbundles.handlers.tensorboard.is_rank_0", lambda: False)
    trainer = tiny_training(after_history=boards())
    trainer.run()
    assert [p.name for p in trainer.run_dir.folder("logs").iterdir()] == ["train.log"]


@pytest.mark.parametrize("failing", [False, True])
def test_the_file_is_closed_at_the_end(tiny_training, failing):
    def fail(engine):
        raise ValueError("broken")

    handler = []

    def handlers(run_dir, network, validator):
        handler.append(TensorBoard())
        return [*handler, AtEpoch(1, lambda engine: opened.append(handler[0].writer is not None))] + (
            [AtEpoch(2, fail)] if failing else []
        )

    opened: list[bool] = []
    trainer = tiny_training(epochs=2, after_history=handlers)
    if failing:
        with pytest.raises(ValueError, match="broken"):
            trainer.run()
    else:
        trainer.run()
    assert opened == [True]
    assert handler[0].writer is None


def test_a_full_disk_is_said_once_and_the_run_goes_on(tiny_training, monkeypatch, caplog):
    def full(writer):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter.flush", full)
    trainer = tiny_training(epochs=3, after_history=boards())
    trainer.run()
    said = [line for line in caplog.messages if "the disk is full; the run goes on without TensorBoard." in line]
    assert len(said) == 1
    assert len(trainer.history.epochs) == 3
