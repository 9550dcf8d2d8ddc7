"""The benches: their arithmetic, and that each gives its figures on a tiny run. No time is asserted."""

from __future__ import annotations

import copy
import json
from functools import partial

import pytest
import torch

from medbundles.errors import MedbundlesError
from tools.benchmarks import bench, memory, troubles
from tools.benchmarks.bundles import BUNDLES
from tools.benchmarks.timing import ratios, spread, take_turns
from tools.bundle import bundle_folder
from tools.phantoms.graded import make_graded_phantoms
from tools.phantoms.slices import make_phantoms

TINY = {"image_size": 32, "base_filters": 4, "depth": 3, "batch_size": 4}
BRAIN, GLIOMA, DENTAL, MEDICAL = BUNDLES
TINY_VOLUMES = {"spatial_size": [16, 16, 16], "batch_size": 2, "head": "linear"}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("data") / "phantoms"
    make_phantoms(folder, patients=(2, 1, 1), slices=4, size=48, pictures=(0, 0, 0))
    return str(folder)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("data") / "volumes"
    make_graded_phantoms(folder, cases=(4, 4), size=24)
    return str(folder)


def test_spread_and_ratios():
    assert spread([4.0, 1.0, 3.0, 2.0, 5.0]) == {"median": 3, "q1": 2, "q3": 4, "min": 1, "max": 5, "n": 5}
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]


def test_measures_take_turns_and_the_first_round_does_not_count():
    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return float(order.count(name) - 1)

    assert take_turns({name: partial(measure, name) for name in "ab"}, 2) == {"a": [1, 2], "b": [1, 2]}
    assert order == ["a", "b", "a", "b", "a", "b"]


def bare_copy(training):
    """The same training with weights and optimizer of its own."""
    bare = copy.copy(training)
    bare.network, bare.optimizer = copy.deepcopy((training.network, training.optimizer))
    return bare


