"""Regions that overlap: given, or as nnU-Net's dataset.json has them; and the channels that it names."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from medbundles.data import measured_settings, segmentation_parts
from medbundles.data.lists.dataset_json import read_dataset_json
from medbundles.errors import ConfigError, DataError
from tools.phantoms.organs import make_organs

OF_NNUNET: dict[str, Any] = {"background": 0, "whole organ": [1, 2], "lesion": [2]}


def labels(folder: Path, **entries: Any) -> None:
    about = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(about | entries))


def of(folder: Path, **options: Any) -> Any:
    return segmentation_parts(folder, **{"out_channels": 2, **options})


def measured(parts: Any, **options: Any) -> dict[str, Any]:
    settings = {"spacing": None, "modality": "xray", "ct_values": None, "label_names": "auto", **options}
    return measured_settings(parts, 2, 1, **settings)


def test_those_of_a_dataset_json_come_with_their_names(scans, caplog):
    labels(scans, labels=OF_NNUNET, regions_class_order=[1, 2])
    with pytest.raises(
        ConfigError, match=r"names whole organ \[1, 2\], lesion \[2\]; use --regions auto --out_channels 2"
    ):
        of(scans)
    with pytest.raises(
        ConfigError, match="out_channels: 3, but there are 2 regions, one channel each; use --out_chann"
    ):
        of(scans, regions="auto", out_channels=3)
    with caplog.at_level(logging.INFO, "medbundles"):
        parts = of(scans, regions="auto")
    assert "regions in the 8 training masks: whole organ: 11.5 %, lesion: 1.42 %" in caplog.text
    found = measured(parts)
    assert found["regions"] == [[1, 2], [2]]
    assert found["label_names"] == found["channel_names"] == ["whole organ", "lesion"]
    assert sum(item["foreground"] for items in parts.values() for item in items) == 10


def test_given_ones_are_named_by_their_labels(scans):
    found = measured(of(scans, regions=[[1, 2], [2]]))
    assert found["label_names"] == ["organ+lesion", "lesion"]
    one = measured(of(scans, regions=[[1, 2]], out_channels=1))
    assert one["label_names"] == one["channel_names"] == ["organ+lesion"]
    (scans / "dataset.json").unlink()
    parts = of(scans, regions=[[1, 2], [2]])
    assert measured(parts)["label_names"] == ["1+2", "2"]
    assert measured(parts, label_names=["all", "core"])["channel_names"] == ["all", "core"]
    with pytest.raises(ConfigError, match="must be 2 names, one for each region"):
        measured(parts, label_names=["none", "all", "core"])


def test_classes_have_a_background_and_no_regions(scans):
    found = measured(of(scans, out_channels=3))
    assert found["regions"] is None
    assert found["label_names"][1:] == found["channel_names"] == ["organ", "lesion"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regions": "auto"}, "regions: 'auto' are those of a dataset.json, and it has none; give them: --regions"),
        (
            {"regions": [[1, 3], [3]]},
            r"regions: \[3\] are no labels of the dataset.json, which names 0 background, 1 org",
        ),
        ({"regions": [[1], [2]], "out_channels": 3}, "out_channels: 3, but there are 2 regions"),
        ({"regions": [[1], [2]], "label_threshold": 1}, "label_threshold: 1 makes one class of a mask, and no regions"),
    ],
)
def test_what_contradicts_is_refused(scans, options, message):
    with pytest.raises(ConfigError, match=message):
        of(scans, **options)


def test_labels_of_no_region_and_a_region_without_pixels_are_listed(scans):
    (scans / "dataset.json").unlink()
    with pytest.raises(DataError) as error:
        of(scans, regions=[[1], [3]])
    assert "holds 2; the labels of the regions [[1], [3]] are wanted, and 0 for what is in none" in str(error.value)
    with pytest.raises(DataError, match=r"holds the region\(s\) 3, so that nothing could be learnt"):
        of(scans, regions=[[1, 2], [3]])


def test_the_label_that_stands_for_a_region_in_a_map_comes_first(scans):
    several: dict[str, Any] = {"background": 0, "organ": [1, 2, 3], "core": 3, "ignore": 4}
    labels(scans, labels=several, regions_class_order=[2, 3])
    about = read_dataset_json(scans)
    assert about.regions == {"organ": [2, 1, 3], "core": [3]}
    assert about.labels == {0: "background", 4: "ignore"}
    labels(scans, labels=several, regions_class_order=[5, 3])
    with pytest.raises(DataError, match="regions_class_order: 5 is no label of organ"):
        read_dataset_json(scans)
    labels(scans, labels=several, regions_class_order=[1])
    with pytest.raises(DataError, match="cannot be read as a dataset"):
        read_dataset_json(scans)


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """Eight volumes of two channels in one file each, as the Decathlon has them."""
    make_organs(tmp_path / "volumes", scans=8, size=16, dims=3)
    for path in sorted((tmp_path / "volumes/images").iterdir()):
        volume = nibabel.load(path)
        voxels = np.asarray(volume.dataobj).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(np.stack([voxels, 1000 - voxels], axis=3), volume.affine), path)
    labels(tmp_path / "volumes", channel_names={"0": "FLAIR", "1": "T1w"})
    return tmp_path / "volumes"


def test_the_channels_of_a_4d_volume_are_those_of_the_dataset_json(volumes):
    with pytest.raises(
        ConfigError, match=r"in_channels: 1, but the dataset.json names 2 \(FLAIR, T1w\); use --in_chan"
    ):
        of(volumes, spatial_dims=3, out_channels=3)
    parts = of(volumes, spatial_dims=3, out_channels=3, channels=2)
    assert sum(map(len, parts.values())) == 8
    auto = {"spacing": "auto", "modality": "auto", "ct_values": "auto", "label_names": "auto"}
    found = measured_settings(parts, 3, 2, **auto)
    assert found["spacing"] == [1.0, 1.0, 2.0]
    assert found["modality"] == "mri"


def test_without_a_dataset_json_the_fourth_axis_must_be_in_channels(volumes):
    (volumes / "dataset.json").unlink()
    assert len(of(volumes, spatial_dims=3, out_channels=3, channels=2)["train"]) == 5
    for channels, message in (
        (1, "is 4D (16, 16, 8, 2); one 3D volume is wanted, so split the series first"),
        (3, "is 4D (16, 16, 8, 2), 2 channel(s); in_channels is 3"),
    ):
        with pytest.raises(DataError) as error:
            of(volumes, spatial_dims=3, out_channels=3, channels=channels)
        assert message in str(error.value)
        assert "8 bad files" in str(error.value)
