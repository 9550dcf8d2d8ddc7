"""Bundles by name, settings that do not exist, and what the preflight says, as one message."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbundles.errors import ConfigError, MedbundlesError
from tools.bundle import BUNDLES, absolute_paths, build, bundle_folder, check_settings

BRAIN = BUNDLES / "brain_tumor_multitask_unet"


def test_a_bundle_is_found_by_name_and_by_path():
    assert bundle_folder("brain_tumor_multitask_unet") == bundle_folder(BRAIN) == BRAIN


def test_a_wrong_name_gets_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'brain_tumor_multitask_unet'"):
        bundle_folder("brain_tumour_multitask_unet")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("batchsize", "batch_size"), ("lambda_seg", "loss#lambda_seg"), ("eta_min", "scheduler#eta_min")],
)
def test_unknown_settings_get_the_nearest(name, nearest):
    with pytest.raises(ConfigError, match=f"unknown setting --{name}; did you mean --{nearest}"):
        check_settings(BRAIN, {name: 1, "epochs": 1})


def test_reserved_settings_tell_why():
    with pytest.raises(ConfigError, match="--init_from: is handed on"):
        check_settings(BRAIN, {"init_from": "x"}, {"init_from": "is handed on"})


def test_paths_become_absolute_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {
        "output_dir": "runs",
        "test_dir": "$@dataset_dir + '/x'",
        "kaggle_val_dir": False,
        "checkpoint_dir": "c",
    }
    assert absolute_paths(BRAIN, settings) == {**settings, "output_dir": str(tmp_path / "runs")}


def test_build_refuses_with_the_preflights_message(tmp_path):
    with pytest.raises(MedbundlesError, match="epochs: 0 is not allowed"):
        build(BRAIN, ["train"], "train", {"dataset_dir": str(tmp_path), "epochs": 0})
    with pytest.raises(MedbundlesError, match=r"train_dir: .* does not exist\. Make sample data with"):
        build(BRAIN, ["train"], "train", {"dataset_dir": str(tmp_path)})
    assert list(Path(tmp_path).iterdir()) == []
