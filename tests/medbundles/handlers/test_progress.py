from __future__ import annotations

import logging
import math
import sys

import pytest
from ignite.engine import Engine, Events

from medbundles.handlers import Progress, progress
from medbundles.handlers.history import History
from medbundles.handlers.progress import in_words
from medbundles.handlers.stateful import stateful

RECORD = {"epoch": 2, "train_loss": 0.45214, "train_seg_loss": math.nan, "val_dice": 0.5, "lr": 1e-3,
          "epoch_seconds": 1.25, "samples_per_second": 40.4}  # fmt: skip


def train(handler, record=RECORD, running=None, every=4):
    engine = Engine(lambda *_: None)
    known = History()
    known.running = lambda: running or {}
    stateful(engine)["history"] = known
    engine.on(Events.EPOCH_COMPLETED)(lambda: setattr(engine.state, "epoch_record", record))
    handler.attach(engine)
    engine.run([0] * every, max_epochs=1)


def test_words():
    assert in_words(RECORD, "train_") == "Loss: 0.4521, Seg loss: undefined"
    assert in_words(RECORD, "val_") == "Dice: 0.5000"
    assert in_words(RECORD, "train_", loss_decimals=6) == "Loss: 0.452140, Seg loss: undefined"
    assert in_words(RECORD, "val_", loss_decimals=6) == "Dice: 0.5000"


def test_without_a_terminal_there_are_only_lines(caplog, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    with caplog.at_level(logging.INFO, "medbundles"):
        train(Progress())
    assert [r.getMessage() for r in caplog.records if r.name == "medbundles"] == [
        "Epoch 1/1  1.2 s, 40 samples/s, lr 1.00e-03",
        "Train - Loss: 0.4521, Seg loss: undefined",
        "Val   - Dice: 0.5000",
    ]
    assert capsys.readouterr().err == ""


def test_an_epoch_without_validation_has_no_line_for_it(caplog):
    with caplog.at_level(logging.INFO, "medbundles"):
        train(Progress(), record={k: v for k, v in RECORD.items() if k != "val_dice"})
    assert "Val" not in caplog.text


def test_on_a_terminal_there_is_a_bar_with_the_running_losses(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    handler = Progress(every=2)
    train(handler, running={"loss": 0.5, "seg_loss": 0.25})
    text = capsys.readouterr().err
    assert "Epoch 1/1" in text
    assert "loss=0.5000, seg=0.2500" in text
    assert handler.bar is None  # closed
    train(Progress(bar=False))
    assert capsys.readouterr().err == ""


def test_only_rank_0_shows(monkeypatch, caplog):
    monkeypatch.setattr(progress, "is_rank_0", lambda: False)
    with caplog.at_level(logging.INFO, "medbundles"):
        train(Progress())
    assert not [r for r in caplog.records if r.name == "medbundles"]


@pytest.mark.parametrize("every", [1, 3])
def test_a_bar_closes_whatever_the_number_of_iterations(monkeypatch, every):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    handler = Progress()
    train(handler, every=every)
    assert handler.bar is None


def test_lines_fit_100_columns_a_name_stays_beside_its_value_and_the_time_left_is_told(caplog):
    scores = {f"val_score_of_{name}": 0.5 for name in "abcdefgh"}
    engine = Engine(lambda *_: None)
    known = History()
    known.epochs = [{"epoch_seconds": 50.0}, {"epoch_seconds": 70.0}]
    stateful(engine)["history"] = known
    Progress().attach(engine)
    engine.add_event_handler(
        Events.STARTED, lambda: setattr(engine.state, "epoch_record", RECORD | scores | {"epoch_seconds": 60.0})
    )
    with caplog.at_level(logging.INFO, "medbundles"):
        engine.run([0], max_epochs=3)
    lines = [r.getMessage() for r in caplog.records if r.name == "medbundles"]
    assert max(map(len, lines)) <= 100
    assert lines[0] == "Epoch 1/3  60.0 s, 40 samples/s, lr 1.00e-03, up to 2 min left"
    assert all(
        part.count(":") == 1 for line in lines[2:4] for part in line.removeprefix("Val   - ").strip(", ").split(",")
    )
