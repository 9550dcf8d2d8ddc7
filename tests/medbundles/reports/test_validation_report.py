"""The best epoch's report of a network that only classifies, and pictures on the way."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events

from medbundles.handlers import History
from medbundles.handlers.stateful import stateful
from medbundles.metrics import Cases, Classes
from medbundles.reports import ValidationReport
from medbundles.runs import RunDirectory
from tests.medbundles.handlers.sharing import share

NAMES = ["LGG", "HGG"]
LABEL = [0, 0, 1, 1]
# probability of HGG and AUC in each epoch
EPOCHS = [
    ([0.6, 0.4, 0.5, 0.7], 0.75),
    ([0.1, 0.3, 0.4, 0.8], 1.0),
    ([0.9, 0.8, 0.4, 0.3], 0.0),
    ([0.5, 0.5, 0.5, 0.5], math.nan),
]


@pytest.fixture
def train(tmp_path):
    """train(epochs, state, done, validated, **options): trainer, metrics.json after each epoch, run directory."""
    run_dir = RunDirectory(str(tmp_path), "exp")
    run_dir.start()

    def run(epochs=EPOCHS, state=None, done=0, validated=(1, 2, 3, 4), **options):
        trainer = Engine(lambda *_: {"loss": torch.tensor(1.0), "image": torch.zeros(2, 1)})
        trainer.loss_function = None
        trainer.optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)

        def predict(engine, batch):
            prob = torch.tensor(epochs[trainer.state.epoch - 1][0])
            prob = torch.stack([1 - prob, prob], dim=1)
            return {"pred": {"prob": prob, "class": prob[:, 1].ge(0.5).long()}, "label": {"cls": torch.tensor(LABEL)}}

        validator = Engine(predict)

        @trainer.on(Events.EPOCH_COMPLETED)
        def validate():
            epoch = trainer.state.epoch
            if epoch in validated:
                names = [f"case {i}" for i in range(4)]
                validator.run([{"name": names, "patient": names, "source": ["volumes"] * 4}])
                validator.state.epoch, validator.state.metrics = epoch, {"val_auc": epochs[epoch - 1][1]}

        share(trainer, run_dir, validator, metric="val_auc")
        History().attach(trainer)
        handler = ValidationReport(Cases([Classes()]), NAMES, **options)
        handler.attach(trainer)
        contents = []

        @trainer.on(Events.EPOCH_COMPLETED)
        def note():
            contents.append(json.loads((run_dir.path / "metrics/metrics.json").read_text()))

        if state:
            for name, value in state.items():
                stateful(trainer)[name].load_state_dict(value)
        trainer.load_state_dict({"epoch": done, "max_epochs": len(epochs), "epoch_length": 1})
        trainer.run([0])
        return trainer, contents, run_dir.path

    return run


def test_the_best_epoch_is_reported_and_its_classes_stand_in_metrics_json(train):
    _, contents, path = train()
    assert [content["classes"]["epoch"] for content in contents] == [1, 2, 2, 2]
    assert contents[-1]["classes"]["confusion_matrix"] == [[2, 0], [1, 1]]
    assert contents[-1]["classes"]["per_class"]["HGG"] == pytest.approx(
        {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 2}
    )
    report = json.loads((path / "metrics/val_metrics.json").read_text())
    assert report["epoch"] == 2
    assert report["per_class"] == contents[-1]["classes"]["per_class"]
    assert report["errors"][0]["name"] == "case 2"
    assert np.load(path / "predictions/val_probs.npy")[:, 1] == pytest.approx(EPOCHS[1][0])
    assert {p.name for p in (path / "plots").iterdir()} == {"confusion_matrix.png", "roc_curve.png", "pr_curve.png"}


def test_pictures_on_the_way_are_those_of_the_validated_epochs(train):
    _, _, path = train(every=2, validated=(1, 2, 3), scores=["auc", "brier"])
    assert {p.name for p in (path / "plots").glob("*_epoch_*")} == {
        "confusion_matrix_epoch_2.png", "roc_curve_epoch_2.png", "pr_curve_epoch_2.png",
    }  # fmt: skip
    assert list(json.loads((path / "metrics/val_metrics.json").read_text())["metrics"]) == ["auc", "brier"]


def test_a_resumed_run_keeps_the_best_epoch(train):
    trainer, _, _ = train(epochs=EPOCHS[:2])
    state = {name: stateful(trainer)[name].state_dict() for name in ("history", "validation_report")}
    _, contents, path = train(state=state, done=2)  # epochs 3 and 4 are worse
    assert contents[-1]["classes"]["confusion_matrix"] == [[2, 0], [1, 1]]
    assert np.load(path / "predictions/val_probs.npy")[:, 1] == pytest.approx(EPOCHS[1][0])


def test_without_a_best_epoch_nothing_is_written(train):
    _, contents, path = train(epochs=EPOCHS[3:])
    assert "classes" not in contents[-1]
    assert not (path / "metrics/val_metrics.json").exists()
