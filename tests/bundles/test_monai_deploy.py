"""MONAI Deploy's own bundle operator, on an export, gives what our inference gives."""

from __future__ import annotations

import json
import shutil
import zipfile
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image as Picture

from tests.bundles.host_packages import host
from tests.bundles.medical_ladder import VOLUMES
from tests.tools.export.made_runs import ALL, OF_MEDICAL, make_run
from tools.cli import main

OPERATOR = "monai.deploy.operators.monai_bundle_inference_operator"
HEAVY = ("holoscan", "typeguard", "colorama", "tritonclient", "google")  # none of it is on the operator's way
KINDS = {**ALL, "medical 3D": VOLUMES}
LPS = np.diag([-1.5, -1.0, 2.0, 1.0])  # not the canonical axes
LPS[:3, 3] = 20, 30, -10
SIZE = {"glioma": (30, 26, 22), "brain": (60, 48, 5), "medical 3D": (20, 18, 12)}


@pytest.fixture
def deploy(monkeypatch) -> Any:
    """The module of the operator."""
    return host(OPERATOR, "monai-deploy-app-sdk", HEAVY, monkeypatch)


@pytest.fixture(scope="module")
def export_of(tmp_path_factory):
    """The unpacked export of a bundle, by its kind; made once."""
    made: dict[str, Path] = {}

    def exported(kind: str) -> Path:
        if kind not in made:
            bundle, root = KINDS[kind], tmp_path_factory.mktemp(kind.replace(" ", "_"))
            measured = OF_MEDICAL | {"modality": "mri", "spacing": [1.5, 1.5, 1.5]} if kind == "medical 3D" else {}
            run = make_run(bundle, root, **{name: value for name, value in measured.items() if name != "ct_values"})
            words = ["--run", str(run), "--output_dir", str(root), "--formats", "zip,ts"]
            assert main(["export", bundle.folder.name, *words]) == 0
            with zipfile.ZipFile(root / f"{bundle.folder.name}.zip") as archive:
                archive.extractall(root / "unpacked")
            made[kind] = root / "unpacked" / bundle.folder.name
        return made[kind]

    return exported


def picture(path: Path, size: tuple[int, int]) -> np.ndarray:
    """A bright head with a lesion on black, 8 bits (H, W), written to a file."""
    rows, columns = (np.linspace(-1, 1, side) for side in size)
    radius = np.hypot(rows[:, None], columns[None])
    grain = np.random.default_rng(1).integers(0, 40, size)
    pixels = np.where(radius < 0.8, 120 + grain, 0) + np.where(
        np.hypot(rows[:, None] - 0.2, columns[None]) < 0.2, 60, 0
    )
    Picture.fromarray(pixels.astype(np.uint8)).save(path)
    return pixels.astype(np.uint8)


def volume(path: Path, size: tuple[int, int, int]) -> np.ndarray:
    """A head (X, Y, Z) as stored in a NIfTI file whose axes are not canonical; its first slice is constant."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in size), indexing="ij")
    grain = np.random.default_rng(2).normal(0, 12, size)
    voxels = np.where(x**2 + y**2 + 0.3 * z**2 < 0.7, 300 + 80 * x + grain, 0).astype(np.float32)
    voxels[..., 0] = 0
    nibabel.save(nibabel.Nifti1Image(voxels, LPS), path)
    return voxels


def as_dicom(deploy: Any, voxels: np.ndarray) -> Any:
    """What DICOMSeriesToVolumeOperator makes of a series: (D, H, W), and where it lies."""
    sides = dict(zip(("row_pixel_spacing", "col_pixel_spacing", "depth_pixel_spacing"), (1.5, 1.0, 2.0), strict=True))
    return deploy.Image(np.swapaxes(voxels, 0, 2), {**sides, "nifti_affine_transform": LPS, "PatientID": "phantom"})


def operated(deploy: Any, path: Path, image: Any, model: Any = None) -> Any:
    """What the operator emits for an image: `compute` as an application calls it."""
    emitted: dict[str, Any] = {}
    mapping = [deploy.IOMapping(label, deploy.Image, deploy.IOType.IN_MEMORY) for label in ("image", "pred")]
    operator = deploy.MonaiBundleInferenceOperator(
        None,
        app_context=SimpleNamespace(models=SimpleNamespace(get=lambda name: model) if model else None),
        input_mapping=mapping[:1],
        output_mapping=mapping[1:],
        bundle_path=path,
        bundle_config_names=deploy.BundleConfigNames(config_names=["inference", "deploy"]),
    )
    given = SimpleNamespace(receive=lambda name: image)
    taken = SimpleNamespace(get=lambda name: None, emit=lambda value, name: emitted.update({name: value}))
    operator.compute(given, taken, None)
    (found,) = emitted.values()
    return found


def ours(folder: Path, image: Path, output: Path) -> tuple[dict[str, Any], Path]:
    """What our inference leaves of an image, in float32 as the operator: the last output, and the folder of results."""
    settings = {"bundle_root": str(folder), "input": str(image), "output": str(output), "amp": False}
    workflow = ConfigWorkflow(
        config_file=str(folder / "configs/inference.json"),
        workflow_type="infer",
        logging_file=False,
        **settings,
    )
    workflow.initialize()
    workflow.run()
    found = dict(workflow.parser.get_parsed_content("evaluator").state.output)
    workflow.finalize()
    return found, output


def far(found: np.ndarray, output: dict[str, Any]) -> float:
    """How far a reconstruction of a picture of 8 bits is from ours, as a share of the range of the network's output."""
    wanted = output["pred"]["reconstruction"][0]
    return float(np.abs(found / 255 - wanted.clamp(0, 1).numpy()).max() / (wanted.max() - wanted.min()))


