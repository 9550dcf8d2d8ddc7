from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from medbundles.errors import CheckpointError
from medbundles.handlers import WeightsCheckpointLoader, weights_checkpoint_loader
from medbundles.handlers.weights_checkpoint_loader import trained_with
from medbundles.runs.checkpoints import save_checkpoint

SETTINGS = {"image_size": 8, "class_names": ["no", "yes"], "mask_threshold": 0.4, "class_threshold": "auto"}


@pytest.fixture
def weights():
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, 5.0)
    return layer.state_dict()


def start(checkpoint, trained=SETTINGS, postprocessing=None, **options):
    network = nn.Linear(1, 1)
    nn.init.constant_(network.weight, 0.0)
    engine = Engine(lambda *_: None)
    path = str(checkpoint) if checkpoint else None
    engine.network = network
    WeightsCheckpointLoader(path, trained, postprocessing, **options).attach(engine)
    engine.run([0])
    return network.weight.item()


@pytest.fixture
def best(tmp_path, weights):
    path = tmp_path / "best.pt"
    save_checkpoint(path, {"run": "run_1", "epoch": 7, "trained": SETTINGS, "network": weights})
    return path


@pytest.fixture
def model(tmp_path, weights):
    torch.save(weights, tmp_path / "model.pt")
    (tmp_path / "trained.json").write_text(json.dumps(SETTINGS))
    (tmp_path / "model.json").write_text(json.dumps({"run": "run_1", "epoch": 7}))
    return tmp_path / "model.pt"


@pytest.mark.parametrize("kind", ["best", "model"])
def test_weights_are_loaded_and_their_run_is_told(request, kind, caplog):
    path = request.getfixturevalue(kind)
    with caplog.at_level(logging.INFO, "medbundles"):
        assert start(path) == 5.0
    assert f"weights: {path}, from run run_1, epoch 7" in caplog.text


@pytest.mark.parametrize("name", ["trained.json", "model.json"])
@pytest.mark.parametrize(("text", "what"), [("{", "cannot be read as JSON"), ("[]", "lacks an object")])
def test_a_broken_file_beside_the_weights_is_named(tmp_path, name, text, what):
    (tmp_path / "model.pt").touch()
    for other in ("trained.json", "model.json"):
        (tmp_path / other).write_text(json.dumps({"run": "run_1", "epoch": 7}))
    (tmp_path / name).write_text(text)
    with pytest.raises(CheckpointError, match=rf"{name}: {what}.*checkpoints/best\.pt"):
        trained_with(tmp_path / "model.pt")


@pytest.mark.parametrize("missing", ["trained.json", "model.json"])
def test_weights_without_what_belongs_to_them_are_of_an_unknown_run(model, missing, caplog):
    (model.parent / missing).unlink()
    with caplog.at_level(logging.INFO, "medbundles"):
        assert start(model) == 5.0
    assert "an unknown run (only weights)" in caplog.text


@pytest.mark.parametrize("kind", ["best", "model"])
def test_weights_of_other_settings_are_refused_with_the_command_that_uses_theirs(request, kind):
    path = request.getfixturevalue(kind)
    with pytest.raises(CheckpointError) as caught:
        start(path, {**SETTINGS, "image_size": 16, "not_there": 1}, config="configs/inference.json")
    assert "image_size is 16 here, 8 there" in str(caught.value)
    assert "not_there" not in str(caught.value)
    assert f"--config_file \"['configs/inference.json','{path.parent}/trained.json']\"" in str(caught.value)


def test_thresholds_do_not_belong_to_the_weights_and_auto_gets_the_stored_ones(best):
    predictions = SimpleNamespace(mask_threshold=0.5, class_threshold=0.5)
    start(best, {**SETTINGS, "mask_threshold": "auto"}, predictions)
    assert predictions.mask_threshold == 0.4
    start(best, {**SETTINGS, "mask_threshold": 0.9}, predictions)  # a setting of the user wins
    assert predictions.mask_threshold == 0.4


@pytest.mark.parametrize(
    ("mine", "theirs", "fits"), [(2, "auto", True), (2, 2, True), ("auto", 2, False), (1, 2, False)]
)
def test_what_the_weights_do_not_say_may_be_given_and_what_they_say_must_be(best, monkeypatch, mine, theirs, fits):
    said = {**SETTINGS, "colour_channel": theirs, "training_images": [["size", 1.0, 2.0]]}
    monkeypatch.setattr(weights_checkpoint_loader, "trained_with", lambda path: (said, "a run"))
    here = {**SETTINGS, "colour_channel": mine, "training_images": "auto"}
    if fits:
        assert start(best, here) == 5.0
    else:
        with pytest.raises(CheckpointError, match=f"colour_channel is {mine!r} here, 2 there"):
            start(best, here)


def test_tuples_and_lists_are_the_same(best):
    assert start(best, {**SETTINGS, "class_names": ("no", "yes")}) == 5.0


def test_no_weights_yet_names_what_makes_them(tmp_path):
    with pytest.raises(CheckpointError, match=r"model\.pt does not exist: there are no weights yet\. Train first\."):
        start(tmp_path / "model.pt", made_by="Train first.")


def test_nothing_is_loaded_without_a_file_to_load():
    assert start(None) == 0.0


def test_a_single_missing_tensor_is_refused(tmp_path):
    """Of a large network one is less than a hundredth; its output layer would then stay random."""
    network = nn.Sequential(*[nn.Linear(1, 1) for _ in range(100)])
    weights = network.state_dict()
    del weights["99.weight"]
    torch.save(weights, tmp_path / "weights.pt")
    engine = Engine(lambda *_: None)
    engine.network = network
    WeightsCheckpointLoader(str(tmp_path / "weights.pt"), {}).attach(engine)
    with pytest.raises(CheckpointError, match=r"199 of 200 tensors .* 100% must. Not matching: 99.weight \(missing\)"):
        engine.run([0])


def test_a_damaged_file_is_refused(best):
    best.write_bytes(best.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="broken"):
        start(best)


def test_a_federated_client_finds_it_by_its_name():
    assert "CheckpointLoader" in WeightsCheckpointLoader.__name__
