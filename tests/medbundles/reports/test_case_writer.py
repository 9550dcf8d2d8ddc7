"""Inference on whole volumes end to end: tables and pictures, also after an error and a second start."""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose, Spacingd
from PIL import Image
from torch import nn

from medbundles.data import InputBatches, InputDataset, SeededLoader, inference_cases
from medbundles.errors import ConfigError, DataError
from medbundles.handlers import WeightsCheckpointLoader
from medbundles.inferers import ReadableInputs
from medbundles.networks import GradingResNet
from medbundles.reports import CaseWriter, GradCam
from medbundles.reports.planes import on_black
from medbundles.transforms import CropToHead, HeadNormalise, LoadVolume, MarkOutside, Predictions, ResizeVolume

FILES = {"predictions.csv", "predictions.json"}


class Bright(nn.Module):
    """High grade is what has bright voxels; gives one plain tensor."""

    def __init__(self, classes: int = 2):
        super().__init__()
        self.layer, self.classes = nn.AvgPool3d(2), classes

    def forward(self, x):
        score = 1000 * (8 * (self.layer(x)[:, :1] - 3)).sigmoid().mean(dim=(1, 2, 3, 4)) - 1
        return torch.stack([-score, score, *([-score] * (self.classes - 2))], dim=1)


def infer(inputs, output, network=None, existing="overwrite", grad_cam="layer", modality="flair", **options):
    network = network or Bright()
    items = inference_cases(inputs, modality, output=output, existing=existing)
    spacing = Spacingd(keys="image", pixdim=[1.0, 1.0, 1.0], mode="bilinear")
    load = MarkOutside(LoadVolume(), options.pop("training_images", []))
    pre = Compose([load, spacing, HeadNormalise(), CropToHead(), ResizeVolume(32)])
    predictions = Predictions(class_threshold=options.pop("class_threshold", 0.5))
    writer = CaseWriter(
        output, predictions, ["LGG", "HGG"], options.pop("checkpoint", "models/model.pt"),
        grad_cam=GradCam(network, grad_cam) if grad_cam else None, existing=existing, **options,
    )  # fmt: skip
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=SeededLoader(InputDataset(items, pre), InputBatches(items, 2), num_workers=0),
        network=network,
        iteration_update=ReadableInputs(),
        postprocessing=predictions,
        val_handlers=[WeightsCheckpointLoader(None, {}), writer],
        decollate=False,
    ).run()
    return json.loads((output / "predictions.json").read_text())


def head(path: Path, lesion: bool, seed: int = 0, brightness: float = 80) -> Path:
    """A textured ball on black, with a bright cube in it at the patient's right, behind and above."""
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in (40, 44, 36)], indexing="ij")
    inside = sum((axis / 0.8) ** 2 for axis in axes) < 1
    data = inside * (brightness + 20 * np.random.default_rng(seed).random(inside.shape))
    if lesion:
        data[26:32, 10:16, 22:28] = 400
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(data.astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0])), path)
    return path


@pytest.fixture
def cases(tmp_path):
    for i in range(5):
        head(tmp_path / f"in/p{i}/p{i}_flair.nii.gz", i % 2 == 0, i)
    return tmp_path / "in"