def test_the_bare_loop_steps_as_the_trainer_does(data, tmp_path):
    """The same weights after an epoch of each: so both did the same work."""
    measured = BUNDLES[BRAIN](bundle_folder(BRAIN), tmp_path, TINY, data, "", 1, 1.0)
    # without dropout and clipping, which the bare loop draws differently or does not have
    training = measured.training({"amp": False, "cls_dropout": 0.0, "grad_clip": 0, "epochs": 1})
    bare = bare_copy(training)
    bare.epoch(bare.batches())
    trainer = training.config.get_parsed_content("train#trainer")
    trainer.run()
    for mine, theirs in zip(bare.network.state_dict().values(), training.network.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_trainer_and_augmentation_give_ratios_and_leave_one_file(data, tmp_path):
    out = tmp_path / "bench.json"
    result = bench(BRAIN, data, only=("trainer", "augmentation"), pairs=2, out=str(out), **TINY)
    assert json.loads(out.read_text())["trainer"] == result["trainer"]
    assert list(tmp_path.iterdir()) == [out]
    trainer = result["trainer"]
    assert {name: len(values) for name, values in trainer["seconds"].items()} == {
        "bare_before": 2, "trainer": 2, "bare_after": 2
    }  # fmt: skip
    assert trainer["batches"] == 2
    assert trainer["trainer_over_bare"]["n"] == trainer["bare_over_bare"]["n"] == 2
    assert set(result["augmentation"]) == {"workers_0", "workers_2"}
    assert {"on", "off", "on_over_off"} < set(result["augmentation"]["workers_0"])
    assert result["environment"]["threads"] == torch.get_num_threads()
    assert result["environment"]["versions"]["monai"]


def test_the_trainer_of_volumes_does_the_work_of_the_bare_loop(volumes, tmp_path):
    measured = BUNDLES[GLIOMA](bundle_folder(GLIOMA), tmp_path, TINY_VOLUMES, volumes, "", 1, 1.0)
    training = measured.training({"amp": False, "dropout": 0.0, "epochs": 1})
    bare = bare_copy(training)
    bare.epoch(bare.batches())
    training.config.get_parsed_content("train#trainer").run()
    for mine, theirs in zip(bare.network.state_dict().values(), training.network.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_layouts_give_ratios_and_memory(volumes, tmp_path):
    result = bench(GLIOMA, volumes, only=("layout",), pairs=1, out=str(tmp_path / "b.json"), **TINY_VOLUMES)["layout"]
    assert result["medicalnet_over_strided"]["n"] == 1
    assert set(result["peak_memory"]) == set(result["seconds"]) == {"medicalnet", "strided"}
    # 14.4 million parameters, their gradients and the two moments of Adam, in float32
    assert all(peak is None or 4 * 4 * 14e6 < peak < 2e9 for peak in result["peak_memory"].values())


def test_the_peak_of_memory_is_seen_after_it_is_gone():
    memory._give_back()
    before = memory._reset_peak()
    if before is None:
        pytest.skip("this system does not tell the peak of memory")
    block = torch.ones(25_000_000)  # 100 MB
    del block
    assert 90e6 < memory._resident("VmHWM") - before < 150e6
    memory._give_back()
    memory._reset_peak()
    assert memory._resident("VmHWM") - before < 50e6


def test_cache_is_left_out_with_the_reason_where_there_are_no_slices(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MEDBUNDLES_DATA", str(tmp_path))
    result = bench(BRAIN, only=("cache",), pairs=1, out=str(tmp_path / "b.json"), **TINY)
    assert "is not there; name a kaggle_3m folder with --slices_dir" in result["cache"]["skipped"]
    assert "left out" in capsys.readouterr().out


@pytest.mark.slow
def test_amp_cache_and_startup(data, real_data, tmp_path, monkeypatch):
    monkeypatch.setattr("tools.benchmarks.amp_score.SEEDS", (0,))
    monkeypatch.setattr("tools.benchmarks.startup.ROUNDS", 1)
    lgg = real_data / "lgg_kaggle3m"
    only = ("amp", "amp_score", "cache", "compiled", "startup")
    result = bench(BRAIN, data, str(lgg), only=only, pairs=1, out=str(tmp_path / "b.json"), **TINY)
    assert {len(dice) for dice in result["amp_score"]["dice"].values()} == {1}
    assert set(result["cache"]["waiting"]) == {"none", "disk", "memory"}
    assert all(0 < waiting["median"] < 1 for waiting in result["cache"]["waiting"].values())
    assert result["startup"]["training_over_imports"]["n"] == 1
    assert result["compiled"]["compiled_over_eager"]["n"] == 1


@pytest.mark.slow
def test_all_benches_of_volumes(tmp_path, monkeypatch):
    monkeypatch.setattr("tools.benchmarks.amp_score.SEEDS", (0,))
    monkeypatch.setattr("tools.benchmarks.startup.ROUNDS", 1)
    monkeypatch.setattr("tools.benchmarks.bundles.VOLUMES", 8)
    monkeypatch.setattr("tools.benchmarks.bundles.SIDE", 32)
    result = bench(GLIOMA, pairs=1, epoch_seconds=0.1, out=str(tmp_path / "b.json"), **TINY_VOLUMES)
    assert set(BUNDLES[GLIOMA].measurements) < set(result)
    assert {len(auc) for auc in result["amp_score"]["auc"].values()} == {1}
    assert result["cache"]["disk_over_none"]["n"] == 1
    assert result["trainer"]["spatial_size"] == [16, 16, 16]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"only": ("trainer", "speed")}, "--only speed is unknown; there are: trainer, stock, augmentation"),
        ({"only": ("layout",)}, "--only layout is unknown"),  # a bench of volumes
        ({"pairs": 0}, "--pairs and --epoch_seconds are above 0"),
        ({"epochs": 3}, "--epochs: use --pairs"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments, message, tmp_path):
    with pytest.raises(MedbundlesError) as error:
        bench(BRAIN, out=str(tmp_path / "b.json"), **arguments)
    assert message in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_networks_that_segment_give_ratios_memory_and_a_table(tmp_path, capsys):
    tiny = {"image_size": 32, "batch_size": 2, "network_def#name": "unet", "network_def#base_channels": 8}
    result = bench(MEDICAL, only=("networks",), pairs=1, out=str(tmp_path / "b.json"), **tiny, spatial_dims=2)
    (found,) = result["networks"].values()
    assert set(found["seconds"]) == {"float32", "bfloat16", "float32 channels-last", "bfloat16 channels-last"}
    assert found["auto"] in found["seconds"]
    assert found["auto_over_fastest"] >= 1
    assert set(found["peak_memory"]) == {"float32", "bfloat16"}
    assert "| unet 2D | " in capsys.readouterr().out


def test_advice_is_tried_with_each_seed_beside_the_training_in_trouble(tmp_path, monkeypatch, capsys):
    trouble = troubles.Trouble({"lr": 1e4, "optimizer#name": "sgd", "epochs": 4}, {"--lr 1e-2": {"lr": 1e-2}}, train=8)
    monkeypatch.setattr(troubles, "TROUBLES", {"NaN": trouble})
    monkeypatch.setattr(troubles, "SEEDS", (0, 1))
    tiny = {"image_size": 32, "network_def#base_channels": 4}
    found = bench(MEDICAL, only=("troubles",), out=str(tmp_path / "b.json"), **tiny)["troubles"]["NaN"]
    assert all("the loss is" in run["stopped"] for run in found["in trouble"])
    assert [len(run["val_dice"]) for run in found["--lr 1e-2"]] == [4, 4]
    assert "| NaN | in trouble | 2 of 2 | - |" in capsys.readouterr().out


def test_the_trainer_of_labelled_images_does_the_work_of_the_bare_loop(tmp_path):
    settings = {"image_size": 32, "network_def#base_channels": 4, "network_def#depth": 2, "batch_size": 4}
    measured = BUNDLES[MEDICAL](bundle_folder(MEDICAL), tmp_path, settings, "", "", 1, 1.0)
    measured.write_phantoms(tmp_path / "organs", 8)
    training = measured.training({"dataset_dir": str(tmp_path / "organs"), "amp": False, "epochs": 1})
    bare = bare_copy(training)
    bare.epoch(bare.batches())
    training.config.get_parsed_content("train#trainer").run()
    for mine, theirs in zip(bare.network.state_dict().values(), training.network.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_autoencoder_trains_on_patches_of_jaws(tmp_path):
    settings = {"patch_size": [16, 16], "network_def#channels": [4, 8, 8], "network_def#norm_num_groups": 4}
    measured = BUNDLES[DENTAL](bundle_folder(DENTAL), tmp_path, settings, "", "", 1, 1.0)
    measured.write_phantoms(tmp_path / "jaws", 8)
    training = measured.training({"dataset_dir": str(tmp_path / "jaws")})
    batches = training.batches()
    assert sum(len(image) for image, _ in batches) >= 8
    assert batches[0][0].shape[1:] == (1, 16, 16)
    assert training.epoch(batches[:1]) > 0
