from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from medbundles.handlers import History, Monitor, Run, history
from medbundles.handlers.history import spread
from medbundles.handlers.stateful import stateful
from medbundles.runs import RunDirectory
from tests.medbundles.handlers.sharing import share

# three batches: loss, segmentation loss, how many have a mask, classification loss, size; the last one is uneven and
# the second has no masks (its segmentation loss is 0/0)
BATCHES = [(1.0, 0.5, 3, 2.0, 4), (2.0, math.nan, 0, 3.0, 4), (5.0, 1.5, 1, 7.0, 2)]


@pytest.fixture
def train(tmp_path):
    run_dir = RunDirectory(str(tmp_path), "exp")
    run_dir.start()

    def run(validation, batches=BATCHES, norms=(), mode="max", groups=1, interval=1, state=None):
        loss = SimpleNamespace(parts={}, counts={})

        def step(engine, batch):
            total, seg, masks, cls, size = batch
            loss.parts = {"seg": torch.tensor(seg), "cls": torch.tensor(cls)}
            loss.counts = {"seg": torch.tensor(masks), "cls": torch.tensor(size)}
            if norms:
                engine.state.grad_norm = norms[(engine.state.iteration - 1) % len(batches)]
            return {"loss": torch.tensor(total), "image": torch.zeros(size, 1)}

        trainer, validator = Engine(step), Engine(lambda *_: None)
        trainer.loss_function = loss
        layers = [
            {"params": [nn.Parameter(torch.zeros(1))], "lr": 0.1 * (i + 1), "name": f"part{i}"} for i in range(groups)
        ]
        trainer.optimizer = torch.optim.SGD(layers)

        @trainer.on(Events.EPOCH_COMPLETED(every=interval))
        def validate():
            trainer.state.metrics = {"train_dice": 0.25}
            validator.state.epoch = trainer.state.epoch
            validator.state.metrics = validation[trainer.state.epoch - 1]

        share(trainer, run_dir, validator, mode=mode)
        handler = History()
        handler.attach(trainer)

        @trainer.on(Events.EPOCH_COMPLETED)
        def schedule():
            trainer.optimizer.param_groups[0]["lr"] /= 10

        if state:
            handler.load_state_dict(state)
        trainer.run(batches, max_epochs=len(validation))
        return handler, trainer, (run_dir.path / "metrics" / "metrics.json").read_text()

    return run


def test_losses_are_means_over_samples_and_over_those_with_a_mask(train):
    handler, trainer, _ = train([{"val": 0.5}])
    (record,) = handler.epochs
    assert record["train_loss"] == pytest.approx((4 * 1 + 4 * 2 + 2 * 5) / 10)
    assert record["train_seg_loss"] == pytest.approx((3 * 0.5 + 1 * 1.5) / 4)
    assert record["train_cls_loss"] == pytest.approx((4 * 2 + 4 * 3 + 2 * 7) / 10)
    assert trainer.state.epoch_record is record
    assert (record["train_dice"], record["val"]) == (0.25, 0.5)


def test_an_epoch_without_any_mask_has_no_segmentation_loss(train):
    handler, _, _ = train([{"val": 0.5}], batches=[BATCHES[1]])
    assert "train_seg_loss" not in handler.epochs[0]
    assert handler.epochs[0]["train_cls_loss"] == 3.0


def test_an_epoch_starts_counting_anew(train):
    handler, _, _ = train([{"val": 0.5}, {"val": 0.6}])
    assert handler.epochs[0]["train_loss"] == handler.epochs[1]["train_loss"] == pytest.approx(2.2)
    assert [e["epoch"] for e in handler.epochs] == [1, 2]


def test_learning_rates_are_those_that_the_epoch_was_trained_with(train):
    handler, _, _ = train([{"val": 0.5}, {"val": 0.6}])
    assert [e["lr"] for e in handler.epochs] == pytest.approx([0.1, 0.01])
    handler, _, _ = train([{"val": 0.5}], groups=2)
    assert {k: v for k, v in handler.epochs[0].items() if k.startswith("lr")} == pytest.approx(
        {"lr_part0": 0.1, "lr_part1": 0.2}
    )


def test_gradient_norms_count_only_where_they_were_measured(train):
    norms = [torch.tensor(2.0), None, torch.tensor(4.0)]  # None: accumulated, the optimizer did not step
    record = train([{"val": 0.5}], norms=norms)[0].epochs[0]
    assert (record["grad_norm_mean"], record["grad_norm_max"]) == (3.0, 4.0)
    assert "grad_norm_mean" not in train([{"val": 0.5}])[0].epochs[0]


def test_the_best_epoch_is_the_first_of_the_best_and_never_nan(train):
    validation = [{"val": v} for v in (math.nan, 0.5, 0.7, 0.7, math.nan)]
    assert train(validation)[0].best(Monitor("val"))["epoch"] == 3
    assert train(validation, mode="min")[0].best(Monitor("val", "min"))["epoch"] == 2
    assert train([{"val": math.nan}])[0].best(Monitor("val")) is None


def test_epochs_that_are_not_validated_have_no_validation_metrics(train):
    handler, _, _ = train([{"val": 0.9}, {"val": 0.5}, {"val": 0.9}], interval=2)
    assert ["val" in e for e in handler.epochs] == [False, True, False]
    assert handler.best(Monitor("val"))["epoch"] == 2


