"""A small bundle that every check accepts, to break one thing of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from medbundles.data.reading.files import content_id
from tools.verify import CHECKS
from tools.verify.opened import opened
from tools.verify.outcome import Outcome, outcome

TOY = Path(__file__).parents[2] / "bundles/toy"


class Bundle:
    """The toy bundle with a tiny network, in a folder of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        shutil.copytree(TOY, folder, ignore=shutil.ignore_patterns("runs", "data", "models"))
        for name in ("train", "inference"):
            self.change(name, image_size=32, features=[4] * 6)
        for part, tensor in (("inputs", "image"), ("outputs", "pred")):
            self.tensor(part, tensor, spatial_shape=[32, 32])

    def read(self, name: str) -> dict[str, Any]:
        return json.loads((self.folder / f"configs/{name}.json").read_text())

    def write(self, name: str, content: Any) -> None:
        (self.folder / f"configs/{name}.json").write_text(json.dumps(content))

    def change(self, name: str, **values: Any) -> None:
        """Top-level keys of a config."""
        self.write(name, {**self.read(name), **values})

    def edit(self, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
        content = self.read(name)
        change(content)
        self.write(name, content)

    def tensor(self, part: str, name: str, **values: Any) -> None:
        """Keys of a tensor in metadata.json."""
        self.edit("metadata", lambda m: m["network_data_format"][part].setdefault(name, {}).update(values))

    def network(self) -> torch.nn.Module:
        with opened(str(self.folder), False) as it:
            return it.network

    def publish(self, described: bool = True) -> Path:
        """models/ as a training leaves it."""
        file = self.folder / "models/model.pt"
        file.parent.mkdir(exist_ok=True)
        torch.save(self.network().state_dict(), file)
        file.with_name("trained.json").write_text(json.dumps({"image_size": 32, "features": [4] * 6}))
        if described:
            about = {"run": "runs/toy/run_1", "epoch": 3, "model_id": content_id(file)}
            file.with_name("model.json").write_text(json.dumps(about))
        return file

    def said(self, check: str, trust: bool = False) -> Outcome:
        """What one check says of it."""
        with opened(str(self.folder), trust) as it:
            return outcome(check, partial(CHECKS[check], it))


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setattr("sys.argv", ["test"])  # the preflight looks at it
    return Bundle(tmp_path / "toy")
