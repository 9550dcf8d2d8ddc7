from __future__ import annotations

import json
import logging

import pytest
import torch
from ignite.engine import Events
from ignite.metrics import MeanSquaredError
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import ValidationHandler
from monai.transforms import Compose, Randomizable
from torch import nn

from medbundles.data import EpochBatches, SeededDataset, SeededLoader
from medbundles.errors import CheckpointError
from medbundles.handlers import (
    CheckpointSaver,
    EarlyStopping,
    GradientClip,
    History,
    LrSchedule,
    Monitor,
    Resume,
    Run,
    Seeding,
)
from medbundles.handlers.run import run_of
from medbundles.optimizers import build_scheduler
from medbundles.runs import RunDirectory
from medbundles.runs.checkpoints import load_checkpoint, save_checkpoint

SETTINGS = {"lr": 0.05, "epochs": 5, "seed": 3}
FREE = {"epochs", "scheduler#T_max"}


class Noise(Randomizable):
    def __call__(self, item):
        return {**item, "image": item["image"] + torch.tensor(self.R.normal(size=4), dtype=torch.float32)}


def values(count, seed):
    images = torch.rand(count, 4, generator=torch.Generator().manual_seed(seed))
    return [{"image": x, "label": x.sum(0, keepdim=True), "name": f"{seed}_{i}"} for i, x in enumerate(images)]


def targets(output):
    return output["pred"], output["label"]


@pytest.fixture
def build(tmp_path):
    """A trainer with all that a resumed run has to go on with: dropout, noise, momentum, accumulation, a plateau."""

    def make(epochs=5, folder="runs", patience=50, settings=SETTINGS, width=6, bias=True, extra=(), **options):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, width), nn.Dropout(0.4), nn.Linear(width, 1, bias=bias))
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.05)
        scheduler = build_scheduler(optimizer, "plateau", epochs, mode="min", patience=0)
        scheduler.monitor = "val_mse"
        run_dir = RunDirectory(str(tmp_path / folder), "exp", **options)
        run_dir.record({}, {**settings, "epochs": epochs}, FREE)
        train = SeededDataset(values(11, seed=1), Compose([dict]), Noise(), seed=3)
        val = SeededDataset(values(5, seed=2), Compose([dict]))
        validator = SupervisedEvaluator(
            device=torch.device("cpu"),
            val_data_loader=SeededLoader(val, EpochBatches(5, 3), num_workers=0),
            network=network,
            key_val_metric={"val_mse": MeanSquaredError(targets)},
            decollate=False,
        )
        trainer = SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=epochs,
            train_data_loader=SeededLoader(train, EpochBatches(11, 3, shuffle=True, seed=3), num_workers=0),
            network=network,
            optimizer=optimizer,
            loss_function=nn.MSELoss(),
            decollate=False,
            accumulation_steps=2,
            train_handlers=[
                Seeding(3),
                Resume(),
                Run(run_dir, "cpu", 3, validator, scheduler, Monitor("val_mse", "min")),
                GradientClip(1.0),
                ValidationHandler(1, validator),
                History(),
                LrSchedule(),
                EarlyStopping(patience),
                CheckpointSaver(),
                *extra,
            ],
        )
        trainer.run_dir = run_dir
        return trainer

    return make


def stop_in(trainer, epoch, iteration=2):
    """Ends the process' training in the middle of an epoch, as a kill does."""

    @trainer.on(Events.ITERATION_COMPLETED)
    def stop():
        if trainer.state.epoch == epoch and (trainer.state.iteration - 1) % trainer.state.epoch_length + 1 == iteration:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.run()


def last(trainer, name="last.pt"):
    """All that is in the checkpoint, times and the names of the run left out, as comparable text."""
    content = load_checkpoint(trainer.run_dir.folder("checkpoints") / name)
    for record in content["parts"]["history"]["epochs"]:
        del record["epoch_seconds"], record["samples_per_second"]
    content.pop("run"), content["settings"].pop("epochs")
    torch.set_printoptions(precision=17, threshold=10**9)
    try:
        return repr(content)
    finally:
        torch.set_printoptions(profile="default")


def tree(folder):
    return {str(p): p.stat().st_mtime_ns for p in sorted(folder.rglob("*"))}


