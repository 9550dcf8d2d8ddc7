from __future__ import annotations

import logging
import os

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from medbundles.errors import CheckpointError
from medbundles.handlers import InitialWeights
from medbundles.losses import MultitaskLoss
from medbundles.networks import SegmentationNetwork
from medbundles.runs.trained import untrained_of
from medbundles.transforms import Predictions


def start(path, tmp_path, epoch=0, network=None, loss=None, **options):
    """The weight that the network starts with; 0 is its own."""
    network = network or nn.Linear(1, 1)
    nn.init.constant_(network.weight, 0.0)
    engine = Engine(lambda *_: None)
    engine.on(Events.STARTED)(lambda: setattr(engine.state, "epoch", epoch))
    engine.network, engine.loss_function = network, loss
    InitialWeights(path, **options).attach(engine)
    engine.run([0], max_epochs=epoch + 1)
    return network.weight.item()


def save(path, value, age=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, value)
    torch.save({"format": 1, "network": layer.state_dict()}, path)
    os.utime(path, (1000 - age, 1000 - age))
    return str(path)


def test_a_file_is_loaded_and_told(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "medbundles"):
        assert start(save(tmp_path / "a.pt", 5.0), tmp_path) == 5.0
    assert "a.pt: loaded 2 of 2 tensors" in caplog.text


def test_of_a_folder_of_runs_the_newest_best_is_taken(tmp_path):
    save(tmp_path / "stage1/run_20260101_000001/checkpoints/best.pt", 1.0, age=5)
    save(tmp_path / "stage1/run_20260101_000000/checkpoints/best.pt", 2.0)
    save(tmp_path / "stage1/run_20260101_000002/checkpoints/last.pt", 3.0)
    assert start(str(tmp_path / "stage1"), tmp_path) == 2.0


@pytest.mark.parametrize("path", [None, False])
def test_without_a_path_the_weights_stay(tmp_path, path):
    assert start(path, tmp_path) == 0.0


def test_a_run_that_goes_on_keeps_its_own(tmp_path):
    assert start(save(tmp_path / "a.pt", 5.0), tmp_path, epoch=2) == 0.0  # resumed, or run again by a host


def test_a_stage_that_is_missing_names_the_command_that_trains_it(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "stage1.json").write_text("{}")
    (tmp_path / "runs" / "stage1").mkdir(parents=True)
    for path in ("runs/stage1", "runs/stage1/run_20260101_000000/checkpoints/best.pt"):
        with pytest.raises(CheckpointError, match=r"init_from: .*best\.pt does not exist\. Train that stage") as caught:
            start(str(tmp_path / path), tmp_path, bundle_root=str(tmp_path))
        command = f"--config_file \"['{tmp_path}/configs/train.json','{tmp_path}/configs/stage1.json']\""
        assert command in str(caught.value)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"init_from: .*none\.pt does not exist\. Name the best\.pt of a run"):
        start(str(tmp_path / "none.pt"), tmp_path)


def test_weights_of_another_network_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="does not fit: 1 of 2 tensors of the network"):
        start(save(tmp_path / "a.pt", 5.0), tmp_path, network=nn.Linear(3, 1))


@pytest.mark.parametrize(
    ("parts", "untrained"),
    [(None, ["cls"]), ({"initial_weights": {"untrained": ["cls"]}}, ["cls"]),
     ({"initial_weights": {"untrained": []}}, []), ({}, [])],
    ids=["random weights", "untrained before", "trained before", "a run of 0.1.0"],
)  # fmt: skip
def test_an_output_without_weight_is_untrained_unless_it_was_trained_before(tmp_path, caplog, parts, untrained):
    path = None
    if parts is not None:
        path = save(tmp_path / "a.pt", 5.0)
        torch.save({**torch.load(path), "parts": parts}, path)
    predictions, loss = Predictions(), MultitaskLoss(nn.Identity(), nn.Identity(), lambda_cls=0)
    with caplog.at_level(logging.INFO, "medbundles"):
        start(path, tmp_path, loss=loss, postprocessing=predictions)
    assert predictions.untrained == untrained
    assert ("the network's classes are not trained" in caplog.text) == bool(untrained)


def test_what_is_untrained_is_part_of_the_checkpoints():
    predictions, resumed = Predictions(), Predictions()
    first, second = (InitialWeights(None, postprocessing=p) for p in (predictions, resumed))
    first.untrained = ["cls"]
    second.load_state_dict(first.state_dict())
    engine = Engine(lambda *_: None)
    engine.on(Events.STARTED)(lambda: setattr(engine.state, "epoch", 2))
    second.attach(engine)
    engine.run([0], max_epochs=3)
    assert resumed.untrained == ["cls"]
    assert untrained_of({"parts": {"initial_weights": second.state_dict()}}) == ["cls"]


def test_weights_of_another_number_of_classes_start_a_run_and_what_is_fresh_is_named(tmp_path, caplog):
    torch.manual_seed(0)
    network, of_run = (SegmentationNetwork(base_channels=8, depth=2, out_channels=classes) for classes in (2, 3))
    torch.save({"network": of_run.state_dict()}, tmp_path / "best.pt")
    engine = Engine(lambda *_: None)
    engine.network = network
    InitialWeights(str(tmp_path / "best.pt")).attach(engine)
    engine.run([0], max_epochs=1)
    assert torch.equal(network.body.bottleneck.conv1.conv.weight, of_run.body.bottleneck.conv1.conv.weight)
    assert "start fresh: body.output_block.conv.conv.weight (shape (3, 8, 1, 1)" in caplog.text
