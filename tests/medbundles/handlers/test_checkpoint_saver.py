from __future__ import annotations

import errno
import json
import logging
import math
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.transforms import Compose
from torch import nn

from medbundles.data import SeededDataset
from medbundles.errors import ConfigError, MedbundlesError
from medbundles.handlers import CheckpointSaver, checkpoint_saver
from medbundles.handlers.stateful import stateful
from medbundles.runs import RunDirectory
from medbundles.runs.checkpoints import load_checkpoint
from medbundles.transforms import LoadSlice
from tests.medbundles.handlers.sharing import share


@pytest.fixture
def train(tmp_path):
    """train(metrics, ...): one epoch per dict of validation metrics; what best.pt and last.pt are after each epoch."""
    run_dir = RunDirectory(str(tmp_path), "exp")
    run_dir.record({}, {"lr": 0.1, "scale": np.float64(2.0)}, set())
    run_dir.start()
    folder = run_dir.folder("checkpoints")

    def epoch_of(name):
        return load_checkpoint(folder / name)["epoch"] if (folder / name).is_file() else None

    def run(metrics, start=0, state=None, monitor="val", undefined=None, **options):
        metrics = [m if isinstance(m, dict) else {"val": m} for m in metrics]
        network = nn.Linear(2, 1)
        optimizer = torch.optim.Adam(network.parameters())
        loader = SimpleNamespace(dataset=options.pop("dataset", SimpleNamespace(data=[{"name": "a"}])))
        trainer, validator = Engine(lambda *_: None), Engine(lambda *_: None)
        trainer.data_loader = validator.data_loader = loader
        trainer.scaler = None

        @trainer.on(Events.STARTED)
        def resume():
            trainer.state.epoch = start
            if state:
                stateful(trainer)["best"].load_state_dict(state)

        @trainer.on(Events.EPOCH_COMPLETED)
        def validate():
            torch.nn.init.constant_(network.weight, float(trainer.state.epoch))
            validator.state.epoch = trainer.state.epoch
            validator.state.metrics = metrics[trainer.state.epoch - start - 1]
            validator.state.undefined = undefined or {}

        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
        trainer.network, trainer.optimizer = network, optimizer
        choice = {name: options.pop(name) for name in ("mode", "tie_break") if name in options}
        share(trainer, run_dir, validator, scheduler, metric=monitor, **choice)
        CheckpointSaver(**options).attach(trainer)
        seen = []
        trainer.on(Events.EPOCH_COMPLETED)(lambda: seen.append((epoch_of("best.pt"), epoch_of("last.pt"))))
        trainer.run([0], max_epochs=start + len(metrics))
        return seen

    run.folder = folder
    return run


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_best_is_replaced_only_by_something_better_and_last_always(train):
    # 0.6 in epoch 5 is no better than 0.6 in epoch 4; best.pt keeps its content although it shares a file with last.pt
    assert train([0.5, 0.4, 0.5, 0.6, 0.6]) == [(1, 1), (1, 2), (1, 3), (4, 4), (4, 5)]
    best, last = (load_checkpoint(train.folder / name) for name in ("best.pt", "last.pt"))
    assert float(best["network"]["weight"][0, 0]) == 4.0
    assert float(last["network"]["weight"][0, 0]) == 5.0
    best = {"best": [0.6, 0.0], "best_epoch": 4, "best_metrics": {"val": 0.6}, "training_images": "auto"}
    assert last["parts"]["best"] == best


def test_nan_is_never_best_neither_first_nor_later(train):
    assert train([math.nan, 0.3, math.nan, 0.2]) == [(None, 1), (2, 2), (2, 3), (2, 4)]


def test_what_the_data_do_not_define_is_not_followed_to_the_end(train):
    """Not NaN by the network, which may get better, but by data of one class: no epoch would be the best."""
    epochs = [{"val": math.nan, "val_dice": 0.3, "val_auc": math.nan}] * 3
    with pytest.raises(
        ConfigError, match=r"val is not defined .* \(needs images of both classes\).* one that is \(val_dice\)\."
    ):
        train(epochs, undefined={"val": "needs images of both classes", "val_dice": ""})
    assert files(train.folder) == []