def test_where_the_newest_run_was_broken_off_an_earlier_one_is_named(build):
    first = build()
    stop_in(first, 3)
    stop_in(build(), 1)  # before its first epoch
    last_one = first.run_dir.folder("checkpoints") / "last.pt"
    with pytest.raises(CheckpointError, match=rf"An earlier run has one: --resume_from {last_one} goes on with it\."):
        build(resume=True).run()


@pytest.mark.parametrize("kills", [[3], [2, 4], [1, 5]])
def test_an_interrupted_run_ends_with_the_same_bits_as_one_that_was_not(build, kills, tmp_path):
    whole = build(folder="whole")
    whole.run()
    stopped = build()
    stop_in(stopped, kills[0])
    if kills[0] == 1:  # nothing was saved yet
        with pytest.raises(CheckpointError, match=r"the newest run has no .*/checkpoints/last\.pt"):
            build(resume=True).run()
        stop_in(build(), kills[1])
    for epoch in kills[1:] if kills[0] > 1 else ():
        stop_in(build(resume=True), epoch)
    resumed = build(resume=True)
    resumed.run()
    assert last(resumed) == last(whole)
    assert last(resumed, "best.pt") == last(whole, "best.pt")
    if kills[0] > 1:
        assert len(list((tmp_path / "runs/exp").iterdir())) == 1  # it went on in the same folder


def test_more_epochs_than_at_first_are_the_same_as_asking_for_them_at_once(build):
    whole = build(epochs=5, folder="whole")
    whole.run()
    build(epochs=3).run()
    more = build(epochs=5, resume=True)
    more.run()
    assert last(more) == last(whole)


def test_early_stopping_stops_a_resumed_run_in_the_same_epoch(build):
    whole = build(epochs=40, folder="whole", patience=3)
    whole.run()
    assert 4 < whole.state.epoch < 40
    stop_in(build(epochs=40, patience=3), whole.state.epoch)
    resumed = build(epochs=40, patience=3, resume=True)
    resumed.run()
    assert resumed.state.epoch == whole.state.epoch
    assert last(resumed) == last(whole)


def test_a_finished_run_says_so_and_trains_no_more_but_ends_properly(build, caplog):
    first = build(epochs=2)
    first.run()
    before = tree(first.run_dir.folder("checkpoints"))
    again = build(epochs=2, resume=True)
    ended, read = [], []
    again.on(Events.COMPLETED)(lambda: ended.append(True))
    for loader in (again.data_loader, run_of(again).validator.data_loader):
        loader.dataset.transform = read.append  # nothing is left to read them for
    with caplog.at_level(logging.INFO, "medbundles"):
        again.run()
    assert "the run is finished: it has done 2 of 2 epochs. More: --epochs N." in caplog.text
    assert (ended, read) == ([True], [])
    assert again.state.epoch == 2
    assert tree(first.run_dir.folder("checkpoints")) == before
    assert again.run_dir.path == first.run_dir.path


def test_a_run_that_early_stopping_ended_says_so(build, caplog):
    first = build(epochs=40, patience=3)
    first.run()
    with caplog.at_level(logging.INFO, "medbundles"):
        again = build(epochs=40, patience=3, resume=True)
        again.run()
    assert f"early stopping ended it in epoch {first.state.epoch}. More: --early_stopping#patience N" in caplog.text
    assert again.state.epoch == first.state.epoch


def test_resume_from_goes_on_in_the_folder_of_that_checkpoints_run(build, tmp_path):
    first = build(epochs=2)
    first.run()
    build(epochs=1).run()  # a newer run
    more = build(epochs=3, resume_from=str(first.run_dir.folder("checkpoints") / "last.pt"))
    more.run()
    assert more.run_dir.path == first.run_dir.path
    assert [e["epoch"] for e in json.loads((more.run_dir.path / "metrics/metrics.json").read_text())["epochs"]] == [
        1,
        2,
        3,
    ]


def test_a_trainer_that_a_host_runs_again_keeps_the_hosts_weights(build):
    first = build(epochs=1)
    first.run()
    host = build(epochs=2, resume=True)
    host.run()
    host.state.max_epochs = 3
    with torch.no_grad():
        host.network[2].bias.fill_(1000.0)  # what a federated server sends
    host.run()
    assert host.state.epoch == 3
    assert host.network[2].bias.item() > 900


