"""What a user gave is told from what a config has anyway."""

from __future__ import annotations

import json

from medbundles.preflight.given import given_ids, on_the_line, set_beforehand, typed_ids


def test_names_and_values_of_a_command_line_and_its_file_of_arguments(tmp_path):
    file = tmp_path / "args.json"
    file.write_text(json.dumps({"loss::alpha": 0.5, "lr": None}))
    line = ["-m", "--amp", "--loss#name=dice", "--batch-size", "4", "--args_file", str(file)]
    found = {"amp": "--loss#name=dice", "loss#name": "dice", "batch_size": "4", "args_file": str(file)}
    assert dict(on_the_line(line)) == found | {"loss#alpha": 0.5, "lr": None}


def test_overlays_give_settings_but_those_that_came_with_weights_do_not(tmp_path):
    files = [tmp_path / name for name in ("train.json", "mine.json", "trained.json")]
    for file, content in zip(files, ({"lr": 1}, {"network_def": {"name": "unet"}}, {"seed": 3}), strict=True):
        file.write_text(json.dumps(content))
    files.append(tmp_path / "other.yaml")
    files[-1].write_text("loss:\n  alpha: 1\n")
    found = given_ids(["--config_file", str([str(file) for file in files]), "--epochs", "3"])
    assert found == {"epochs", "network_def", "network_def#name", "loss", "loss#alpha"}
    assert given_ids(["--config_file", str(files[0]), "--lr", "1"]) == {"lr"}
    assert typed_ids(["--config_file", str(files), "--epochs", "3", "--a::b=1"]) == {"config_file", "epochs", "a#b"}


def test_what_an_evaluation_has_before_a_user_gives_anything(tmp_path):
    files = [tmp_path / name for name in ("train.json", "evaluate.json", "mine.json", "trained.json")]
    contents = ({"lr": 1}, {"part": "test", "+validate#scores": ["dice"]}, {"batch_size": 2}, {"image_size": 64})
    for file, content in zip(files, contents, strict=True):
        file.write_text(json.dumps(content))
    found = set_beforehand(["--config_file", str([str(file) for file in files]), "--epochs", "3"], files[1])
    assert found == {"part": "test", "validate#scores": ["dice"], "validate#scores#0": "dice", "image_size": 64}