def test_tables_and_pictures(cases, tmp_path):
    output = tmp_path / "out"
    content = infer(cases, output)
    files = {p.relative_to(output).as_posix() for p in output.rglob("*") if p.is_file()}
    assert files == FILES | {f"gradcam/p{i}.jpg" for i in range(5)}
    head_keys = ("checkpoint", "class_names", "class_threshold")
    assert [content[key] for key in head_keys] == ["models/model.pt", ["LGG", "HGG"], 0.5]
    rows = content["results"]
    assert [row["grade"] for row in rows] == ["HGG", "LGG", "HGG", "LGG", "HGG"]
    assert rows[0]["file"] == str(cases / "p0/p0_flair.nii.gz")
    assert (rows[0]["name"], rows[0]["patient"], rows[0]["grad_cam"]) == ("p0", "p0", "gradcam/p0.jpg")
    lines = list(csv.DictReader((output / "predictions.csv").open()))
    assert list(lines[0]) == [
        "file", "name", "grade", "prob_LGG", "prob_HGG", "class_threshold", "checkpoint", "grad_cam",
        "outside",
    ]  # fmt: skip
    for line, row in zip(lines, rows, strict=True):
        assert [float(line["prob_LGG"]), float(line["prob_HGG"])] == pytest.approx(row["prob"], abs=1e-6)
        assert sum(row["prob"]) == pytest.approx(1)
        assert line["grade"] == row["grade"] == ("HGG" if row["prob"][1] >= 0.5 else "LGG")
    assert Image.open(output / "gradcam/p0.jpg").size[0] > 1000


def test_an_input_unlike_the_trainings_images_says_so_in_its_row(cases, tmp_path, caplog):
    head(cases / "hot/hot_flair.nii.gz", lesion=False, brightness=1000)
    usual = [["intensity", 0.0, 110.0]]
    with caplog.at_level(logging.WARNING, "medbundles"):
        rows = infer(cases, tmp_path / "out", grad_cam=None, training_images=usual)["results"]
    assert (
        f"1 of 6 inputs are unlike the images of the training, so trust the results less: hot ({rows[0]['outside']}"
        in (caplog.text)
    )
    assert [row["name"] for row in rows if row["outside"]] == ["hot"]
    assert "intensity" in rows[0]["outside"]
    assert next(csv.DictReader((tmp_path / "out/predictions.csv").open()))["outside"] == rows[0]["outside"]


def test_the_heat_is_where_the_bright_cube_is(cases, tmp_path, monkeypatch):
    shown = {}

    def keep(image, heat, path, caption):
        shown[path.stem] = (image, heat, caption)

    monkeypatch.setattr("medbundles.reports.case_writer.three_planes", keep)
    infer(cases, tmp_path / "out")
    image, heat, caption = shown["p0"]
    hottest = np.array(np.unravel_index(heat.argmax(), heat.shape))
    brightest = np.argwhere(image > 4).mean(axis=0)
    assert image.shape == heat.shape == (32, 32, 32)
    assert np.abs(hottest - brightest).max() <= 3
    assert caption.startswith("p0: HGG (LGG 0.")
    assert "what speaks for 'LGG'" in shown["p1"][2]  # each case for its own grade


def test_a_threshold_decides_the_grade(cases, tmp_path):
    probs = [row["prob"][1] for row in infer(cases, tmp_path / "a", grad_cam=None)["results"]]
    threshold = float(np.mean(sorted(probs)[-2:]))  # above all but one
    rows = infer(cases, tmp_path / "b", grad_cam=None, class_threshold=threshold)["results"]
    assert [row["grade"] for row in rows].count("HGG") == 1
    assert not (tmp_path / "b/gradcam").exists()


def test_a_bad_case_is_listed_and_skip_goes_on(cases, tmp_path, caplog):
    broken, output = cases / "p1/p1_flair.nii.gz", tmp_path / "out"
    whole = broken.read_bytes()
    nibabel.save(nibabel.Nifti1Image(np.zeros((40, 44, 36), np.float32), np.eye(4)), broken)  # the header is right
    with pytest.raises(DataError, match=r"1 of 5 inputs have no results:\n  .*p1_flair.nii.gz: the volume is constant"):
        infer(cases, output)
    content = json.loads((output / "predictions.json").read_text())
    assert [row["name"] for row in content["results"]] == ["p0", "p2", "p3", "p4"]
    assert [(row["file"], "constant" in row["reason"]) for row in content["failed"]] == [(str(broken), True)]
    assert len(infer(cases, output, skip_bad_files=True)["failed"]) == 1  # no error
    before = (output / "gradcam/p0.jpg").stat().st_mtime_ns
    broken.write_bytes(whole)
    with pytest.raises(ConfigError, match=r"made with class_threshold 0.5, now it is 0.3"):
        infer(cases, output, existing="skip", class_threshold=0.3)
    with caplog.at_level(logging.INFO, "medbundles"):
        content = infer(cases, output, existing="skip")
    assert "4 inputs have results" in caplog.text
    assert "inputs done: 1 (all: HGG 3, LGG 2)" in caplog.text
    assert content["failed"] == []
    assert [row["name"] for row in content["results"]] == [f"p{i}" for i in range(5)]
    assert (output / "gradcam/p0.jpg").stat().st_mtime_ns == before
    with pytest.raises(DataError, match="already has results of 5 of the 5 inputs"):
        infer(cases, output, existing="error")


