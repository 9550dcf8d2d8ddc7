"""The command lines that tools start a bundle with."""

from __future__ import annotations

import json
from typing import Any

from tools.runs import OVERLAY, with_weights


def given(*of: Any) -> set[str]:
    return {word.removeprefix("--").partition("=")[0] for word in with_weights(*of) if word.startswith("--")}


def test_what_was_auto_is_what_the_training_of_the_weights_measured(tmp_path):
    settings = {"regions": "auto", "network_def#name": "auto", "amp": "auto", "lr": 1e-3}
    assert given(["train"], settings, tmp_path) == {*settings, "config_file", "checkpoint"}
    (tmp_path / OVERLAY).parent.mkdir()
    (tmp_path / OVERLAY).write_text(json.dumps({"regions": [[1]], "network_def": {"name": "unet"}, "lr": 1}))
    assert given(["train"], settings, tmp_path) == {"amp", "lr", "config_file", "checkpoint"}