def test_smaller_is_better_in_mode_min(train):
    assert [best for best, _ in train([3.0, 4.0, math.nan, 2.0], mode="min")] == [1, 1, 1, 4]


def test_the_tie_break_decides_between_equals_and_only_then(train):
    metrics = [(0.5, 0.6), (0.5, 0.7), (0.5, math.nan), (0.5, 0.65), (0.6, math.nan), (0.6, 0.1)]
    seen = train([{"val": v, "auc": a} for v, a in metrics], tie_break="auc")
    assert [best for best, _ in seen] == [1, 2, 2, 2, 5, 6]


def test_after_a_restart_a_worse_model_does_not_overwrite_best(train):
    train([0.5, 0.9, 0.7])
    state = load_checkpoint(train.folder / "last.pt")["parts"]["best"]
    assert train([0.8, 0.95], start=3, state=state) == [(2, 4), (5, 5)]


def test_from_an_older_checkpoint_a_worse_model_does_not_overwrite_best_either(train):
    train([0.5, 0.6, 0.9], save_frequency=1)
    state = load_checkpoint(train.folder / "epoch_001.pt")["parts"]["best"]
    assert state["best"] == [0.5, 0.0]
    assert train([0.8, 0.7, 0.95], start=1, state=state) == [(3, 2), (3, 3), (4, 4)]


@pytest.mark.parametrize("linkable", [True, False])
def test_killed_at_any_moment_of_the_saving_nothing_is_missing_after_the_next_try(train, monkeypatch, linkable):
    if not linkable:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no hard links here")))
    wanted = train([0.5, 0.6], save_frequency=2)
    done = files(train.folder)
    replace = os.replace
    for survive in range(4):  # trained.json, best.pt, epoch_002.pt, last.pt
        for path in train.folder.iterdir():
            path.unlink()
        train([0.5], save_frequency=2)
        left = [survive]

        def kill(source, target, left=left):
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            replace(source, target)

        monkeypatch.setattr(os, "replace", kill)
        state = load_checkpoint(train.folder / "last.pt")["parts"]["best"]
        with pytest.raises(KeyboardInterrupt):
            train([0.6], start=1, state=state, save_frequency=2)
        monkeypatch.setattr(os, "replace", replace)
        last = load_checkpoint(train.folder / "last.pt")
        assert last["epoch"] == 1  # so epoch 2 is done again
        assert load_checkpoint(train.folder / "best.pt")["epoch"] in (1, 2)
        assert train([0.6], start=1, state=last["parts"]["best"], save_frequency=2) == wanted[1:]
        assert files(train.folder) == done
        assert load_checkpoint(train.folder / "last.pt")["parts"]["best"]["best_epoch"] == 2


def test_a_full_disk_leaves_the_checkpoints_that_were_there(train, monkeypatch):
    train([0.5, 0.4])
    before = {path.name: path.read_bytes() for path in train.folder.iterdir()}

    def full(content, path):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(MedbundlesError, match=r"last\.pt: cannot be written, the disk is full\. The file that was"):
        train([0.3], start=2, state={"best": [0.5], "best_epoch": 1, "best_metrics": {}})
    assert {path.name: path.read_bytes() for path in train.folder.iterdir()} == before


def test_periodic_ones_are_named_by_epoch_and_only_the_older_of_them_are_deleted(train):
    (train.folder / "mine.pt").write_text("")
    train([0.5] * 10, save_frequency=2, keep_last_n=2)
    assert files(train.folder) == ["best.pt", "epoch_008.pt", "epoch_010.pt", "last.pt", "mine.pt", "trained.json"]
    for epoch in (998, 1000):
        train([0.5], start=epoch - 1, save_frequency=2, keep_last_n=2)
    assert files(train.folder)[1:3] == ["epoch_1000.pt", "epoch_998.pt"]  # by number, not by letters


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"save_best": False}, ["last.pt"]),
        ({"save_last": False}, ["best.pt", "trained.json"]),
        ({"save_best": False, "save_last": False}, []),
        ({"save_best": False, "save_last": False, "save_frequency": 1}, ["epoch_001.pt"]),
    ],
)
def test_only_what_is_wanted_is_written(train, options, wanted):
    train([0.5], **{"save_frequency": 0, **options})
    assert files(train.folder) == wanted


