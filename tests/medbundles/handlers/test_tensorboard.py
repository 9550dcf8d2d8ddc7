from __future__ import annotations

import errno
import io
import math

import numpy as np
import pytest
import torch
from ignite.engine import Events
from PIL import Image
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from medbundles.handlers import TensorBoard, tensorboard
from medbundles.handlers.tensorboard import finite_values, place_of
from medbundles.reports.pictures import PREDICTION, TRUTH


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0, "histograms": 0}).Reload()


def boards(**options):
    return lambda run_dir, network, validator: [TensorBoard(**options)]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("train_seg_loss", ("train", "loss/seg_loss")),
        ("val_seg_loss", ("val", "loss/seg_loss")),  # in the same chart
        ("val_dice", ("val", "score/dice")),
        ("val_mask_threshold", ("val", "threshold/mask_threshold")),
        ("lr", ("train", "lr")),
        ("lr_encoder", ("train", "lr/encoder")),
        ("grad_norm_max", ("train", "grad_norm/max")),
        ("epoch_seconds", ("train", "speed/epoch_seconds")),
        ("trainer", ("train", "score/trainer")),
    ],
)
def test_places(name, place):
    assert place_of(name) == place


def test_every_entry_of_the_history_is_there(tiny_training):
    trainer = tiny_training(epochs=3, after_history=boards())
    trainer.run()
    records = trainer.history.epochs
    names = [name for name in records[0] if name != "epoch"]
    assert {"train_loss", "train_seg_loss", "val_acc", "val_auc", "lr", "grad_norm_mean"} <= set(names)
    logs = trainer.run_dir.folder("logs")
    events = {folder: read(logs / folder) for folder in ("train", "val")}
    for folder in events:
        expected = {place_of(name)[1] for name in names if place_of(name)[0] == folder}
        assert set(events[folder].Tags()["scalars"]) == expected
    for name in names:
        folder, tag = place_of(name)
        scalars = events[folder].Scalars(tag)
        assert [s.step for s in scalars] == [1, 2, 3]
        np.testing.assert_array_equal([s.value for s in scalars], np.float32([r[name] for r in records]))
    assert math.isnan(events["val"].Scalars("score/auc")[0].value)


def test_pictures_name_the_same_cases_after_every_epoch(tiny_training):
    trainer = tiny_training(epochs=2, after_history=boards(images=4))
    trainer.run()
    events = read(trainer.run_dir.folder("logs"))
    assert sorted(events.Tags()["images"]) == [f"predictions/{i} 2_{i}" for i in range(4)]
    shown = events.Images("predictions/0 2_0")
    assert [s.step for s in shown] == [1, 2]
    pixels = np.asarray(Image.open(io.BytesIO(shown[-1].encoded_image_string)).convert("RGB"), dtype=int)
    assert (shown[-1].height, shown[-1].width) == pixels.shape[:2]
    assert pixels.shape[1] >= 3 * 256  # image, truth, both
    for colour in (TRUTH, PREDICTION):
        assert (np.abs(pixels[:256] - colour).max(-1) < 60).any()


@pytest.mark.parametrize(("interval", "steps"), [(2, [2, 4]), (3, [3]), (0, [])])
def test_pictures_every_so_many_epochs(tiny_training, interval, steps):
    trainer = tiny_training(epochs=4, after_history=boards(image_interval=interval))
    trainer.run()
    events = read(trainer.run_dir.folder("logs"))
    assert [s.step for s in (events.Images("predictions/0 2_0") if steps else [])] == steps
    assert bool(events.Tags()["images"]) == bool(steps)


def test_no_pictures_by_choice(tiny_training):
    trainer = tiny_training(after_history=boards(images=0))
    trainer.run()
    assert read(trainer.run_dir.folder("logs")).Tags()["images"] == []


def plugin_data(run_dir, tag):
    """What the hparams plugin reads of a tag."""
    content = read(run_dir.folder("logs")).SummaryMetadata(f"_hparams_/{tag}").plugin_data.content
    return HParamsPluginData.FromString(content)


