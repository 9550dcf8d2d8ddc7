"""The table of networks trained for the same time: how many epochs fit, what is passed on, and a real small one."""

from __future__ import annotations

import json

import pytest

from medbundles.errors import MedbundlesError
from tools.benchmarks import compare_networks as table
from tools.benchmarks.compare_networks import compare_networks
from tools.phantoms.organs import make_organs


def measure(value):
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


@pytest.fixture
def runs(monkeypatch, tmp_path) -> list:
    """Runs that take no time and whose epochs say 10 s each."""
    asked = []

    def run(folder, files, settings, target):
        asked.append((files, settings))
        where = target / "run"
        (where / "metrics").mkdir(parents=True)
        (target / "log.txt").write_text("network: SegmentationNetwork with 1,234,567 parameters\n")
        epochs = [{"epoch_seconds": 50.0}, {"epoch_seconds": 10.0}]
        summary = {"seconds_per_epoch": 10.0, "best_value": 0.5, "most_memory": 2 * 10**9}
        (where / "metrics" / "metrics.json").write_text(json.dumps({"epochs": epochs, "summary": summary}))
        names = ("dice", "dice_over_constant", "dice_over_logistic")
        (where / "metrics" / "test_metrics.json").write_text(json.dumps({"metrics": {n: measure(0.6) for n in names}}))
        return where

    monkeypatch.setattr(table, "_run", run)
    monkeypatch.setattr(table.time, "monotonic", iter([0.0, 80.0, 100.0, 500.0, 500.0, 580.0, 600.0, 900.0]).__next__)
    return asked


def test_as_many_epochs_as_fit_with_a_warm_up_where_the_overlay_has_one(runs, tmp_path):
    unet, swin = compare_networks("data", str(tmp_path), minutes=10, only=("unet", "swin_unetr"), image_size=128)
    assert unet["epochs"] == (600 - 20) // 10  # 20 s of the 80 are no epoch's
    training = runs[1][1]
    assert (training["epochs"], training["scheduler#warmup_epochs"], training["image_size"]) == (58, 0, 128)
    assert runs[4][1]["scheduler#warmup_epochs"] == 5
    assert runs[2][0][:3] == ["train", "net_unet", "evaluate"]
    text = (tmp_path / "networks.md").read_text()
    assert "| `unet` (base_channels 16) | 1.23 M | 58 | 10.0 | 2.0 GB | 0.500 | 0.600 [0.590, 0.610] |" in text
    assert swin["minutes"] == 5


@pytest.mark.parametrize("wrong", [{"only": ("resnet",)}, {"minutes": 0}, {"epochs": 3}, {"network_def#name": "vnet"}])
def test_what_it_cannot_do_is_refused(wrong, tmp_path):
    with pytest.raises(MedbundlesError, match=r"--only|--minutes"):
        compare_networks("data", str(tmp_path), **wrong)


@pytest.mark.slow
def test_a_small_one_for_real(tmp_path):
    make_organs(tmp_path / "data")
    with pytest.raises(MedbundlesError, match="use --out_channels 3"):
        compare_networks(str(tmp_path / "data"), str(tmp_path / "wrong"), only=("vnet",))
    (row,) = compare_networks(
        str(tmp_path / "data"), str(tmp_path / "out"), minutes=0.01, only=("vnet",), out_channels=3, image_size=32
    )
    assert row["epochs"] == 1
    assert row["peak_bytes"] > 10**8
    assert 0 <= row["metrics"]["dice"]["value"] <= 1