def forms(deploy: Any, folder: Path) -> dict[str, tuple[Path, Any]]:
    """The forms in which an application gets a bundle: model.ts, the folder, and the folder with model.pt alone."""
    factory = import_module("monai.deploy.core.models.factory").ModelFactory
    script = folder / "models/model.ts"
    model = factory.create(script, "model")
    assert model.path == str(script)
    plain = folder.with_name("without_ts") / folder.name
    if not plain.exists():
        plain.parent.mkdir(exist_ok=True)
        shutil.copytree(folder, plain, ignore=shutil.ignore_patterns("model.ts"))
    return {"model.ts": (script, model), "folder": (folder, None), "model.pt": (plain, None)}


@pytest.mark.parametrize("form", ["model.ts", "folder", "model.pt"])
@pytest.mark.parametrize("kind", ["brain", "medical", "dental"])
def test_a_picture(kind, form, deploy, export_of, tmp_path):
    folder = export_of(kind)
    pixels = picture(tmp_path / "one.png", (40, 52))
    path, model = forms(deploy, folder)[form]
    found = operated(deploy, path, deploy.Image(pixels), model)
    output, results = ours(folder, tmp_path / "one.png", tmp_path / "out")
    if kind == "dental":
        assert found.shape == (1, 40, 52)
        assert far(found, output) <= 1e-6
        written = np.asarray(Picture.open(next(results.glob("reconstructions/**/*.png"))))
        assert np.array_equal(np.rint(found[0]), written)
        return
    written = np.asarray(Picture.open(results / "masks/one_mask.png"))
    assert written.any()
    assert found.asnumpy().dtype == np.uint8
    assert np.array_equal(found.asnumpy(), written // (255 if kind == "brain" else 1))


@pytest.mark.parametrize("form", ["model.ts", "folder", "model.pt"])
@pytest.mark.parametrize("kind", ["brain", "glioma", "medical 3D"])
def test_a_volume(kind, form, deploy, export_of, tmp_path):
    folder = export_of(kind)
    file = tmp_path / "one.nii.gz"
    voxels = volume(file, SIZE[kind])
    path, model = forms(deploy, folder)[form]
    found = operated(deploy, path, as_dicom(deploy, voxels), model)
    output, results = ours(folder, file, tmp_path / "out")
    if kind == "glioma":
        assert np.abs(found - output["pred"]["prob"][0].numpy()).max() <= 1e-6
        return
    written = np.asarray(nibabel.load(results / "masks/one_mask.nii.gz").dataobj)
    assert written.any()
    assert np.array_equal(found.asnumpy(), np.swapaxes(written, 0, 2))
    assert found.metadata()["PatientID"] == "phantom"


def test_a_large_picture_goes_by_windows(deploy, export_of, tmp_path):
    """As in our inference, through encoder and decoder on their own, which model.ts has, too."""
    folder = export_of("dental")
    config = folder / "configs/inference.json"
    before = config.read_text()
    config.write_text(json.dumps(json.loads(before) | {"window_above": 32, "window_size": 16}))
    try:
        pixels = picture(tmp_path / "one.png", (40, 52))
        found = operated(deploy, folder, deploy.Image(pixels))
        output, _ = ours(folder, tmp_path / "one.png", tmp_path / "out")
        assert far(found, output) <= 1e-6
    finally:
        config.write_text(before)
    assert torch.jit.load(folder / "models/model.ts").encode is not None


@pytest.mark.parametrize("name", ALL)
def test_what_an_application_reads(name, deploy):
    """The configs are read as the operator does it, and its rules are met."""
    folder = ALL[name].folder
    parser = deploy.get_bundle_config(str(folder), ["inference", "deploy"])
    for part in ("preprocessing", "postprocessing"):
        steps = parser.get_parsed_content(part)
        left = [type(step).__name__ for step in deploy.filter_compose(steps, deploy.DISALLOW_LOAD_SAVE).transforms]
        assert left
        assert deploy.is_map_compose(steps)
    assert list(parser["_meta_"]["network_data_format"]["outputs"]) == ["pred"]


def test_slices_are_prepared_as_by_our_inference():
    configs = ALL["brain"].folder / "configs"
    inference, overlay = (json.loads((configs / f"{name}.json").read_text()) for name in ("inference", "deploy"))
    steps = overlay["preprocessing"]["transforms"][0]["prepare"]["transforms"]
    assert steps == inference["preprocessing"]["transforms"][1:]