REFUSED = [
    ({"optimizer": None}, r"written with checkpointing#save_optimizer False, so .* with --init_from .*last\.pt"),
    ({"scheduler": None}, r"written with checkpointing#save_scheduler False"),
    ({"data": {"training": "other", "validation": "other"}}, "the training and validation data differ from the run's"),
    ({"format": 0}, "holds weights but not the state of a run"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_a_checkpoint_that_does_not_fit_is_refused_and_leaves_nothing(build, tmp_path, change, message):
    first = build(epochs=1)
    first.run()
    file = first.run_dir.folder("checkpoints") / "last.pt"
    content = load_checkpoint(file)
    content.update(change)
    save_checkpoint(file, {k: v for k, v in content.items() if k != "format"})
    if "format" in change:
        torch.save(content["network"], file)
    before = tree(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        build(epochs=2, resume=True).run()
    assert tree(tmp_path) == before


def test_another_network_is_refused_with_the_names_of_its_tensors(build, tmp_path):
    build(epochs=1).run()
    before = tree(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"another network; these tensors do not fit: 0\.weight, 0\.bias, 2\.weight"
    ):
        build(epochs=2, resume=True, width=7).run()
    with pytest.raises(CheckpointError, match=r"these tensors do not fit: 2\.bias\."):
        build(epochs=2, resume=True, bias=False).run()
    assert tree(tmp_path) == before


def test_other_settings_are_refused_with_old_and_new_value_unless_they_are_free(build):
    build(epochs=1).run()
    with pytest.raises(CheckpointError, match=r"these differ: lr 0\.05 -> 0\.1; seed 3 -> 4\. Give the old values"):
        build(epochs=2, resume=True, settings={"lr": 0.1, "seed": 4, "unheard_of": 1}).run()


def test_a_setting_that_a_run_did_not_know_keeps_what_its_version_did(build):
    """Otherwise a run of an earlier version would see other images from the middle on."""
    build(epochs=1, settings={"lr": 0.05}).run()
    for value, is_right in (("moments", False), ("quartiles", True)):
        again = build(epochs=2, resume=True, settings={"lr": 0.05, "normalisation": value})
        again.run_dir.earlier_settings = {"normalisation": "quartiles"}
        if is_right:
            again.run()
        else:
            with pytest.raises(CheckpointError, match="these differ: normalisation 'quartiles' -> 'moments'"):
                again.run()


def test_what_changes_the_course_of_a_resumed_run_is_said(build, caplog):
    cosine = {"lr": 0.05, "seed": 3, "scheduler#name": "cosine"}
    first = build(epochs=1, settings={**cosine, "scheduler#T_max": 10})
    first.run()
    file = first.run_dir.folder("checkpoints") / "last.pt"
    content = load_checkpoint(file)
    assert [content[name] for name in ("precision", "processes", "channels_last")] == ["that of the engine", 1, False]
    changed = {"processes": 4, "precision": "bfloat16", "channels_last": True}
    save_checkpoint(file, {**{k: v for k, v in content.items() if k != "format"}, **changed})
    again = build(epochs=2, resume=True, settings={**cosine, "scheduler#T_max": 20, "unheard_of": 1})
    again.run()
    assert "did not know these settings, which count from now on: unheard_of" in caplog.text
    assert "processes was 4, now it is 1; the result becomes another" in caplog.text
    assert "precision was 'bfloat16', now it is 'that of the engine'" in caplog.text
    assert "channels_last was True, now it is False" in caplog.text
    assert "goes on along another course (10 -> 20); the old one: --scheduler#T_max 10." in caplog.text
    caplog.clear()
    build(epochs=3, resume=True, settings={**cosine, "scheduler#T_max": 20, "unheard_of": 1}).run()
    assert "another course" not in caplog.text
    assert "becomes another" not in caplog.text


def test_a_setting_that_makes_another_network_is_named_rather_than_its_tensors(build):
    build(epochs=1, settings={"lr": 0.05, "seed": 3, "depth": 10}).run()
    with pytest.raises(CheckpointError, match="these differ: depth 10 -> 18"):
        build(epochs=2, resume=True, width=5, settings={"lr": 0.05, "seed": 3, "depth": 18}).run()


def test_a_file_that_is_not_there_is_refused(build):
    with pytest.raises(CheckpointError, match=r"resume_from: nowhere\.pt does not exist"):
        build(resume_from="nowhere.pt").run()


def test_without_resuming_an_earlier_run_is_left_alone(build):
    first = build(epochs=1)
    first.run()
    second = build(epochs=1)
    second.run()
    assert first.run_dir.path != second.run_dir.path
    assert second.state.epoch == 1
