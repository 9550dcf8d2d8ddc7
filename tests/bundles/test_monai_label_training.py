"""MONAI Label's own BundleTrainTask trains a bundle on what its datastore lists."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.bundles.brain_tumor_ladder import BRAIN
from tests.bundles.host_packages import host
from tests.bundles.ladder import Bundle, copied, newest
from tests.bundles.medical_ladder import MEDICAL, VOLUMES
from tests.bundles.test_given_lists import files

HEAVY = ("pydantic", "pydantic_settings")  # of the server's settings; the task takes none of them


@pytest.fixture
def label(monkeypatch) -> Any:
    """The module of the task; the root logger is as before after it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield host("monailabel.tasks.train.bundle", "monailabel", HEAVY, monkeypatch)
    root.handlers[:] = handlers
    root.setLevel(level)


def studio(bundle: Bundle, root: Path) -> Path:
    """A copy of the bundle as an application of MONAI Label has it, with settings that make it small."""
    folder = copied(bundle, root / "model")
    config = folder / "configs/train.json"
    content = json.loads(config.read_text())
    for name, value in (bundle.tiny | {"publish": True}).items():
        group, _, key = name.rpartition("#")
        (content[group] if group else content)[key] = value
    config.write_text(json.dumps(content))
    return folder


def train(label: Any, folder: Path, entries: list[dict[str, str]], share: float, **request: Any) -> None:
    task = label.BundleTrainTask(str(folder), {})
    assert task.is_valid()
    store = SimpleNamespace(datalist=lambda: [entry | {"tag": "final"} for entry in entries])
    task({"model": folder.name, "device": "cpu", "max_epochs": 2, "val_split": share, **request}, store)


@pytest.mark.parametrize("bundle", [BRAIN, MEDICAL, VOLUMES], ids=lambda bundle: bundle.name)
def test_trained_and_trained_on(bundle, label, tmp_path):
    some = files(bundle, tmp_path) + (files(bundle, tmp_path, "val") if bundle is BRAIN else [])
    train_only = 8 if bundle is BRAIN else 12
    folder = studio(bundle, tmp_path)
    data = bundle.data(tmp_path)
    if bundle is not BRAIN:  # nothing else than what is listed is read
        (data / "dataset.json").unlink(missing_ok=True)
    share = 1 - train_only / len(some)
    train(label, folder, some, share)
    split = json.loads(newest(folder, "split.json").read_text())["parts"]
    assert {row["image"] for row in split["train"]} == {entry["image"] for entry in some[:train_only]}
    assert {row["image"] for row in split["val"]} == {entry["image"] for entry in some[train_only:]}
    assert len(json.loads(newest(folder, "metrics.json").read_text())["epochs"]) == 2
    assert (folder / "models/model.pt").is_file()
    shutil.move(folder / "runs", folder / "first")
    train(label, folder, some, share)  # goes on from model.pt: the host puts a CheckpointLoader before our handlers
    assert f"{folder}/models/model.pt" in newest(folder / "runs", "train.log").read_text()
    assert json.loads(newest(folder / "runs", "config.json").read_text())["init_from"] == f"{folder}/models/model.pt"
