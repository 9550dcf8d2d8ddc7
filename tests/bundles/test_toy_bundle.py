"""A new bundle needs its own folder only: the toy bundle is what docs/add-a-bundle.md lists, and does all of it."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image

from medbundles.preflight.command_line import readable
from medbundles.preflight.schema import SHARED, read_settings
from tests.bundles.ladder import newest
from tools.phantoms.slices import make_phantoms
from tools.settings import settings

TOY = Path(__file__).parent / "toy"
PAGE = Path(__file__).parents[2] / "docs/add-a-bundle.md"
TINY = {
    "image_size": 32, "features": [4] * 6, "batch_size": 4, "publish": False, "num_workers": 0, "device": "cpu",
    "tensorboard": False, "scheduler#name": "constant",
}  # fmt: skip
OWN = {"dataset_dir", "features", "loss#lambda_dice", "loss#lambda_ce", "input"}  # settings that no other bundle has


def workflow(names: list[str], **options: Any) -> ConfigWorkflow:
    """An initialised workflow of the toy's config files, or of files elsewhere."""
    files = [name if "/" in name else str(TOY / f"configs/{name}.json") for name in names]
    kind = "infer" if {"evaluate", "inference"} & set(names) else "train"
    flow = ConfigWorkflow(
        files, meta_file=str(TOY / "configs/metadata.json"), logging_file=False, workflow_type=kind,
        bundle_root=str(TOY), **options,
    )  # fmt: skip
    flow.initialize()
    return flow


def train(data: Path, root: Path, **options: Any) -> Path:
    """Run a training; gives its folder."""
    flow = workflow(["train"], dataset_dir=str(data), output_dir=str(root), **{**TINY, **options})
    flow.run()
    return flow.parser.get_parsed_content("run_dir").path


@pytest.fixture(autouse=True)
def plain_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["test"])  # the preflight looks at it


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "data"
    make_phantoms(folder, patients=(4, 3, 3), slices=2, size=64, pictures=(0, 0, 0))
    return folder


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a run of two epochs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["test"])
        yield train(data, tmp_path_factory.mktemp("runs"), epochs=2)


def own_files() -> list[Path]:
    made = {"models", "runs", "data"}
    return [path for path in TOY.rglob("*") if path.is_file() and path.relative_to(TOY).parts[0] not in made]


def test_the_page_lists_every_file_with_its_lines():
    listed = {name: int(lines) for name, lines in re.findall(r"^\| `([\w./]+)` \| (\d+) \|", PAGE.read_text(), re.M)}
    there = {path.relative_to(TOY).as_posix(): len(path.read_text().splitlines()) for path in own_files()}
    assert there == listed


def test_it_has_no_code_and_little_json():
    assert [path for path in own_files() if path.suffix == ".py"] == []
    assert sum(len(path.read_text().splitlines()) for path in own_files() if path.suffix == ".json") <= 900


def test_its_schema_copies_nothing_that_bundles_share():
    content = json.loads((TOY / "configs/schema.json").read_text())
    own = {}

    def walk(properties: dict[str, Any], prefix: str = "") -> None:
        for name, schema in properties.items():
            if "properties" in schema:
                walk(schema["properties"], f"{prefix}{name}#")
            elif not schema.get("$ref", "").startswith(SHARED.name):
                own[prefix + name] = schema

    walk(content["properties"])
    assert set(own) == OWN


def test_every_setting_is_in_a_config_and_in_the_docs():
    there: set[str] = set()
    for name in ("train", "inference"):
        parser = workflow([name]).parser
        there |= {
            s.id for s in read_settings(TOY / "configs/schema.json") if parser.get(s.key, default=None) is not None
        }
    nothing = {"init_from", "resume_from", "dicom_mapping"}  # null: none
    assert {s.id for s in read_settings(TOY / "configs/schema.json")} - nothing <= there
    settings(str(TOY), check=True)


@pytest.mark.parametrize(("name", "kind"), [("train", "train"), ("inference", "infer")])
def test_monai_finds_its_properties_and_nothing_is_written(data: Path, tmp_path: Path, name: str, kind: str):
    root = str(tmp_path / "x")
    options = {"dataset_dir": str(data), "output_dir": root, **TINY} if kind == "train" else {"input": str(data)}
    options |= {} if kind == "train" else {"output": root}
    assert workflow([name], **options).check_properties() == []
    assert list(tmp_path.iterdir()) == []


def test_inference_prepares_as_training_does():
    lists = [workflow([name]).parser.get("preprocessing::transforms") for name in ("train", "inference")]
    assert lists[0][1:] == lists[1][1:]
    assert len(lists[0]) > 1