def test_metrics_json_is_strict_json_with_null_for_nan(train):
    def no_constants(name):
        raise AssertionError(name)

    _, _, text = train([{"val": 0.4, "auc": math.nan}, {"val": math.nan, "auc": math.inf}])
    content = json.loads(text, parse_constant=no_constants)
    assert content["epochs"][0]["auc"] is None
    assert content["epochs"][1]["val"] is None
    assert content["best"]["epoch"] == content["summary"]["best_epoch"] == 1
    assert content["summary"]["best_value"] == 0.4
    assert content["summary"]["epochs"] == 2
    assert content["summary"]["last"]["epoch"] == 2
    assert content["summary"]["seconds"] == pytest.approx(sum(e["epoch_seconds"] for e in content["epochs"]))
    assert content["epochs"][0]["samples_per_second"] > 0


def test_after_a_restart_the_records_go_on(train):
    _, trainer, _ = train([{"val": 0.5}])
    state = stateful(trainer)["history"].state_dict()
    _, _, text = train([{"val": 0.6}], state=state)
    assert [e["val"] for e in json.loads(text)["epochs"]] == [0.5, 0.6]


def test_running_means_are_known_within_an_epoch():
    handler = History()
    assert handler.running() == {}
    handler._add("loss", torch.tensor(1.0), torch.tensor(4))
    handler._add("loss", torch.tensor(4.0), torch.tensor(2))
    handler._add("seg_loss", torch.tensor(math.nan), torch.tensor(0))
    assert handler.running() == {"loss": 2.0}


def test_only_rank_0_writes(train, monkeypatch, tmp_path):
    monkeypatch.setattr(history, "is_rank_0", lambda: False)
    with pytest.raises(FileNotFoundError):
        train([{"val": 0.5}])


def test_spread_is_that_of_a_sample():
    assert spread([1.0, 2.0, 6.0]) == pytest.approx({"min": 1.0, "max": 6.0, "mean": 3.0, "std": math.sqrt(14 / 2)})
    assert spread([2.0])["std"] == 0.0


def test_equal_values_are_decided_by_the_second_metric():
    def best(tie_break):
        history = History()
        history.epochs = [
            {"epoch": 1, "auc": 0.9, "f1": math.nan}, {"epoch": 2, "auc": 0.9, "f1": 0.4},
            {"epoch": 3, "auc": 0.9, "f1": 0.6}, {"epoch": 4, "auc": 0.8, "f1": 0.9}, {"epoch": 5, "auc": math.nan},
        ]  # fmt: skip
        return history.best(Monitor("auc", tie_break=tie_break))["epoch"]

    assert best("f1") == 3
    assert best(None) == 1


def test_further_sections_and_the_spread_of_both_losses_are_written(tmp_path):
    run_dir = RunDirectory(str(tmp_path), "exp")
    run_dir.start()
    history = History()
    history.epochs = [
        {"epoch": 1, "train_loss": 1.0, "val_loss": 4.0, "epoch_seconds": 1.0},
        {"epoch": 2, "train_loss": 3.0, "epoch_seconds": 1.0},  # not validated
        {"epoch": 3, "train_loss": 2.0, "val_loss": 5.0, "epoch_seconds": 1.0},
    ]
    history.sections["classes"] = {"LGG": {"support": 3}}
    history.write(Run(run_dir, monitor=Monitor("auc")))
    written = json.loads((run_dir.folder("metrics") / "metrics.json").read_text())
    assert written["summary"]["train_loss"] == pytest.approx({"min": 1, "max": 3, "mean": 2, "std": 1})
    assert written["summary"]["val_loss"] == pytest.approx({"min": 4, "max": 5, "mean": 4.5, "std": 0.5**0.5})
    assert written["classes"] == {"LGG": {"support": 3}}
    other = History()
    other.load_state_dict(history.state_dict())
    assert other.sections == history.sections


def test_a_weighted_loss_is_a_mean_over_weights(train, tmp_path):
    """Batches of two and four samples whose weights add up to 6 and 2."""
    run_dir = RunDirectory(str(tmp_path), "weighted")
    run_dir.start()
    loss = SimpleNamespace(total_weight=None)
    weights = {1.0: 6.0, 5.0: 2.0}

    def step(engine, value):
        loss.total_weight = torch.tensor(weights[value])
        return {"loss": torch.tensor(value), "image": torch.zeros(3, 1)}

    trainer, validator = Engine(step), Engine(lambda *_: None)
    trainer.loss_function = loss
    trainer.optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    share(trainer, run_dir, validator)
    records = History()
    records.attach(trainer)
    trainer.run([1.0, 5.0], max_epochs=1)
    assert records.epochs[0]["train_loss"] == pytest.approx((6 * 1 + 2 * 5) / 8)


def test_the_loss_of_an_untrained_output_is_left_out():
    handler, engine = History(), Engine(lambda *_: None)
    engine.loss_function = SimpleNamespace(
        parts={"seg": torch.tensor(1.0), "cls": torch.tensor(2.0)},
        counts=dict.fromkeys(("seg", "cls"), torch.tensor(2)),
    )
    engine.state.output = {"image": torch.zeros(2, 1), "loss": torch.tensor(1.0), "untrained": ["cls"]}
    handler.add(engine)
    assert set(handler.running()) == {"loss", "seg_loss"}
