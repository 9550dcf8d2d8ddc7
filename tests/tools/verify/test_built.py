"""What is built of a bundle: merged configs, the network with its weights, TorchScript. Each test breaks one thing."""

from __future__ import annotations

import pytest
import torch

from medbundles.errors import MedbundlesError
from tools.verify.opened import opened
from tools.verify.torchscript import convert_to_torchscript, torchscript
from tools.verify.weights import weights

SEVERAL = {
    "_target_": "medbundles.networks.MultitaskUNet", "in_channels": 1, "seg_out_channels": 1, "cls_num_classes": 3,
    "base_filters": 4, "depth": 3, "cls_hidden_dim": 8,
}  # fmt: skip
CLASSES = {
    "type": "probabilities", "format": "classes", "num_channels": 3, "spatial_shape": [1], "dtype": "float32",
    "value_range": [],
}  # fmt: skip


def test_a_clone_without_weights_neither_passes_nor_fails(toy):
    for check in ("checksum", "weights"):
        said = toy.said(check)
        assert (said.status, said.what) == ("skipped", "no weights: there is no models/model.pt")


def test_published_weights_fit(toy):
    toy.publish()
    assert toy.said("checksum").what == "of run runs/toy/run_1, epoch 3"
    assert toy.said("weights").status == "ok"


def test_a_changed_byte_is_found(toy):
    file = toy.publish(described=False)
    assert "no model.json says" in toy.said("checksum").what
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    said = toy.said("checksum")
    assert said.status == "FAILED"
    assert "models/model.pt" in said.what


def test_weights_of_another_run_are_found(toy):
    file = toy.publish()
    torch.save({k: v + 1 if v.is_floating_point() else v for k, v in toy.network().state_dict().items()}, file)
    assert "is not the file that" in toy.said("checksum").what


def test_a_lacking_tensor_is_named(toy):
    file = toy.publish()
    torch.save({k: v for k, v in toy.network().state_dict().items() if k != "final_conv.bias"}, file)
    said = toy.said("weights")
    assert said.status == "FAILED"
    assert "final_conv.bias" in said.what


def test_weights_belong_to_the_settings_beside_them(toy):
    file = toy.publish()
    file.with_name("trained.json").write_text('{"features": [8, 8, 8, 8, 8, 8]}')
    assert toy.said("weights").status == "FAILED"
    toy.change("inference", features=[8] * 6)
    file.with_name("trained.json").write_text('{"features": [4, 4, 4, 4, 4, 4]}')
    assert toy.said("weights").status == "ok"


@pytest.mark.parametrize(
    ("part", "name", "change", "words"),
    [
        ("inputs", "image", {"num_channels": 2}, "the network does not take (1, 2, 32, 32)"),
        ("inputs", "image", {"spatial_shape": [64, 64]}, "pred (1, 1, 64, 64); metadata.json says"),
        ("outputs", "pred", {"num_channels": 2}, "num_channels 2, spatial_shape [32, 32]"),
        ("outputs", "pred", {"spatial_shape": [32, 16]}, "spatial_shape [32, 16]"),
        ("outputs", "pred", {"spatial_shape": [1]}, "spatial_shape [1]"),
        ("outputs", "pred", {"dtype": "float16"}, "dtype float16"),
        ("outputs", "cls", CLASSES, "no cls, which metadata.json describes"),
    ],
)
def test_a_wrong_shape_in_the_metadata_is_named(toy, part, name, change, words):
    assert toy.said("shapes").status == "ok"
    toy.tensor(part, name, **change)
    said = toy.said("shapes")
    assert said.status == "FAILED"
    assert words in said.what


def test_several_outputs_are_looked_at_one_by_one(toy):
    toy.change("inference", network_def=SEVERAL)
    assert "seg (1, 1, 32, 32), of which metadata.json has no entry" in toy.said("shapes").what
    toy.tensor("outputs", "cls", **CLASSES)
    said = toy.said("shapes")
    assert (said.status, said.what) == ("ok", "(1, 1, 32, 32) gives seg (1, 1, 32, 32), cls (1, 3)")
    toy.tensor("outputs", "cls", num_channels=2)
    assert "cls (1, 3); metadata.json says num_channels 2" in toy.said("shapes").what


