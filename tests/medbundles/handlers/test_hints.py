from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
from ignite.engine import Engine, Events

from medbundles.handlers import Hints, History
from medbundles.handlers.hints import NEVER, never_predicted
from medbundles.handlers.stateful import stateful
from medbundles.runs import RunDirectory
from tests.bundles.setting_bench import BUNDLES
from tests.medbundles.handlers.sharing import share

SETTINGS = {"lr": 0.5, "grad_clip": None, "sampling": "shuffle", "epochs": 30}


def swinging(epoch):
    return {"train_loss": 0.5 + 0.2 * (-1) ** epoch, "train_dice": 0.1, "val_dice": 0.1}


def columns(predicted):
    """Two cases of two channels: true pixels of both, predicted ones as given."""
    return {"true_pixels": np.array([[5, 3], [5, 0]]), "predicted_pixels": np.array([predicted, predicted])}


class Training:
    """Epochs whose records and whose cases are given; the handler stands where it does in a config."""

    def __init__(self, folder, record, predicted=lambda epoch: (1, 1), state=None, every=1):
        self.run_dir = RunDirectory(str(folder), "exp")
        self.run_dir.start()
        self.run_dir.settings = SETTINGS
        self.trainer, self.history = Engine(lambda *_: None), History()
        cases = SimpleNamespace(columns=lambda: columns(predicted(self.trainer.state.epoch)))
        validator = Engine(lambda *_: None)
        share(self.trainer, self.run_dir, validator, metric="val_dice")
        stateful(self.trainer)["history"] = self.history
        self.handler = Hints(cases, channel_names=["organ", "lesion"])
        self.handler.gradients.attach = lambda engine: None

        @self.trainer.on(Events.EPOCH_COMPLETED)
        def write_down():
            epoch = self.trainer.state.epoch
            scores = record(epoch)
            if epoch % every:  # no validation
                del scores["val_dice"]
            else:
                validator.state.epoch, validator.state.metrics = epoch, {"val_dice": 0.1}
            times = {"epoch_seconds": 1.0, "samples_per_second": 1.0}
            self.history.epochs.append({"epoch": epoch, **scores, **times})

        self.handler.attach(self.trainer)
        for name, part in (state or {}).items():
            stateful(self.trainer)[name].load_state_dict(json.loads(json.dumps(part)))

    def run(self, until, after=0):
        self.trainer.state.epoch = after
        self.trainer.state.max_epochs = until
        self.trainer.state.epoch_length = 1
        for epoch in range(after + 1, until + 1):  # as Ignite does, without its end
            self.trainer.state.epoch = epoch
            self.trainer.fire_event(Events.EPOCH_COMPLETED)
        return self

    def state(self):
        return {name: part.state_dict() for name, part in stateful(self.trainer).items()}


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.WARNING, "medbundles")
    return lambda: [record.getMessage() for record in caplog.records]


def test_each_hint_is_given_once_with_what_to_try_and_stands_in_the_metrics(tmp_path, said):
    training = Training(tmp_path, swinging).run(30)
    training.trainer.fire_event(Events.COMPLETED)
    first, last = said()
    assert first.startswith("hint (epoch 10): it oscillates: from epoch 1 to 10 train_loss goes up and down by 0.4")
    assert "Try --lr 0.05, --grad_clip 1.0," in first
    assert last.startswith("hint (epoch 30): it underfits: in 30 epochs train_loss went from 0.3")
    assert "Try --epochs 60," in last
    hints = json.loads((training.run_dir.folder("metrics") / "metrics.json").read_text())["hints"]
    assert {name: hint["epoch"] for name, hint in hints.items()} == {"oscillates": 10, "underfits": 30}


def healthy(epoch):
    return {"train_loss": 1 / epoch, "train_dice": 1 - 1 / epoch, "val_dice": 1 - 1 / epoch}


