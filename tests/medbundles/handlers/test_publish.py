from __future__ import annotations

import json
import logging

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from medbundles.atomic_files import write_json_atomic
from medbundles.data.reading.files import content_id
from medbundles.errors import CheckpointError
from medbundles.handlers import Publish, publish
from medbundles.handlers.weights_checkpoint_loader import trained_with
from medbundles.runs import RunDirectory
from medbundles.runs.checkpoints import load_checkpoint, save_checkpoint
from tests.medbundles.handlers.sharing import share


@pytest.fixture
def run_dir(tmp_path):
    directory = RunDirectory(str(tmp_path / "runs"), "exp")
    directory.start()
    layer = nn.Linear(1, 1)
    content = {
        "run": directory.path.name,
        "epoch": 4,
        "metrics": {"val_dice": 0.5, "val_auc": float("nan")},
        "settings": {"train_dir": "/d/train", "kaggle_train_dir": False, "lr": 0.1},
        "data": {"training": "abc"},
        "trained": {"image_size": 8, "mask_threshold": 0.4},
        "network": layer.state_dict(),
        "optimizer": {},
    }
    save_checkpoint(directory.folder("checkpoints") / "best.pt", content)
    directory.weights = layer.state_dict()
    return directory


def end(run_dir, folder, **options):
    engine = Engine(lambda *_: None)
    share(engine, run_dir)
    Publish(str(folder), **options).attach(engine)
    engine.run([0])


def test_the_best_weights_their_origin_and_their_settings_are_published(run_dir, tmp_path):
    end(run_dir, tmp_path / "models", data_license="research only")
    published = torch.load(tmp_path / "models/model.pt", weights_only=True)
    assert published.keys() == run_dir.weights.keys()  # a plain state dict
    assert all(torch.equal(published[k], v) for k, v in run_dir.weights.items())
    assert json.loads((tmp_path / "models/trained.json").read_text()) == {"image_size": 8, "mask_threshold": 0.4}
    about = json.loads((tmp_path / "models/model.json").read_text())
    assert about == {
        "run": run_dir.path.name,
        "run_directory": str(run_dir.path),
        "epoch": 4,
        "metrics": {"val_dice": 0.5, "val_auc": None},
        "data": {"train_dir": "/d/train", "kaggle_train_dir": False},
        "data_fingerprint": {"training": "abc"},
        "data_license": "research only",
        "untrained": [],
        "model_id": content_id(tmp_path / "models/model.pt"),
    }
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == ["model.json", "model.pt", "trained.json"]


def test_the_licence_may_be_a_file_or_a_long_text(run_dir, tmp_path):
    (tmp_path / "licence.txt").write_text("no commerce")
    for given, wanted in [(str(tmp_path / "licence.txt"), "no commerce"), ("long " * 200, "long " * 200)]:
        end(run_dir, tmp_path / "models", data_license=given)
        assert json.loads((tmp_path / "models/model.json").read_text())["data_license"] == wanted


