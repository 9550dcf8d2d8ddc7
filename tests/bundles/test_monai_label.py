"""MONAI Label's own BundleInferTask, on an export, gives what our inference gives."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from monai.bundle import ConfigParser
from PIL import Image as Picture

from tests.bundles.host_packages import host
from tests.bundles.test_monai_deploy import SIZE, export_of, ours, picture, volume  # noqa: F401

HEAVY = (
    *("pydantic", "pydantic_settings", "itk", "nrrd", "skimage", "shapely", "torchvision", "expiring_dict"),
    *("cachetools", "requests", "cv2"),
)


@pytest.fixture
def label(monkeypatch) -> Any:
    """The module of the task."""
    return host("monailabel.tasks.infer.bundle", "monailabel", HEAVY, monkeypatch)


def studio(export: Path, root: Path) -> Path:
    """A copy of an export for MONAI Label, which reads inference.json alone: as docs/hosts.md says it."""
    folder = Path(shutil.copytree(export, root / export.name))
    configs = [str(folder / name) for name in ("configs/inference.json", "models/trained.json", "configs/deploy.json")]
    parser = ConfigParser()
    parser.read_config(configs)
    ConfigParser.export_config_file(parser.config, configs[0], indent=4)
    return folder


def labelled(label: Any, folder: Path, image: Path) -> Any:
    """What the host would write of an image: it is taken before the writer, which needs ITK."""
    task = label.BundleInferTask(str(folder), {})
    assert task.is_valid()
    file, result = task({"image": str(image), "device": "cpu", "model": folder.name, "skip_writer": True})
    assert file is None
    return result


@pytest.mark.parametrize("kind", ["brain", "medical"])
def test_a_picture(kind, label, export_of, tmp_path):  # noqa: F811
    picture(tmp_path / "one.png", (40, 52))
    _, results = ours(export_of(kind), tmp_path / "one.png", tmp_path / "out")
    written = np.asarray(Picture.open(results / "masks/one_mask.png"))
    assert written.any()
    found = labelled(label, studio(export_of(kind), tmp_path), tmp_path / "one.png")["pred"]
    assert np.array_equal(np.asarray(found).T, written // (255 if kind == "brain" else 1))  # (W, H), as MONAI reads it


@pytest.mark.parametrize("kind", ["brain", "medical 3D"])
def test_a_volume(kind, label, export_of, tmp_path):  # noqa: F811
    file = tmp_path / "one.nii.gz"
    volume(file, SIZE[kind])
    _, results = ours(export_of(kind), file, tmp_path / "out")
    written = nibabel.load(results / "masks/one_mask.nii.gz")
    assert np.asarray(written.dataobj).any()
    result = labelled(label, studio(export_of(kind), tmp_path), file)
    assert np.array_equal(np.asarray(result["pred"]), np.asarray(written.dataobj))
    assert np.allclose(result["pred_meta_dict"]["affine"], written.affine)
