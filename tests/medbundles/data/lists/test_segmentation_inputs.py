from __future__ import annotations

from pathlib import Path

import pytest

from medbundles.data import segmentation_inputs
from medbundles.errors import DataError
from tools.phantoms.organs import make_organs


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    make_organs(tmp_path / "made", scans=3, size=16, dims=3)
    return (tmp_path / "made/images").rename(tmp_path / "volumes")


def test_each_file_is_an_input(volumes):
    items = segmentation_inputs(volumes, 3)
    assert [item["name"] for item in items] == ["scan_001", "scan_002", "scan_003"]
    assert [item["name"] for item in segmentation_inputs(volumes / "scan_002.nii.gz", 3)] == ["scan_002"]


def test_files_of_channels_are_one_input(volumes):
    for path in sorted(volumes.iterdir()):
        for channel in (0, 1):
            path.with_name(f"{path.name.removesuffix('.nii.gz')}_{channel:04d}.nii.gz").write_bytes(path.read_bytes())
        path.unlink()
    items = segmentation_inputs(volumes, 3, 2)
    assert [(item["name"], len(item["image"])) for item in items] == [(f"scan_00{n}", 2) for n in (1, 2, 3)]
    (volumes / "scan_002_0001.nii.gz").unlink()
    *others, bad = segmentation_inputs(volumes, 3, 2)
    assert [item["name"] for item in others] == ["scan_001", "scan_003"]
    assert bad["image"].endswith("scan_002_0001.nii.gz")
    assert bad["failed"].startswith("file not found")
    [one] = segmentation_inputs(volumes / "scan_003_0000.nii.gz", 3, 2)
    assert [Path(path).name for path in one["image"]] == ["scan_003_0000.nii.gz", "scan_003_0001.nii.gz"]


def test_volumes_are_no_pictures(volumes):
    with pytest.raises(DataError, match=r"Volumes need --spatial_dims 3"):
        segmentation_inputs(volumes, 2)