def test_a_picture_that_cannot_be_written_ends_the_run_and_leaves_no_row(cases, tmp_path, monkeypatch):
    def full(image, heat, path, caption):
        if path.stem == "p1":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("medbundles.reports.case_writer.three_planes", full)
    with pytest.raises(OSError, match="No space left"):
        infer(cases, tmp_path / "out")
    rows = json.loads((tmp_path / "out/predictions.json").read_text())["results"]
    assert {"p0"} <= {row["name"] for row in rows} <= {"p0", "p2", "p3", "p4"}  # as far as it had come


def test_other_weights_under_the_same_name_are_refused(cases, tmp_path):
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"one")
    infer(cases, tmp_path / "out", checkpoint=weights, grad_cam=None)
    infer(cases, tmp_path / "out", checkpoint=weights, grad_cam=None, existing="skip")
    weights.write_bytes(b"two")  # told even where no case is left to do
    with pytest.raises(ConfigError, match="made with checkpoint_id 'sha256:"):
        infer(cases, tmp_path / "out", checkpoint=weights, grad_cam=None, existing="skip")


def test_networks_that_do_not_fit_or_give_no_number(cases, tmp_path):
    with pytest.raises(ConfigError, match="class_names has 2 names, the network gives 3 classes"):
        infer(cases, tmp_path / "out", Bright(3))
    network = GradingResNet(depth=10)
    network.head.weight.data.fill_(torch.nan)
    with pytest.raises(DataError, match=r"5 of 5 inputs have no results:\n.*: the network gives no number for it"):
        infer(cases, tmp_path / "out", network, grad_cam="backbone.layer2")


def test_real_cases(real_data, tmp_path):
    torch.manual_seed(0)
    network = GradingResNet(depth=10)
    for folder in ("brats2018", "tcga_lgg"):
        content = infer(real_data / folder, tmp_path / folder, network, grad_cam="backbone.layer2")
        assert len(content["results"]) == 1
        assert (tmp_path / folder / content["results"][0]["grad_cam"]).is_file()
    network = GradingResNet(depth=10, in_channels=2)
    infer(real_data / "tcga_lgg", tmp_path / "two", network, grad_cam=None, modality=["flair", "t1ce"])


def test_what_is_shown_around_the_head_is_black_and_the_head_keeps_its_medians():
    x, y, z = np.meshgrid(*[np.arange(90) - 44.5] * 3, indexing="ij")
    inside = x**2 + y**2 + z**2 < 30**2
    head = np.where(inside, np.random.default_rng(0).integers(-2, 4, inside.shape), 0).astype(np.float32)
    resize = ResizeVolume(30)
    small = resize({"image": head[None]})["image"][0].numpy()
    small[14:16, 14:16, 14:16] = 0  # medians in the middle of the head
    shown = on_black(small)
    part = resize({"image": inside[None].astype(np.float32)})["image"][0].numpy()  # of the head, in each voxel
    assert (small[part < 0.02] != small.min()).all()
    assert (shown[part < 0.02] == small.min()).all()
    np.testing.assert_array_equal(shown[part > 0.99], small[part > 0.99])