def test_models_and_licence_are_in_the_bundles_folder_unless_named(run_dir, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/data_license.txt").write_text("no commerce")
    end(run_dir, "", bundle_root=str(tmp_path))
    assert json.loads((tmp_path / "models/model.json").read_text())["data_license"] == "no commerce"
    end(run_dir, tmp_path / "elsewhere", bundle_root=str(tmp_path / "docs"))
    assert json.loads((tmp_path / "elsewhere/model.json").read_text())["data_license"] == ""


def test_nothing_is_published_when_switched_off_by_other_ranks_or_without_a_best_epoch(
    run_dir, tmp_path, monkeypatch, caplog
):
    end(run_dir, tmp_path / "models", enabled=False)
    with monkeypatch.context() as other:
        other.setattr(publish, "is_rank_0", lambda: False)
        end(run_dir, tmp_path / "models")
    (run_dir.folder("checkpoints") / "best.pt").unlink()
    with caplog.at_level(logging.WARNING, "medbundles"):
        end(run_dir, tmp_path / "models")
    assert "nothing is published: the run has no best.pt" in caplog.text
    assert not (tmp_path / "models").exists()


def test_a_run_that_a_time_limit_ended_publishes_nothing(run_dir, tmp_path, caplog):
    engine = Engine(lambda engine, _: engine.terminate())
    share(engine, run_dir)
    Publish(str(tmp_path / "models")).attach(engine)
    with caplog.at_level(logging.INFO, "medbundles"):
        engine.run([0], max_epochs=3)
        assert "the run is not finished" in caplog.text
    assert not (tmp_path / "models").exists()


def another_run(tmp_path, run_dir, epoch):
    """A run of a later epoch, with other weights."""
    directory = RunDirectory(str(tmp_path / "runs"), f"exp_{epoch}")
    directory.start()
    content = load_checkpoint(run_dir.folder("checkpoints") / "best.pt") | {"run": f"run_{epoch}", "epoch": epoch}
    content["network"] = {name: value + epoch for name, value in run_dir.weights.items()}
    save_checkpoint(directory.folder("checkpoints") / "best.pt", content)
    return directory


def test_what_was_published_before_is_kept_and_can_be_used(run_dir, tmp_path, caplog):
    end(run_dir, tmp_path / "models")
    end(run_dir, tmp_path / "models")  # the same again: nothing to keep
    assert not (tmp_path / "models/earlier").exists()
    before = (tmp_path / "models/model.pt").read_bytes()
    with caplog.at_level(logging.INFO, "medbundles"):
        for epoch in (7, 8):
            end(another_run(tmp_path, run_dir, epoch), tmp_path / "models")
    kept = tmp_path / "models/earlier" / f"{run_dir.path.name}_epoch_4"
    assert f"what was there is kept in {kept}" in caplog.text
    assert (kept / "model.pt").read_bytes() == before
    assert trained_with(kept / "model.pt") == (
        {"image_size": 8, "mask_threshold": 0.4}, f"run {run_dir.path.name}, epoch 4", []
    )  # fmt: skip
    assert trained_with(tmp_path / "models/model.pt")[1] == "run run_8, epoch 8"
    assert len(list((tmp_path / "models/earlier").iterdir())) == 2


def test_weights_without_a_description_are_kept_too(run_dir, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models/model.pt").write_bytes(b"somebody's")
    end(run_dir, tmp_path / "models")
    [kept] = (tmp_path / "models/earlier").glob("sha256_*/*")
    assert kept.read_bytes() == b"somebody's"


@pytest.mark.parametrize("written", [1, 2])
def test_a_publishing_that_was_killed_is_noticed(run_dir, tmp_path, monkeypatch, written):
    end(run_dir, tmp_path / "models")
    done = []

    def killed(*args):
        if len(done) == written - 1:
            raise KeyboardInterrupt
        done.append(write_json_atomic(*args))

    monkeypatch.setattr(publish, "write_json_atomic", killed)
    with pytest.raises(KeyboardInterrupt):
        end(another_run(tmp_path, run_dir, 7), tmp_path / "models")
    with pytest.raises(
        CheckpointError, match=r"is not the file that .*model.json describes: publishing was broken off"
    ):
        trained_with(tmp_path / "models/model.pt")


@pytest.mark.parametrize("enabled", [True, False])
def test_a_run_of_other_settings_than_the_bundles_own_says_what_loads_its_model(run_dir, tmp_path, caplog, enabled):
    """After a quick_test monai.bundle.load would give a network of the default size, almost random, without a word."""
    bundle = tmp_path / "bundle"
    trained = {"image_size": 8, "group#depth": 3, "channels": 2, "mask_threshold": 0.4}
    write_json_atomic(run_dir.folder("checkpoints") / "trained.json", trained)
    own = {"image_size": 64, "group": {"depth": 3}, "channels": "@group#depth", "mask_threshold": "auto"}
    write_json_atomic(bundle / "configs/train.json", own)
    with caplog.at_level(logging.INFO, "medbundles"):
        end(run_dir, bundle / "models", bundle_root=str(bundle), enabled=enabled)
        assert "otherwise: image_size 64, here 8)" in caplog.text
        assert f"\n    python -m tools export bundle --run {run_dir.path}" in caplog.text
        weights = run_dir.path.resolve() / "checkpoints/best.pt"
        test = f"'{weights.with_name('trained.json')}']\" --checkpoint {weights} --experiment#name "
        assert (test in caplog.text) == weights.is_file()
        caplog.clear()
        write_json_atomic(bundle / "configs/train.json", own | {"image_size": 8})
        end(run_dir, bundle / "models", bundle_root=str(bundle), enabled=enabled)
    assert "monai.bundle.load" not in caplog.text