def test_sizes_that_are_free_are_tried_twice(toy):
    for part, name in (("inputs", "image"), ("outputs", "pred")):
        toy.tensor(part, name, spatial_shape=["32*n", "2**p*16"])
    assert (
        toy.said("shapes").what == "(1, 1, 32, 32) gives pred (1, 1, 32, 32); (1, 1, 96, 64) gives pred (1, 1, 96, 64)"
    )


def test_torchscript_of_the_weights(toy):
    file = toy.publish()
    said = toy.said("torchscript")
    assert (said.status, said.what) == ("ok", "network_def can be scripted; there is no models/model.ts")
    convert_to_torchscript(toy.network(), filename_or_obj=str(file.with_name("model.ts")))
    assert toy.said("torchscript").what.endswith("models/model.ts can be loaded")  # no weights were compared


def test_a_torchscript_file_that_is_another_network_is_named(toy):
    file = toy.publish()
    other = toy.network()
    convert_to_torchscript(other, filename_or_obj=str(file.with_name("model.ts")))
    with opened(str(toy.folder), False) as it:
        weights(it)
        with pytest.raises(MedbundlesError, match=r"models/model.ts: its pred is not that of the network"):
            torchscript(it)
    convert_to_torchscript(with_weights(toy, file), filename_or_obj=str(file.with_name("model.ts")))
    with opened(str(toy.folder), False) as it:
        weights(it)
        assert torchscript(it).endswith("models/model.ts gives what model.pt gives")


def with_weights(toy, file):
    network = toy.network()
    network.load_state_dict(torch.load(file, weights_only=True))
    return network


def test_a_network_that_cannot_be_scripted_is_traced_and_the_docs_say_so(toy):
    toy.change("inference", network_def={
        "_target_": "medbundles.networks.SegmentationNetwork", "name": "unet", "spatial_dims": 2, "in_channels": 1,
        "out_channels": 1, "image_size": 32, "base_channels": 4,
    })  # fmt: skip
    said = toy.said("torchscript")
    if "can be scripted" in said.what:
        pytest.skip("this network can be scripted")
    assert said.status == "FAILED"
    page = toy.folder / "docs/README.md"
    page.write_text(page.read_text() + "\nAs TorchScript it is traced.\n")
    assert toy.said("torchscript").status == "ok"


@pytest.mark.parametrize(
    ("overlay", "words"),
    [
        ({"epoch": 5}, "train + fast: nothing uses epoch"),
        ({"epochs": "many"}, "epochs: 'many' is not allowed"),
        ({"epochs": 0}, "epochs: 0 is not allowed"),
        ({"train#trainr#max_epochs": 3}, "trainr"),
        ({"lr": "@rate"}, "rate"),
        ({"early_stopping#mode": "min"}, "train + fast: early_stopping#mode: val_"),
    ],
)
def test_an_overlay_that_does_not_merge_is_named(toy, overlay, words):
    toy.write("fast", overlay)
    said = toy.said("overlays")
    assert said.status == "FAILED"
    assert words in said.what


def test_an_overlay_that_merges(toy):
    toy.write("fast", {"epochs": 5, "+train#handlers": [{"_target_": "StatsHandler"}]})
    toy.write("mean", {"output": "$@bundle_root + '/runs/mean'", "num_workers": 1})
    said = toy.said("overlays")
    assert said.status == "ok"
    assert "train + fast" in said.what
    assert "inference + mean" in said.what
    assert sorted(path.name for path in toy.folder.iterdir()) == ["LICENSE", "configs", "docs"]


def test_an_extra_that_is_not_installed_says_nothing_of_the_bundle(toy, monkeypatch):
    from medbundles.errors import MedbundlesError

    def lacks(*_):
        raise MedbundlesError("x cannot be imported: pip install x")

    monkeypatch.setattr("tools.verify.overlays.build", lacks)
    said = toy.said("overlays")
    assert said.status == "ok"
    assert "not looked at" in said.what


def test_without_described_tensors_nothing_is_run(toy):
    toy.edit("metadata", lambda m: m["network_data_format"].update(inputs={}))
    for check in ("shapes", "torchscript"):
        said = toy.said(check)
        assert (said.status, said.what) == ("skipped", "metadata.json describes no tensors as inputs of the network")
