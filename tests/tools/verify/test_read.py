"""What is read of a bundle: its files, metadata, properties, ids and packages. Each test breaks one thing."""

from __future__ import annotations

import json

import pytest

from tools.verify.directory import NEEDED, OF_MEDBUNDLES
from tools.verify.metadata import SCHEMA


@pytest.mark.parametrize("name", [*NEEDED, *OF_MEDBUNDLES])
def test_a_missing_file_is_named(toy, name):
    (toy.folder / name).unlink()
    said = toy.said("directory")
    assert (said.status, said.what) == ("FAILED", f"lacks {name}")


def test_an_empty_licence_is_none(toy):
    (toy.folder / "LICENSE").write_text("")
    assert toy.said("directory").what == "empty: LICENSE"


def test_a_version_that_the_changelog_lacks_is_named(toy):
    toy.change("metadata", version="0.3.0")
    said = toy.said("version")
    assert said.status == "FAILED"
    assert "version 0.3.0 is missing in its changelog, which has 0.1.0" in said.what
    toy.edit("metadata", lambda m: m.pop("changelog"))
    assert "lacks changelog" in toy.said("version").what


def test_metadata_without_a_key_or_of_another_type_is_named(toy):
    assert toy.said("metadata").status == "ok"
    toy.change("metadata", version=3)
    toy.edit("metadata", lambda m: m.pop("authors"))
    said = toy.said("metadata").what
    assert "'authors' is a required property" in said
    assert "version: 3 is not of type 'string'" in said


def test_a_tensor_without_channels_is_named(toy):
    toy.edit("metadata", lambda m: m["network_data_format"]["outputs"]["pred"].pop("num_channels"))
    said = toy.said("metadata")
    assert said.status == "FAILED"
    assert "network_data_format#outputs#pred: 'num_channels' is a required property" in said.what


def test_of_another_schema_nothing_is_known(toy):
    toy.change("metadata", schema="https://example.org/meta_schema_20220324.json")
    assert toy.said("metadata").status == "skipped"
    toy.edit("metadata", lambda m: m.pop("schema"))
    assert toy.said("metadata").status == "FAILED"


def test_the_schema_asks_for_what_monais_asks():
    schema = json.loads(SCHEMA.read_text())
    assert len(schema["required"]) == 11
    assert schema["$defs"]["tensor"]["required"] == [
        "type", "format", "num_channels", "spatial_shape", "dtype", "value_range",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("apps", "status"), [({}, "ok"), ({"label": "1.0"}, "skipped"), (["label"], "FAILED"), ({"label": 1}, "FAILED")]
)
def test_supported_apps(toy, apps, status):
    toy.change("metadata", supported_apps=apps)
    assert toy.said("supported apps").status == status


def test_a_property_that_is_missing_is_listed_by_its_id(toy):
    toy.edit("train", lambda c: c["train"].pop("inferer"))
    said = toy.said("properties of training")
    assert said.status == "FAILED"
    assert "train_inferer (train#inferer)" in said.what
    assert toy.said("properties of inference").status == "ok"


def test_an_unknown_property_is_listed_by_the_one_that_was_meant(toy):
    def rename(config):
        config["validate"]["key_metrics"] = config["validate"].pop("key_metric")
        config["validate"]["evaluator"]["key_val_metric"] = "@validate#key_metrics"

    toy.edit("train", rename)
    for kind in ("training", "evaluation"):
        assert "val_key_metric (validate#key_metric)" in toy.said(f"properties of {kind}").what


def test_a_value_in_the_place_of_a_reference_is_no_crash(toy):
    def write_out(config):
        handler = next(h for h in config["train"]["handlers"] if h["_target_"] == "ValidationHandler")
        handler["interval"] = 1
        config["train"]["trainer"]["train_handlers"] = config["train"]["handlers"]

    toy.edit("train", write_out)
    said = toy.said("properties of training").what
    assert "train_handlers (train#handlers)" in said
    assert "val_interval (val_interval)" in said


def test_a_bundle_without_training_has_its_properties_skipped(toy):
    (toy.folder / "configs/train.json").unlink()
    assert toy.said("properties of training").status == "skipped"


@pytest.mark.parametrize("name", ["train", "inference"])
def test_an_id_that_nothing_takes_is_named(toy, name):
    assert toy.said("used ids").status == "ok"
    toy.change(name, btach_size=3)
    assert toy.said("used ids").what == f"{name}.json: nothing uses btach_size"


def test_a_setting_that_nothing_takes_any_more_is_named(toy):
    toy.edit("inference", lambda c: c["sampler"].update(batch_size=8))
    assert toy.said("used ids").what == "inference.json: nothing uses batch_size"