def test_optimizer_and_schedule_are_left_out_when_not_wanted(train):
    train([0.5])
    full = load_checkpoint(train.folder / "last.pt")
    assert full["optimizer"]["param_groups"]
    assert full["scheduler"]["last_epoch"] == 0
    train([0.5], save_optimizer=False, save_scheduler=False)
    less = load_checkpoint(train.folder / "last.pt")
    assert less["optimizer"] is None
    assert less["scheduler"] is None


def test_checkpoints_hold_plain_values_also_where_metrics_are_numpys(train):
    train([{"val": np.float64(0.5), "auc": torch.tensor(0.25)}])
    content = torch.load(train.folder / "best.pt", weights_only=True)
    assert content["metrics"] == {"val": 0.5, "auc": 0.25}
    assert type(content["settings"]["scale"]) is float
    assert content["run"].startswith("run_")
    assert (content["epoch"], content["iteration"]) == (1, 1)


def test_beside_best_stand_the_settings_with_the_thresholds_that_its_validation_chose(train):
    options = {"trained": {"size": 8, "mask_threshold": "auto", "class_threshold": "auto"},
               "thresholds": {"mask_threshold": "chosen", "class_threshold": "other"}}  # fmt: skip
    train([{"val": 0.5, "chosen": 0.45, "other": math.nan}, {"val": 0.4, "chosen": 0.1, "other": 0.2}], **options)
    overlay = {"size": 8, "mask_threshold": 0.45, "class_threshold": "auto"}
    assert json.loads((train.folder / "trained.json").read_text()) == overlay
    assert load_checkpoint(train.folder / "best.pt")["trained"] == overlay


@pytest.mark.parametrize(("given", "stored"), [("auto", [["size", 8.0, 9.0], ["intensity", 0.0, 70.0]]), ([], [])])
def test_what_the_images_are_like_is_stored_unless_it_is_given(train, tmp_path, given, stored):
    np.save(tmp_path / "a.npy", np.arange(72, dtype=np.float32).reshape(8, 9))
    items = [{"image": str(tmp_path / "a.npy"), "name": "a", "mask": "", "label": 0}]
    dataset = SeededDataset(items, Compose([LoadSlice()]), cache="none")
    train([0.5], trained={"training_images": given}, dataset=dataset)
    assert json.loads((train.folder / "trained.json").read_text()) == {"training_images": stored}
    (tmp_path / "a.npy").unlink()  # a resumed run knows it already
    state = load_checkpoint(train.folder / "last.pt")["parts"]["best"]
    train([0.6], start=1, state=state, trained={"training_images": given}, dataset=dataset)
    assert load_checkpoint(train.folder / "last.pt")["trained"] == {"training_images": stored}


def test_best_is_told_with_epoch_and_value(train, caplog):
    with caplog.at_level(logging.INFO, "medbundles"):
        train([3.0, 4.0], mode="min")
    assert "saved best.pt (epoch 1, val: 3.0000)" in caplog.text
    assert caplog.text.count("saved best.pt") == 1


def test_only_rank_0_writes(train, monkeypatch):
    monkeypatch.setattr(checkpoint_saver, "is_rank_0", lambda: False)
    train([0.5], save_frequency=1)
    assert files(train.folder) == []


def test_the_best_of_a_checkpoint_without_a_tie_break_is_gone_on_with(train):
    train([0.5])
    assert train([0.4, 0.6], start=1, state={"best": [0.5], "best_epoch": 1, "best_metrics": {}}) == [(1, 2), (3, 3)]


def test_an_unknown_metric_is_refused(train):
    with pytest.raises(ConfigError, match="no metric is named 'dice'; there are val"):
        train([0.5], monitor="dice")
