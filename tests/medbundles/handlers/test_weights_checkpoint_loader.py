from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine
from monai.inferers import SimpleInferer
from torch import nn

from medbundles.errors import CheckpointError, ConfigError
from medbundles.handlers import WeightsCheckpointLoader, weights_checkpoint_loader
from medbundles.handlers.weights_checkpoint_loader import trained_with
from medbundles.inferers import EnsembleInferer
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
    monkeypatch.setattr(weights_checkpoint_loader, "trained_with", lambda path: (said, "a run", []))
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


@pytest.mark.parametrize("untrained", [["cls"], []])
def test_what_the_run_has_not_trained_is_told_to_the_postprocessing(best, model, weights, untrained, caplog):
    parts = {"initial_weights": {"untrained": untrained}}
    content = {"run": "run_1", "epoch": 7, "trained": SETTINGS, "network": weights, "parts": parts}
    save_checkpoint(best, content)
    (model.parent / "model.json").write_text(json.dumps({"run": "run_1", "epoch": 7, "untrained": untrained}))
    for path in (best, model):
        postprocessing = SimpleNamespace(untrained=["seg"])
        caplog.clear()
        with caplog.at_level(logging.INFO, "medbundles"):
            start(path, postprocessing=postprocessing)
        assert postprocessing.untrained == untrained
        assert ("the network's classes are not trained" in caplog.text) == bool(untrained)


def ensemble(files, trained=SETTINGS, postprocessing=None):
    """The engine after its start with several files."""
    engine = Engine(lambda *_: None)
    engine.network, engine.inferer = nn.Linear(1, 1), SimpleInferer()
    predictions = postprocessing or SimpleNamespace(mask_rule="foreground")
    WeightsCheckpointLoader([str(file) for file in files], trained, predictions).attach(engine)
    engine.run([0])
    return engine


def two_files(tmp_path, weights, **other):
    for number, more in enumerate(({}, other)):
        changed = {name: value + number for name, value in weights.items()}
        content = {"run": f"run_{number}", "epoch": 7, "trained": {**SETTINGS, **more}, "network": changed}
        save_checkpoint(tmp_path / f"{number}.pt", content)
    return [tmp_path / "0.pt", tmp_path / "1.pt"]


def test_several_files_are_loaded_into_a_network_each(tmp_path, weights, caplog):
    files = two_files(tmp_path, weights, mask_threshold=0.6)
    predictions = SimpleNamespace(mask_rule="foreground", mask_threshold="auto")
    with caplog.at_level(logging.INFO, "medbundles"):
        engine = ensemble(files, {**SETTINGS, "mask_threshold": "auto"}, predictions)
    assert isinstance(engine.inferer, EnsembleInferer)
    assert [member.weight.item() for member in engine.inferer.members] == [5.0, 6.0]
    assert engine.inferer.members[0] is engine.network
    assert predictions.mask_threshold == 0.5
    assert f"weights: {files[1]}, from run run_1, epoch 7" in caplog.text
    first = engine.inferer.single
    engine.run([0], max_epochs=2)  # a host may start it again
    assert engine.inferer.single is first


def test_a_list_of_one_file_is_that_file(tmp_path, weights):
    files = two_files(tmp_path, weights)
    engine = ensemble(files[:1])
    assert isinstance(engine.inferer, SimpleInferer)
    assert engine.network.weight.item() == 5.0


def test_each_file_is_checked_as_a_single_one_is(tmp_path, weights):
    files = two_files(tmp_path, weights, image_size=16)
    with pytest.raises(CheckpointError, match=rf"no ensemble.*image_size is 8 in {files[0]}, 16 in {files[1]}"):
        ensemble(files)
    files = two_files(tmp_path, weights)
    with pytest.raises(CheckpointError, match=rf"{files[0]} and 1 more were trained with other settings: image_size"):
        ensemble(files, {**SETTINGS, "image_size": 16})
    with pytest.raises(ConfigError, match="no probabilities to average"):
        ensemble(files, postprocessing=SimpleNamespace())
    files[1].write_bytes(files[1].read_bytes()[:100])
    with pytest.raises(CheckpointError, match=rf"{files[1]}: is cut off or broken"):
        ensemble(files)
    files[1].unlink()
    with pytest.raises(CheckpointError, match=rf"{files[1]} does not exist"):
        ensemble(files)


def test_a_spacing_near_the_mean_of_all_may_be_given(tmp_path, weights, caplog):
    for number, spacing in enumerate(([1.0, 2.0], [1.02, 2.0])):
        content = {"run": "run_1", "epoch": 7, "trained": {"spacing": spacing}, "network": weights}
        save_checkpoint(tmp_path / f"{number}.pt", content)
    files = [tmp_path / "0.pt", tmp_path / "1.pt"]
    ensemble(files, {"spacing": [1.0, 2.0]})
    assert "spacing is [1.0, 2.0] here; the checkpoints together have [1.01, 2.0]" in caplog.text
    with pytest.raises(CheckpointError, match="spacing is"):
        ensemble(files, {"spacing": [1.2, 2.0]})


def test_outputs_that_only_one_has_trained_are_refused(tmp_path, weights, monkeypatch):
    files = two_files(tmp_path, weights)
    monkeypatch.setattr(
        weights_checkpoint_loader, "trained_with", lambda path: (SETTINGS, "a run", ["seg"] * (path == files[1]))
    )
    with pytest.raises(CheckpointError, match=rf"not trained are no outputs in {files[0]}, \['seg'\] in {files[1]}"):
        ensemble(files)
