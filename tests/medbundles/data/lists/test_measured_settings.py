"""What is auto is measured on the training part, and what it makes of volumes is said."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from medbundles.data import measured_settings, segmentation_parts
from medbundles.data.lists.measured_settings import _modality
from medbundles.errors import ConfigError
from tools.phantoms.organs import SPACING

MEASURED = {"spacing": "auto", "modality": "auto", "ct_values": "auto", "label_names": "auto"}


def of(folder: Path, **options: Any) -> Any:
    return segmentation_parts(folder, **{"out_channels": 3, **options})


@pytest.mark.parametrize(
    ("named", "dims", "channels", "modality"),
    [(["R", "G", "B"], 2, 3, "rgb"), (["X-ray"], 2, 1, "xray"), (["CT"], 2, 1, "ct"), (["T1", "T2"], 3, 2, "mri")],
)
def test_the_names_of_channels_say_the_modality(named, dims, channels, modality):
    assert _modality([], named, dims, channels) == modality


def test_settings_that_are_auto_are_those_of_the_training_part(scans, volumes):
    found = measured_settings(of(scans), 2, 1, **MEASURED)
    assert found == {
        "spacing": None,
        "modality": "xray",
        "ct_values": None,
        "label_names": ["background", "organ", "lesion"],
        "channel_names": ["organ", "lesion"],
        "regions": None,
    }
    parts = of(volumes, spatial_dims=3)
    for item in (*parts["val"], *parts["test"]):  # has no say
        volume = nibabel.load(item["image"])
        nibabel.save(nibabel.Nifti1Image(np.asarray(volume.dataobj), 5 * np.eye(4)), item["image"])
    assert measured_settings(parts, 3, 1, **MEASURED)["spacing"] == [*SPACING]
    given = MEASURED | {"spacing": [1.0, 1.0, 1.0], "modality": "mri"}
    assert measured_settings(parts, 3, 1, **given)["spacing"] == [1.0, 1.0, 1.0]
    with pytest.raises(ConfigError, match="must be 3 names"):
        measured_settings(parts, 3, 1, **MEASURED | {"label_names": ["a", "b"]})


def test_volumes_that_hold_air_are_ct(volumes):
    about = json.loads((volumes / "dataset.json").read_text())
    del about["channel_names"]
    (volumes / "dataset.json").write_text(json.dumps(about))
    assert measured_settings(of(volumes, spatial_dims=3), 3, 1, **MEASURED)["modality"] == "mri"
    for path in (volumes / "images").iterdir():
        volume = nibabel.load(path)
        voxels = np.asarray(volume.dataobj, dtype=np.float32) * 4 - 1000
        nibabel.save(nibabel.Nifti1Image(voxels, volume.affine), path)
    parts = of(volumes, spatial_dims=3)
    found = measured_settings(parts, 3, 1, **MEASURED)
    assert found["modality"] == "ct"
    inside = [
        np.asarray(nibabel.load(item["image"]).dataobj)[np.asarray(nibabel.load(item["mask"]).dataobj) > 0]
        for item in parts["train"]
    ]
    voxels = np.concatenate(inside)
    expected = [*np.percentile(voxels, [0.5, 99.5]), voxels.mean(), voxels.std()]
    assert found["ct_values"] == pytest.approx(expected, abs=1e-2)


def test_it_is_said_how_large_volumes_are_then_and_how_little_of_a_patch_they_fill(volumes, caplog):
    parts = of(volumes, spatial_dims=3)
    shapes = [nibabel.load(item["image"]).shape for item in parts["train"]]
    x, y, z = np.median(shapes, axis=0).astype(int).tolist()
    thick = [2.0, 2.0, SPACING[2] * z / 2]  # two slices of each volume
    with caplog.at_level(logging.INFO, logger="medbundles"):
        measured_settings(parts, 3, 1, window=[16, 16, 16], **MEASURED | {"spacing": thick})
        assert f"have then {round(x * SPACING[0] / 2)} x" in caplog.text
        assert "x 2 voxels (median)" in caplog.text
        assert caplog.records[-1].levelname == "WARNING"
        assert '--image_size "[' in caplog.records[-1].message
        assert caplog.records[-1].message.count(",4]") == 1
        caplog.clear()
        measured_settings(parts, 3, 1, window=[8, 8, 8], **MEASURED | {"spacing": False})
    assert f"stay as they are, and have {x} x {y} x {z} voxels" in caplog.text
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
