"""Inference of classes end to end: label maps on the input's grid, a table with names, also after a second start."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose
from PIL import Image

from medbundles.data import InputBatches, InputDataset, SeededLoader, segmentation_inputs
from medbundles.errors import DataError
from medbundles.handlers import WeightsCheckpointLoader
from medbundles.inferers import ReadableInputs, WindowInferer
from medbundles.reports import LabelMapWriter
from medbundles.transforms import (
    LoadLabelled,
    MarkOutside,
    ModalityIntensities,
    Predictions,
    PrepareSegmentationBatch,
    ToGrid,
)

NAMES = ["nothing", "gray", "white"]


class ByLevel(torch.nn.Module):
    """Classes by the gray level: black, gray, white."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([-((x[:, :1] - level) ** 2) for level in (0.0, 0.5, 1.0)], dim=1)


class AboveLevel(torch.nn.Module):
    """Two regions by the gray level: all that is gray or white, and what is white."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x - 0.25, x - 0.75], dim=1)


def infer(inputs: Path, output: Path, dims: int = 2, **options: Any) -> None:
    existing, channels = options.pop("existing", "overwrite"), options.pop("channels", 1)
    items = segmentation_inputs(inputs, dims, channels, output=output, existing=existing)
    grid = ToGrid(size=48) if dims == 2 else ToGrid(spacing=[2.0, 2.0, 2.0])
    steps = [MarkOutside(LoadLabelled(dims, channels), options.pop("ranges", [])), ModalityIntensities("xray"), grid]
    regions = options.get("regions")
    predictions = Predictions(mask_rule="regions" if regions else "classes")
    about = {"label_names": NAMES, "out_channels": 3} if not regions else {"label_names": ["all", "core"]}
    writer = LabelMapWriter(output, predictions, existing=existing, checkpoint="models/model.pt", **about, **options)
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=SeededLoader(InputDataset(items, Compose(steps)), InputBatches(items, 1), num_workers=0),
        network=AboveLevel() if regions else ByLevel(),
        inferer=WindowInferer("fp32"),
        prepare_batch=PrepareSegmentationBatch(),
        iteration_update=ReadableInputs(),
        postprocessing=predictions,
        val_handlers=[WeightsCheckpointLoader(None, {}), writer],
        decollate=False,
    ).run()


def levels(*shape: int) -> np.ndarray:
    """Boxes of gray and white on black, uint8."""
    image = np.zeros(shape, np.uint8)
    image[tuple(slice(side // 8, side // 2) for side in shape)] = 127
    image[tuple(slice(side // 2, 7 * side // 8) for side in shape)] = 255
    return image


def expected(image: np.ndarray) -> np.ndarray:
    return np.digitize(image, [64, 192])


def table(output: Path) -> list[dict[str, str]]:
    with (output / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def test_pictures_of_any_size_get_label_maps_as_large(tmp_path):
    shapes = {"a": (96, 64), "b/c": (48, 80)}
    for name, shape in shapes.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(levels(*shape)).save(tmp_path / f"in/{name}.png")
    infer(tmp_path / "in", tmp_path / "out", ranges=[["size", 60, 100]])
    rows = table(tmp_path / "out")
    assert [row["name"] for row in rows] == ["a", "b/c"]
    for row, shape in zip(rows, shapes.values(), strict=True):
        labels = np.asarray(Image.open(tmp_path / "out" / row["mask"]))
        wanted = expected(levels(*shape))
        assert labels.shape == shape
        assert labels.dtype == np.uint8
        assert np.mean(labels == wanted) > 0.93  # to half of the size and back
        assert [float(row[f"area_{name}"]) for name in NAMES[1:]] == [(labels == k).sum() for k in (1, 2)]
        assert row["area_unit"] == "pixels"
        assert (tmp_path / "out" / row["overlay"]).is_file()
    about = json.loads((tmp_path / "out/predictions.json").read_text())
    assert about["labels"] == {"0": "nothing", "1": "gray", "2": "white"}
    assert "class_threshold" not in about
    assert [bool(row["outside"]) for row in rows] == [False, False]


def test_a_volume_gets_a_label_map_with_its_affine(tmp_path):
    affine = np.array([[0, -1.5, 0, 9], [1, 0, 0, 3], [0, 0, 3, -7], [0, 0, 0, 1]], dtype=float)
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(levels(24, 32, 16), affine), tmp_path / "in/v.nii.gz")
    infer(tmp_path / "in", tmp_path / "out", dims=3)
    found = nibabel.load(tmp_path / "out/masks/v_mask.nii.gz")
    assert np.allclose(found.affine, affine)
    assert found.get_data_dtype() == np.uint8
    labels = np.asarray(found.dataobj)
    assert np.mean(labels == expected(levels(24, 32, 16))) > 0.9
    [row] = table(tmp_path / "out")
    assert float(row["area_white"]) == pytest.approx((labels == 2).sum() * 4.5)
    assert row["area_unit"] == "mm3"


def test_a_plane_in_a_nifti_file_is_a_picture(tmp_path):
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(levels(64, 48)[..., None], np.eye(4)), tmp_path / "in/p.nii.gz")
    infer(tmp_path / "in", tmp_path / "out")
    labels = np.asarray(nibabel.load(tmp_path / "out/masks/p_mask.nii.gz").dataobj)
    assert labels.shape == (64, 48, 1)
    assert np.mean(labels[..., 0] == expected(levels(64, 48))) > 0.93


def test_a_picture_says_the_size_of_each_class(tmp_path, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr("medbundles.reports.label_map_writer.overlay", lambda *args, caption, **_: said.append(caption))
    Image.fromarray(levels(48, 48)).save(tmp_path / "a.png")
    infer(tmp_path / "a.png", tmp_path / "out")
    assert said == ["a\ngray: 324 pixels, white: 324 pixels"]


def test_only_the_first_inputs_get_pictures_and_the_rest_goes_on_later(tmp_path):
    (tmp_path / "in").mkdir()
    for name in "abc":
        Image.fromarray(levels(48, 48)).save(tmp_path / f"in/{name}.png")
    (tmp_path / "in/d.png").write_bytes((tmp_path / "in/c.png").read_bytes()[:-60])
    with pytest.raises(DataError, match=r"d.png"):
        infer(tmp_path / "in", tmp_path / "out", max_pictures=1)
    assert [bool(row["overlay"]) for row in table(tmp_path / "out")] == [True, False, False]
    (tmp_path / "in/d.png").unlink()
    Image.fromarray(levels(48, 40)).save(tmp_path / "in/e.png")
    before = (tmp_path / "out/masks/a_mask.png").stat().st_mtime_ns
    infer(tmp_path / "in", tmp_path / "out", existing="skip")
    assert [row["name"] for row in table(tmp_path / "out")] == ["a", "b", "c", "e"]
    assert (tmp_path / "out/masks/a_mask.png").stat().st_mtime_ns == before


def test_probabilities_are_written_where_wanted(tmp_path):
    (tmp_path / "in2").mkdir()
    (tmp_path / "in3").mkdir()
    Image.fromarray(levels(48, 40)).save(tmp_path / "in2/a.png")
    nibabel.save(nibabel.Nifti1Image(levels(24, 32, 16), np.diag([2.0, 2.0, 3.0, 1.0])), tmp_path / "in3/v.nii.gz")
    infer(tmp_path / "in2", tmp_path / "out2", probabilities=True)
    infer(tmp_path / "in3", tmp_path / "out3", dims=3, probabilities=True)
    prob = np.load(tmp_path / "out2/probabilities/a.npy")
    labels = np.asarray(Image.open(tmp_path / "out2/masks/a_mask.png"))
    assert prob.shape == (2, 48, 40)
    assert prob.dtype == np.float32
    assert (np.concatenate([1 - prob.sum(0, keepdims=True), prob]).argmax(0) == labels).mean() > 0.999
    names = sorted(path.name for path in (tmp_path / "out3/probabilities").iterdir())
    assert names == ["v_1.nii.gz", "v_2.nii.gz"]  # no names of classes: they may come with a stranger's weights
    volume = nibabel.load(tmp_path / "out3/probabilities/v_2.nii.gz")
    assert volume.affine.diagonal().tolist() == [2.0, 2.0, 3.0, 1.0]
    assert 0 <= volume.get_fdata().min() <= volume.get_fdata().max() <= 1


@pytest.mark.parametrize(("mm", "times"), [(2.0, 1), (1.0, 2)])
def test_what_the_engine_made_on_the_input_s_own_voxels_is_not_made_again(mm, times, tmp_path, monkeypatch):
    made, probabilities = [], Predictions._mask_probabilities
    monkeypatch.setattr(Predictions, "_mask_probabilities", lambda *args: made.append(1) or probabilities(*args))
    (tmp_path / "in").mkdir()
    image = levels(16, 16, 12)
    nibabel.save(nibabel.Nifti1Image(image, np.diag([mm, mm, mm, 1])), tmp_path / "in/a.nii.gz")
    infer(tmp_path / "in", tmp_path / "out", dims=3)
    assert len(made) == times
    if times == 1:
        found = np.asarray(nibabel.load(tmp_path / "out/masks/a_mask.nii.gz").dataobj)
        assert np.array_equal(found, expected(image))


def test_regions_become_one_label_map_in_the_order_of_their_labels(tmp_path):
    image = levels(48, 48)
    (tmp_path / "in").mkdir()
    Image.fromarray(image).save(tmp_path / "in/a.png")
    infer(tmp_path / "in", tmp_path / "out", regions=[[3, 1], [1]], probabilities=True)
    made = np.asarray(Image.open(tmp_path / "out/masks/a_mask.png"))
    assert (made == np.array([0, 3, 1])[expected(image)]).all()
    (row,) = table(tmp_path / "out")
    pixels = [int((expected(image) >= level).sum()) for level in (1, 2)]
    assert [float(row["area_all"]), float(row["area_core"])] == pixels  # of the regions, which overlap
    about = json.loads((tmp_path / "out/predictions.json").read_text())
    assert about["labels"] == {"3": "all", "1": "core"}
    assert np.load(tmp_path / "out/probabilities/a.npy").shape == (2, 48, 48)


def test_regions_that_no_label_map_can_hold_are_a_file_each(tmp_path):
    image = levels(16, 16, 8)
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(image, np.diag([2, 2, 2, 1])), tmp_path / "in/a.nii.gz")
    infer(tmp_path / "in", tmp_path / "out", 3, regions=[[1], [1, 2]])
    for number, level in ((1, 1), (2, 2)):
        made = np.asarray(nibabel.load(tmp_path / f"out/masks/a_mask_{number}.nii.gz").dataobj)
        assert made.dtype == np.uint8
        assert (made == (expected(image) >= level)).all()
    about = json.loads((tmp_path / "out/predictions.json").read_text())
    assert about["labels"] == {"1": "all", "2": "core"}
    assert about["results"][0]["mask"] == ["masks/a_mask_1.nii.gz", "masks/a_mask_2.nii.gz"]


def test_a_4d_volume_gets_a_3d_label_map(tmp_path):
    image = levels(16, 16, 8)
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(np.stack([image, image], axis=3), np.diag([2, 2, 2, 1])), tmp_path / "in/a.nii.gz")
    infer(tmp_path / "in", tmp_path / "out", 3, channels=2)
    made = nibabel.load(tmp_path / "out/masks/a_mask.nii.gz")
    assert (np.asarray(made.dataobj) == expected(image)).all()
    assert (tmp_path / "out/overlays/a.jpg").is_file()
