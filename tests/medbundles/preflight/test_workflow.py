from __future__ import annotations

import json

import pytest

from medbundles.preflight.schema import Setting, called
from medbundles.preflight.workflow import ids, known_ids, meant_ids, running_workflow, unknown_ids

TRAIN = {
    "batch_size": 4,
    "early_stopping": {"patience": 5},
    "wandb": {"project": "x", "enabled": False},
    "loss": {"_target_": "a.Loss", "weight": 1},
    "list": [{"_target_": "a.Step", "size": 3}],
    "ref": "@loss",
}


@pytest.fixture
def known(tmp_path):
    (tmp_path / "train.json").write_text(json.dumps(TRAIN))
    (tmp_path / "overlay.json").write_text(json.dumps({"+more": 1, "early_stopping#min_epochs": 2, "new#leaf": 3}))
    (tmp_path / "metadata.json").write_text(json.dumps({"version": "1"}))
    (tmp_path / "schema.json").write_text(json.dumps({"properties": {}}))
    return known_ids(tmp_path)


def test_ids_name_groups_and_list_items():
    assert [name for name, _ in ids({"a": {"b": [{"c": 1}, 2]}, "d::e": 3})] == [
        "a", "a#b", "a#b#0", "a#b#0#c", "a#b#1", "d#e"
    ]  # fmt: skip


def test_known_ids_are_those_of_all_config_files_but_metadata_and_schema(known):
    assert {"batch_size", "early_stopping#min_epochs", "more", "new", "new#leaf", "list#0#size"} <= set(known)
    assert not {"version", "properties"} & set(known)


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({}, []),
        ({"batchsize": 3}, ["unknown id 'batchsize'; did you mean 'batch_size'?"]),
        (
            {"early_stopping": {"patiense": 1}},
            ["unknown id 'early_stopping#patiense'; did you mean 'early_stopping#patience'?"],
        ),
        ({"patience": 1}, ["unknown id 'patience'; did you mean 'early_stopping#patience'?"]),
        ({"list": [{"_target_": "a.Step", "sise": 1}]}, ["unknown id 'list#0#sise'; did you mean 'list#0#size'?"]),
        ({"xyzzy": {"deep": {"er": 1}}}, ["unknown id 'xyzzy'"]),  # one line, not one for each id below
        ({"loss": {"_target_": "my.Loss", "anything": {"goes": 1}}}, []),
        ({"loss": {"_target_": "a.Loss", "anything": 1}}, ["unknown id 'loss#anything'"]),
        ({"list": [TRAIN["list"][0], {"_target_": "my.Step", "x": 1}]}, []),  # what an overlay appended
        ({"list": [{"_target_": "my.Step", "x": 1}]}, []),
        ({"run_name": "x", "tracking_uri": {"y": 1}, "_meta_": {"z": 1}}, []),  # hosts add these
        ({"wandb": False}, ["wandb: is a group of ids, not a value; give one of them, such as wandb#enabled."]),
        ({"early_stopping": None}, ["give one of them, such as early_stopping#"]),
        ({"loss": 3}, ["give one of them, such as loss#weight."]),
        ({"loss": "@other", "wandb": "$@x"}, []),
    ],
)
def test_every_id_that_no_file_has_gets_one_line(known, change, lines):
    found = unknown_ids({**TRAIN, **change}, known)
    assert len(found) == len(lines)
    assert all(wanted in line for line, wanted in zip(found, lines, strict=True))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("BatchSize", ["batch_size"]),
        ("learning_rate", ["lr"]),
        ("optimizer#learning_rate", ["lr"]),
        ("patience", ["early_stopping#patience", "scheduler#patience"]),
        ("x#patience", ["early_stopping#patience", "scheduler#patience"]),
        ("batchsise", ["batch_size"]),
        ("xyzzy", []),
    ],
)
def test_what_an_id_was_meant_to_be(name, meant):
    ids_known = ["batch_size", "lr", "patches", "early_stopping#patience", "scheduler#patience"]
    sources = {"lr": {"source": ["001", "optimizers", "learning_rate"]}}
    settings = called([Setting(k, sources.get(k, {})) for k in ids_known if k != "patches"])
    assert meant_ids(name, ids_known, settings) == meant


def test_outside_a_run_list_there_is_no_workflow():
    with pytest.raises(RuntimeError, match="cannot be built outside it"):
        running_workflow()


@pytest.mark.parametrize(
    ("argument", "refused"), [("loss_decimals", False), ("loss_decimal", True), ("attach", True), ("a#b", True)]
)
def test_an_argument_that_the_config_leaves_out_may_be_set(argument, refused):
    config = {"train": {"handlers": [{"_target_": "medbundles.handlers.Progress"}]}}
    known = {name: [value] for name, value in ids(config)}
    name, _, below = argument.partition("#")
    config["train"]["handlers"][0][name] = {below: 3} if below else 3
    assert bool(unknown_ids(config, known)) is refused


def test_of_monais_classes_by_their_short_names_too():
    config = {"loss": {"_target_": "DiceLoss"}}
    known = {name: [value] for name, value in ids(config)}
    assert unknown_ids({"loss": {"_target_": "DiceLoss", "squared_pred": True}}, known) == []
    [line] = unknown_ids({"loss": {"_target_": "DiceLoss", "squared": True}}, known)
    assert "unknown id 'loss#squared'" in line


def test_arguments_that_a_class_passes_on_are_those_of_the_one_that_it_extends():
    config = {"writer": {"_target_": "medbundles.reports.InferenceWriter"}}
    known = {name: [value] for name, value in ids(config)}
    config["writer"] |= {"overlays": False, "existing": "skip"}
    assert unknown_ids(config, known) == []
    [line] = unknown_ids(config | {"writer": config["writer"] | {"exists": "skip"}}, known)
    assert "unknown id 'writer#exists'" in line


def test_the_nearest_argument_is_named():
    config = {"handlers": [{"_target_": "medbundles.handlers.Progress"}]}
    known = {name: [value] for name, value in ids(config)}
    config["handlers"][0]["los_decimals"] = 3
    [line] = unknown_ids(config, known)
    assert line == "unknown id 'handlers#0#los_decimals'; did you mean 'handlers#0#loss_decimals'?"


@pytest.mark.parametrize(
    ("target", "argument", "line"),
    [
        ("TverskyLoss", "dice_weight", "loss: TverskyLoss has no argument 'dice_weight'; it has: alpha, batch, beta"),
        ("monai.losses.TverskyLoss", "alhpa", "loss: monai.losses.TverskyLoss has no argument 'alhpa'; did you mean"),
        ("torch.nn.CrossEntropyLoss", "_desc_", ""),
        ("builtins.dict", "anything", ""),
        ("no.such.Loss", "anything", ""),
    ],
)
def test_a_component_of_others_is_given_only_arguments_that_it_has(target, argument, line):
    config = {"loss": {"_target_": "medbundles.losses.SegmentationLoss", "dice_weight": 0.5}}
    known = {name: [value] for name, value in ids(config)}
    lines = unknown_ids({"loss": {"_target_": target, argument: 0.5}}, known)
    assert "\n".join(lines).startswith(line)
    assert bool(lines) is bool(line)
