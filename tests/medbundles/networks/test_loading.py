from __future__ import annotations

import logging
import os
import pickle

import pytest
import torch
from torch import nn

from medbundles.errors import CheckpointError
from medbundles.networks import MultitaskUNet, load_weights, read_weights


def small(seed=0, **kwargs):
    torch.manual_seed(seed)
    return MultitaskUNet(**{"base_filters": 4, "depth": 3, "cls_hidden_dim": 8, **kwargs})


def equal(network, other):
    return all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("entry", [None, "network", "model", "state_dict", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "_orig_mod.module."])
def test_weights_come_back(tmp_path, entry, prefix, caplog):
    source, network = small(1), small(2)
    weights = {prefix + name: value for name, value in source.state_dict().items()}
    torch.save(weights if entry is None else {entry: weights, "epoch": 3, "best": 0.5}, tmp_path / "w.pt")
    with caplog.at_level(logging.INFO):
        skipped = load_weights(network, tmp_path / "w.pt")
    assert equal(network, source)
    assert skipped == []
    assert f"loaded {len(weights)} of {len(weights)} tensors" in caplog.text


def test_a_wrapped_network_is_filled_too():
    source, network = small(1), small(2)
    wrapped = torch.nn.Module()
    wrapped.module = network
    load_weights(wrapped, source.state_dict())
    assert equal(network, source)


def test_too_few_matches_change_nothing_and_name_the_tensors():
    network, untouched = small(2), small(2)
    with pytest.raises(
        CheckpointError, match=r"does not fit: \d+ of 73 tensors of the network match, 99% must"
    ) as error:
        load_weights(network, small(1, cls_num_classes=3).state_dict())
    assert "head.layers.3.weight (shape (3, 8), the network has (2, 8))" in str(error.value)
    assert equal(network, untouched)
    weights = small(1).state_dict()
    del weights["decoder.final_conv.bias"]
    with pytest.raises(CheckpointError, match=r"decoder\.final_conv\.bias \(missing\)"):
        load_weights(network, weights)


def test_a_smaller_share_may_be_allowed(caplog):
    caplog.set_level(logging.INFO)
    network = small(2)
    skipped = load_weights(
        network, {**small(1, cls_num_classes=3).state_dict(), "extra": torch.zeros(1)}, min_share=0.9
    )
    assert "loaded 71 of 73 tensors" in caplog.text
    assert [name.split(" ")[0] for name in skipped] == ["head.layers.3.weight", "head.layers.3.bias", "extra"]
    assert "skipped" in caplog.text


def test_nothing_in_common_is_an_error_whatever_the_share():
    with pytest.raises(CheckpointError, match="0 of 73"):
        load_weights(small(), {"other": torch.zeros(1)}, min_share=0.0)


class Code:
    def __reduce__(self):
        return (print, ("executed",))


class Shell:
    """Unpickled, it would run a command."""

    def __reduce__(self):
        return os.system, ("true",)


def broken_files(folder):
    torch.save(small().state_dict(), folder / "whole.pt")
    content = (folder / "whole.pt").read_bytes()
    (folder / "whole.pt").unlink()
    (folder / "cut.pt").write_bytes(content[: len(content) // 2])
    (folder / "start.pt").write_bytes(content[:100])
    (folder / "empty.pt").write_bytes(b"")
    (folder / "text.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    (folder / "noise.pt").write_bytes(bytes(range(256)) * 20)
    return sorted(folder.iterdir())


def test_broken_files_are_named(tmp_path):
    for path in broken_files(tmp_path):
        with pytest.raises(CheckpointError, match="is cut off or broken, or is no file of weights") as error:
            read_weights(path)
        assert str(path) in str(error.value)


def test_a_flipped_bit_is_found(tmp_path):
    path = tmp_path / "w.pt"
    torch.save(small().state_dict(), path)
    content = bytearray(path.read_bytes())
    place = bytes(content).index(small().state_dict()["decoder.final_conv.weight"].numpy().tobytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert torch.load(path, weights_only=True)  # torch itself does not look
    with pytest.raises(CheckpointError, match=r"w\.pt: was damaged \(.*data/\d+ in it does not have its checksum"):
        read_weights(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.pt: there is no such file of weights"):
        read_weights(tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="there is no such file of weights"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    "save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2))]
)
def test_pickled_code_is_not_run(tmp_path, capsys, save):
    save({"network": {"weight": torch.zeros(1).tolist()}, "code": Code()}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"w\.pt: holds pickled code or objects, not only tensors"):
        read_weights(tmp_path / "w.pt")
    assert "executed" not in capsys.readouterr().out


def test_pickled_code_of_a_module_that_torch_blocks_is_named_so_too(tmp_path):
    torch.save({"code": Shell()}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"w\.pt: holds pickled code or objects, not only tensors"):
        read_weights(tmp_path / "w.pt")


@pytest.mark.parametrize(
    "content", [{"epoch": 3}, {}, torch.zeros(2), [torch.zeros(2)], {"network": {"a": 1}}, {1: torch.zeros(1)}]
)
def test_a_file_without_weights_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"w\.pt: holds no weights: expected names with tensors"):
        read_weights(tmp_path / "w.pt")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*TorchScript.*")
def test_torchscript_is_told_apart(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / "w.ts")
    with pytest.raises(CheckpointError, match="TorchScript archive"):
        read_weights(tmp_path / "w.ts")


def test_numbers_that_are_none_are_refused():
    network = nn.Linear(2, 1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(CheckpointError, match="holds NaN or Inf in weight; its training has diverged"):
        load_weights(network, {"weight": torch.tensor([[1.0, float("nan")]]), "bias": torch.zeros(1)})
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