def test_it_trains_and_leaves_a_report_of_masks_alone(trained: Path):
    epochs = json.loads((trained / "metrics/metrics.json").read_text())["epochs"]
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]
    assert {"train_loss", "train_dice", "val_loss", "val_dice", "val_iou", "val_fp_area"} <= set(epochs[0])
    assert all(np.isfinite([epoch["train_loss"], epoch["val_loss"]]).all() for epoch in epochs)
    metrics = json.loads((trained / "metrics/val_metrics.json").read_text())["metrics"]
    assert "dice" in metrics
    assert not {"acc", "auc", "f1"} & set(metrics)
    assert {path.name for path in (trained / "plots").iterdir()} == {"learning_curves.png"}
    assert {path.name for path in (trained / "predictions").iterdir()} == {"predictions.csv", "val_names.json"}


def test_a_resumed_run_is_bit_equal(data: Path, trained: Path, tmp_path: Path):
    first = train(data, tmp_path, epochs=1)
    second = train(data, tmp_path, epochs=2, resume=True)
    assert second == first
    once, twice = (torch.load(run / "checkpoints/last.pt", weights_only=True) for run in (trained, second))
    assert once["epoch"] == twice["epoch"] == 2
    assert once["network"].keys() == twice["network"].keys()
    assert all(torch.equal(value, twice["network"][name]) for name, value in once["network"].items())


def test_it_evaluates_the_test_set(data: Path, trained: Path, tmp_path: Path):
    best = trained / "checkpoints/best.pt"
    places = {"dataset_dir": str(data), "output_dir": str(tmp_path), "checkpoint": str(best)}
    options = {name: value for name, value in TINY.items() if name not in ("image_size", "features")}
    workflow(["train", "evaluate", str(best.with_name("trained.json"))], **options, **places).run()
    metrics = json.loads(newest(tmp_path, "test_metrics.json").read_text())["metrics"]
    with newest(tmp_path, "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    there = [float(row["dice"]) for row in rows if row["dice"] not in ("", "nan")]
    assert metrics["dice"]["value"] == pytest.approx(np.mean(there), abs=1e-4)
    assert not {"acc", "auc", "f1"} & set(metrics)


def test_it_infers_on_new_pictures(data: Path, trained: Path, tmp_path: Path):
    best, out = trained / "checkpoints/best.pt", tmp_path / "out"
    files = ["inference", str(best.with_name("trained.json"))]
    workflow(files, input=str(data / "test/images"), output=str(out), checkpoint=str(best), device="cpu").run()
    pictures = sorted((data / "test/images").rglob("*.png"))
    masks = [out / "masks" / f"{p.parent.name}/{p.stem}_mask.png" for p in pictures]
    for picture, mask in zip(pictures, masks, strict=True):
        values = np.asarray(Image.open(mask))
        assert values.shape == np.asarray(Image.open(picture)).shape[:2]
        assert set(np.unique(values)) <= {0, 255}
    with (out / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(pictures)
    assert {row.get("class", "") for row in rows} == {""}


def test_inference_without_the_way_back_to_the_picture_is_refused(data: Path, trained: Path, tmp_path: Path):
    best, size = trained / "checkpoints/best.pt", [TINY["image_size"]] * 2
    files = ["inference", str(best.with_name("trained.json"))]
    steps = [
        {"_target_": "medbundles.transforms.LoadInferenceSlice", "channels": 1},
        {"_target_": "Resized", "keys": "image", "spatial_size": size},
    ]
    flow = workflow(
        files, input=str(data / "test/images"), output=str(tmp_path / "out"), checkpoint=str(best), device="cpu",
        **{"preprocessing#transforms": steps},
    )  # fmt: skip
    with pytest.raises(Exception) as error:  # noqa: PT011  # MONAI wraps what its components raise
        flow.run()
    assert "its last step must be medbundles.transforms.ResizeSquare" in readable(error.value)
    assert not (tmp_path / "out").exists()


def test_it_infers_on_a_volume(data: Path, trained: Path, tmp_path: Path):
    pictures = sorted((data / "test/images").rglob("*.png"))
    volume = np.stack([np.asarray(Image.open(p).convert("L")) for p in pictures], axis=-1)
    path, best, out = tmp_path / "head.nii.gz", trained / "checkpoints/best.pt", tmp_path / "out"
    nibabel.save(nibabel.Nifti1Image(volume.astype(np.float32), np.diag([1.0, 1.0, 5.0, 1.0])), path)
    files = ["inference", str(best.with_name("trained.json"))]
    workflow(files, input=str(path), output=str(out), checkpoint=str(best), device="cpu").run()
    mask = nibabel.load(out / "masks/head_mask.nii.gz")
    assert mask.shape == volume.shape
    assert mask.header.get_zooms() == (1, 1, 5)
    [row] = json.loads((out / "predictions.json").read_text())["results"]
    assert row["mask_area"] == pytest.approx(5 * np.asarray(mask.dataobj).sum())
    assert [part["slice"] for part in row["slices"]] == list(range(len(pictures)))
    assert "prob" not in row
    assert "class" not in row