def test_the_docs_and_the_schema_name_what_there_is(toy):
    page = toy.folder / "docs/README.md"
    text = page.read_text()
    page.write_text(text.replace("| `features` |", "| `fetaures` |"))
    said = toy.said("documented ids").what
    assert "docs/README.md: fetaures is no setting" in said
    assert "docs/README.md: its table lacks features" in said
    page.write_text(text + "\n    python -m monai.bundle run --config_file configs/fast.json --epoch 3\n")
    said = toy.said("documented ids").what
    assert "docs/README.md: --epoch is in no config" in said
    assert "docs/README.md: there is no configs/fast.json" in said
    page.write_text(text)
    toy.edit("schema", lambda s: s["properties"].update(speed={"type": "number", "description": "x"}))
    assert "schema.json: speed is in no config" in toy.said("documented ids").what


def test_inference_that_prepares_otherwise_is_named(toy):
    toy.edit("inference", lambda c: c["preprocessing"]["transforms"].pop(1))
    said = toy.said("preprocessing")
    assert said.status == "FAILED"
    assert "train: HeadNormalise, CropToHead, ResizeSquare; inference: CropToHead, ResizeSquare" in said.what


def test_settings_of_the_preparation_are_the_same(toy):
    toy.change("inference", image_size=64)
    assert toy.said("preprocessing").what == "image_size: 32 in train.json, 64 in inference.json"
    toy.change("inference", image_size="$16 * 2")
    assert toy.said("preprocessing").status == "ok"


def test_labels_and_random_steps_are_trainings_own(toy):
    def volumes(config):
        config["preprocessing"]["transforms"] = [
            {"_target_": "LoadImaged", "keys": ["image", "label"]},
            {"_target_": "Spacingd", "keys": ["image", "label"], "pixdim": [1, 1], "mode": ["bilinear", "nearest"]},
            {"_target_": "RandFlipd", "keys": ["image", "label"]},
        ]

    toy.edit("train", volumes)
    step = {"_target_": "Spacingd", "keys": "image", "pixdim": [1, 1], "mode": "bilinear"}
    toy.edit("inference", lambda c: c["preprocessing"].update(transforms=[{"_target_": "LoadImaged"}, step]))
    assert toy.said("preprocessing").status == "ok"
    toy.edit("inference", lambda c: c["preprocessing"]["transforms"][1].update(pixdim=[2, 2]))
    assert toy.said("preprocessing").status == "FAILED"


def test_packages_that_are_not_listed_or_not_imported_are_named(toy):
    toy.edit("metadata", lambda m: m["required_packages_version"].pop("nibabel"))
    assert "imported and not in metadata.json: nibabel (medbundles/" in toy.said("imports").what
    toy.edit("metadata", lambda m: m["required_packages_version"].update({"nibabel": "5.4.2", "left-pad": "1.0"}))
    assert toy.said("imports").what.endswith("imports it: left-pad")


def test_what_the_bundles_own_code_imports_counts(toy):
    (toy.folder / "scripts").mkdir()
    (toy.folder / "scripts/net.py").write_text("import scripts.other\ndef f():\n    import antigravity_engine.x\n")
    assert toy.said("imports").what == "imported and not in metadata.json: antigravity-engine (scripts/net.py)"


def test_versions_that_do_not_fit_each_other_are_named(toy):
    assert toy.said("pins").status == "ok"
    toy.change("metadata", numpy_version="1.20.0", pytorch_version="two")
    said = toy.said("pins").what
    assert "metadata.json has 1.20.0" in said
    assert "torch: 'two' is no version" in said


def test_other_versions_and_unknown_packages_are_said(toy):
    toy.edit("metadata", lambda m: m["required_packages_version"].update({"fire": "0.7.0", "left-pad": "1.0"}))
    said = toy.said("pins")
    assert said.status == "ok"
    assert "for 0.7.0" in said.what
    assert "not here, so not looked at: left-pad" in said.what


def test_a_large_file_is_listed_with_its_checksum(toy, monkeypatch):
    monkeypatch.setattr("tools.verify.directory.LARGEST", 100_000)
    file = toy.publish()
    file.write_bytes(file.read_bytes() + b"\0" * 100_000)
    said = toy.said("large files")
    assert (said.status, said.what.partition(";")[0]) == ("skipped", "above 25 MB: models/model.pt")
    entry = {"path": "models/model.pt", "url": "", "hash_type": "sha256", "hash_val": "0" * 64}
    (toy.folder / "large_files.yml").write_text(json.dumps({"large_files": [entry]}))
    assert "does not have the checksum" in toy.said("large files").what
    entry["hash_val"] = ""
    (toy.folder / "large_files.yml").write_text(json.dumps({"large_files": [entry]}))
    said = toy.said("large files")
    assert (said.status, said.what.partition(";")[2]) == ("ok", " the zoo needs an url for models/model.pt")
    file.unlink()
    assert "large_files.yml names where they are" in toy.said("weights").what
    (toy.folder / "large_files.yml").write_text("[1]")
    assert toy.said("large files").status == "FAILED"


def test_a_config_that_cannot_be_read_is_named(toy):
    (toy.folder / "configs/metadata.json").write_text("{")
    assert "configs/metadata.json: cannot be read" in toy.said("version").what