def test_settings_and_versions_are_there_as_text_and_as_hparams(tiny_training):
    trainer = tiny_training(epochs=1, after_history=boards())
    record = trainer.run_dir.record
    settings = {"lr": 0.1, "name": "a|b", "data_dir": "/a/b", "amp": True, "loss#s": 30, "workers": 2, "epochs": 1}
    record({}, settings, {"workers", "epochs"})
    trainer.run()
    events = read(trainer.run_dir.folder("logs"))
    (text,) = events.Tensors("settings/text_summary")
    lines = text.tensor_proto.string_val[0].decode().splitlines()
    assert {"| data_dir | `/a/b` |", "| name | `a\\|b` |"} <= set(lines)
    assert "torch" in events.Tensors("environment/text_summary")[0].tensor_proto.string_val[0].decode()
    hparams = plugin_data(trainer.run_dir, "session_start_info").session_start_info.hparams
    assert set(hparams) == {"lr", "name", "amp", "loss#s", "epochs"}  # no paths, and nothing that changes no result
    assert hparams["lr"].number_value == 0.1
    with pytest.raises(
        KeyError
    ):  # TensorBoard finds out which settings differ among the runs, and which scores there are
        plugin_data(trainer.run_dir, "experiment")
    assert plugin_data(trainer.run_dir, "session_end_info").session_end_info.status == Status.Value("STATUS_SUCCESS")


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


def test_a_large_tensor_gives_part_of_its_values_from_every_place_of_its_kernels(monkeypatch):
    monkeypatch.setattr(tensorboard, "MOST_VALUES", 1000)
    kernels = torch.arange(27.0).repeat(64, 16, 1)  # each kernel holds 0 to 26
    values = finite_values(kernels)
    assert 500 < len(values) < 1500
    assert set(values) == set(range(27))
    assert len(finite_values(kernels[:2])) == 2 * 16 * 27  # a small one is whole


def test_weights_that_have_grown_beyond_all_measure_do_not_end_the_run():
    assert finite_values(torch.tensor([1e30, -1e30, 3.0])).tolist() == [3.0]
    assert len(finite_values(torch.full((4,), 1e30))) == 0


def test_a_resumed_run_goes_on_and_drops_what_has_no_checkpoint(tiny_training):
    """Stopped in epoch 2 between TensorBoard and the checkpoint: epoch 2 is written a second time, and counts once."""

    def stop(engine):
        raise SystemExit(143)

    def killed(run_dir, network, validator):
        return [TensorBoard(), AtEpoch(2, stop)]

    trainer = tiny_training(epochs=3, after_history=killed)
    with pytest.raises(SystemExit):
        trainer.run()
    train = trainer.run_dir.folder("logs") / "train"
    assert [s.step for s in read(train).Scalars("loss/loss")] == [1, 2]

    resumed = tiny_training(epochs=3, resume=True, after_history=boards())
    resumed.run()
    assert resumed.run_dir.path == trainer.run_dir.path
    speed = read(train).Scalars("speed/epoch_seconds")  # differs between the first and the second try
    assert [s.step for s in speed] == [1, 2, 3]
    assert [s.value for s in speed] == [float(np.float32(r["epoch_seconds"])) for r in resumed.history.epochs]
    events = read(train.parent)
    assert [s.step for s in events.Images("predictions/0 2_0")] == [1, 2, 3]
    assert [s.step for s in events.Tensors("settings/text_summary")] == [1, 2]
    assert [s.step for s in read(train.parent / "val").Scalars("score/acc")] == [1, 2, 3]


def test_a_run_that_had_no_board_until_it_was_resumed_has_no_gap(tiny_training):
    tiny_training(epochs=2).run()
    resumed = tiny_training(epochs=3, resume=True, after_history=boards())
    resumed.run()
    for folder, tag in (("train", "loss/loss"), ("val", "score/acc")):
        scalars = read(resumed.run_dir.folder("logs") / folder).Scalars(tag)
        assert [s.step for s in scalars] == [1, 2, 3]
    assert plugin_data(resumed.run_dir, "session_start_info").session_start_info.hparams["lr"].number_value == 0.1


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
        return [*handler, AtEpoch(1, lambda engine: opened.append(bool(handler[0].writers)))] + (
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
    assert handler[0].writers == {}


def test_a_full_disk_is_said_once_and_the_run_goes_on(tiny_training, monkeypatch, caplog):
    def full(writer):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter.flush", full)
    trainer = tiny_training(epochs=3, after_history=boards())
    trainer.run()
    said = [line for line in caplog.messages if "the disk is full; the run goes on without TensorBoard." in line]
    assert len(said) == 1
    assert len(trainer.history.epochs) == 3