@pytest.mark.parametrize(
    ("predicted", "line"),
    [
        ((0, 0), "nothing but background is predicted"),
        ((4, 0), "no pixel of 'lesion' is predicted"),
        ((4, 4), None),
    ],
)
def test_what_is_never_predicted_is_said_after_some_validations_in_a_row(tmp_path, said, predicted, line):
    Training(tmp_path, healthy, lambda epoch: predicted).run(NEVER - 1)
    assert said() == []
    Training(tmp_path / "more", healthy, lambda epoch: predicted).run(3 * NEVER)
    assert len(said()) == (line is not None)
    if line:
        assert f"hint (epoch {NEVER}): in {NEVER} validations in a row {line}. Try --sampling oversample," in said()[0]


def test_a_validation_with_it_starts_the_count_anew(tmp_path, said):
    Training(tmp_path, healthy, lambda epoch: (4, epoch % NEVER == 0)).run(6 * NEVER)
    assert said() == []


@pytest.mark.parametrize("stopped", [3, 5, 7, 12])
@pytest.mark.parametrize("every", [1, 3])
def test_a_resumed_run_gives_the_hints_that_one_without_interruption_gives(tmp_path, said, stopped, every):
    def predicted(epoch):
        return (4, 0)

    whole = Training(tmp_path / "whole", swinging, predicted, every=every).run(20)
    wanted = said()
    epochs = sorted((NEVER * every, 10))
    assert [line.partition(":")[0] for line in wanted] == [f"hint (epoch {epoch})" for epoch in epochs]
    before = Training(tmp_path / "before", swinging, predicted, every=every).run(stopped)
    after = Training(tmp_path / "after", swinging, predicted, before.state(), every).run(20, after=stopped)
    assert said() == wanted * 2
    assert after.state() == whole.state()


def test_a_run_that_is_not_finished_is_not_judged(tmp_path, said):
    training = Training(tmp_path, lambda epoch: healthy(epoch) | {"train_dice": 0.1}).run(20)
    training.trainer.state.max_epochs = 30  # a time limit ends it
    training.trainer.fire_event(Events.COMPLETED)
    assert said() == []
    training.trainer.state.max_epochs = 20
    training.trainer.fire_event(Events.COMPLETED)
    assert len(said()) == 1


def test_classes_that_no_image_is_taken_for_are_named():
    found = {"label": np.array([0, 1, 1, 2]), "predicted": np.array([1, 1, 1, 1])}
    assert never_predicted(found, {"class": ["LGG", "HGG"], "mask": []}) == [
        "no image is predicted as 'LGG'",
        "no image is predicted as class 2",
    ]
    one_mask = {"true_pixels": np.array([3, 0]), "predicted_pixels": np.array([0, 0])}
    assert never_predicted(one_mask, {"class": [], "mask": []}) == ["nothing but background is predicted"]
    empty = {"true_pixels": np.array([0, 0]), "predicted_pixels": np.array([0, 0])}
    assert never_predicted(empty, {"class": [], "mask": []}) == []


def test_in_a_training_layers_without_gradients_are_named_once(tiny_training, said):
    trainer = tiny_training(epochs=3, after_history=lambda *_: [Hints()])
    loss = trainer.loss_function.forward

    def without_cls(pred, target):
        return loss({**pred, "cls": pred["cls"].detach()}, target)

    trainer.loss_function.forward = without_cls
    trainer.run()
    [line] = said()
    assert line.startswith(
        "hint (epoch 1): 1 of 2 layers had no gradient in any step of an epoch, so they learn nothing: cls."
    )


@pytest.mark.parametrize("train", sorted(BUNDLES.glob("*/configs/train.json")), ids=lambda path: path.parents[1].name)
def test_every_bundle_has_it_before_what_may_end_the_run(train):
    handlers = json.loads(train.read_text())["train"]["handlers"]
    place = [handler["_target_"] for handler in handlers].index("medbundles.handlers.Hints")
    assert handlers[place + 1].get("handler") == "@early_stopping"
