"""The overlays of the segmentation bundle: each passes the preflight, and says what document 001 says."""

from __future__ import annotations

import json

import pytest

from tests.bundles.setting_cases import MEDICAL
from tools.bundle import build
from tools.phantoms.organs import make_organs

NETWORKS = ("unet", "vnet", "segresnet", "deeplabv3plus", "transunet", "unetr", "swin_unetr")
OVERLAYS = ("unet_moderate", "swin_unetr", "small_dataset", "volumes", "quick_test", *(f"net_{n}" for n in NETWORKS))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("organs")
    for dims in (2, 3):
        make_organs(folder / str(dims), scans=8, size=16, dims=dims)
    return folder


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_passes_the_preflight(data, tmp_path, name):
    dims = MEDICAL.config(name).get("spatial_dims", 2)
    places = {"dataset_dir": str(data / str(dims)), "output_dir": str(tmp_path / "runs"), "out_channels": 3}
    build(MEDICAL.configs.parent, ["train", name], "train", places)
    assert not (tmp_path / "runs").exists()


def test_every_network_has_an_overlay():
    settings = MEDICAL.settings
    assert settings["network_def#name"].names == [*NETWORKS]
    assert [MEDICAL.config(f"net_{name}")["network_def#name"] for name in NETWORKS] == [*NETWORKS]


def test_the_three_examples_are_those_of_the_document():
    moderate, swin, small = (MEDICAL.config(name) for name in ("unet_moderate", "swin_unetr", "small_dataset"))
    assert moderate["checkpointing#save_best_only"]
    assert moderate["scheduler#name"] == small["scheduler#name"] == "constant"
    assert not swin["early_stopping#enabled"]
    assert swin["loss#ce_weight"] == 0.0
    assert swin["loss#focal_weight"] == 0.5
    assert small["augmentation_strength"] == "strong"
    assert json.dumps(small).count("dice") == 1
