"""Inference end to end: what lies in the output folder, also after an error and a second start."""

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
from monai.transforms import Compose
from PIL import Image
from torch import nn

from medbundles.data import EpochBatches, SeededDataset, SeededLoader, inference_datalist, read_volume
from medbundles.errors import ConfigError, DataError, MedbundlesError
from medbundles.metrics.volumes import volume_probability
from medbundles.networks import MultitaskUNet
from medbundles.reports import InferenceWriter
from medbundles.reports.grad_cam import GradCam
from medbundles.transforms import (
    CropToHead,
    HeadNormalise,
    LoadInferenceSlice,
    Predictions,
    PrepareMultitaskBatch,
    ResizeSquare,
)


class Bright(nn.Module):
    """Tumour is what is bright; the more of it, the surer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, x):
        logits = 8 * (self.layer(x)[:, :1] - 2)
        score = 100 * logits.sigmoid().mean(dim=(1, 2, 3)) - 1
        return {"seg": logits, "cls": torch.stack([-score, score], dim=1)}


def infer(
    inputs, output, network=None, existing="overwrite", grad_cam=True, size=64, thresholds=(0.5, 0.5),
    rule="foreground", volume_threshold="auto", **options,
):  # fmt: skip
    network = network or Bright()
    items = inference_datalist(inputs, output=output, existing=existing, skip_bad_files=True)
    pre = Compose([LoadInferenceSlice(), HeadNormalise(), CropToHead(), ResizeSquare(size)])
    predictions = Predictions(*thresholds, mask_rule=rule, volume_threshold=volume_threshold)
    layer = "layer" if isinstance(network, Bright) else "encoder.downs.1"
    writer = InferenceWriter(
        output, predictions, ["no", "yes"], "models/model.pt",
        grad_cam=GradCam(network, layer) if grad_cam else None, existing=existing, **options,
    )  # fmt: skip
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=SeededLoader(
            SeededDataset(items, pre, cache="none"), EpochBatches(len(items), 4), num_workers=0
        ),
        network=network,
        prepare_batch=PrepareMultitaskBatch(),
        postprocessing=predictions,
        val_handlers=[writer],
        decollate=False,
    ).run()


def head(size: tuple[int, int], lesion: bool) -> np.ndarray:
    """A textured disc on black, with a bright square in it."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    inside = ((rows / size[0] - 0.5) / 0.4) ** 2 + ((columns / size[1] - 0.5) / 0.4) ** 2 < 1
    image = inside * (80 + 20 * np.random.default_rng(0).random(size))
    if lesion:
        top, left = int(size[0] * 0.4), int(size[1] * 0.6)
        image[top : top + size[0] // 8, left : left + size[1] // 8] = 250
    return image


def test_pictures(tmp_path):
    for name, lesion in (("sub/with", True), ("without", False)):
        path = tmp_path / "in" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(head((120, 200), lesion).astype(np.uint8)).save(path)
    output = tmp_path / "out"
    infer(tmp_path / "in", output)
    files = {p.relative_to(output).as_posix() for p in output.rglob("*") if p.is_file()}
    assert files == {
        "predictions.csv", "predictions.json",
        *(f"{kind}/{name}" for name in ("sub/with.png", "without.png") for kind in ("overlays", "gradcam")),
        "masks/sub/with_mask.png", "masks/without_mask.png",
    }  # fmt: skip
    mask = np.asarray(Image.open(output / "masks/sub/with_mask.png"))
    truth = head((120, 200), True) == 250
    assert mask.shape == (120, 200)
    assert set(np.unique(mask)) == {0, 255}
    assert 2 * ((mask > 0) & truth).sum() / ((mask > 0).sum() + truth.sum()) > 0.8
    assert not np.asarray(Image.open(output / "masks/without_mask.png")).any()
    content = json.loads((output / "predictions.json").read_text())
    rows = {row["name"]: row for row in content["results"]}
    assert content["checkpoint"] == "models/model.pt"
    assert content["mask_threshold"] == 0.5
    assert (rows["sub/with"]["class"], rows["without"]["class"]) == ("yes", "no")
    assert rows["sub/with"]["mask_area"] == (mask > 0).sum()
    assert rows["sub/with"]["mask_area_unit"] == "pixels"
    lines = list(csv.DictReader((output / "predictions.csv").open()))
    assert {line["name"] for line in lines} == set(rows)
    assert float(lines[0]["prob_no"]) + float(lines[0]["prob_yes"]) == pytest.approx(1, abs=1e-5)


class TwoClasses(Bright):
    """The left half of what is bright is class 1, the right half class 2; there is no class of the whole image."""

    def forward(self, x):
        bright, column = x[:, :1] - 2, torch.arange(x.shape[-1]).expand(x[:, :1].shape)
        there = bright > 0
        left = column < ((column * there).sum((1, 2, 3)) / there.sum((1, 2, 3)).clamp(min=1))[:, None, None, None]
        return torch.cat([-bright, torch.where(left, bright, -9), torch.where(left, -9, bright)], dim=1)


def test_of_several_masks_the_class_indices_are_written(tmp_path):
    (tmp_path / "in").mkdir()
    picture = head((120, 120), True)
    Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "in/picture.png")
    make_volume(tmp_path / "in/volume.nii.gz")
    output = tmp_path / "out"
    infer(tmp_path / "in", output, TwoClasses(), grad_cam=False, thresholds=(), rule="classes")
    content = json.loads((output / "predictions.json").read_text())
    rows = {row["name"]: row for row in content["results"]}
    mask = np.asarray(Image.open(output / "masks/picture_mask.png"))
    assert set(np.unique(mask)) == {0, 1, 2}
    assert rows["picture"]["mask_area"] == (mask > 0).sum()
    columns = np.arange(120)[None] * np.ones((120, 1))
    assert columns[mask == 1].max() < columns[mask == 2].min()
    truth = picture == 250
    assert 2 * ((mask > 0) & truth).sum() / ((mask > 0).sum() + truth.sum()) > 0.8
    volume = nibabel.load(output / "masks/volume_mask.nii.gz")
    assert set(np.unique(volume.get_fdata())) == {0, 1, 2}
    assert rows["volume"]["mask_area"] == pytest.approx((volume.get_fdata() > 0).sum() * 3.0)
    assert content["mask_threshold"] is None


def make_volume(path: Path, axes: str = "RAS") -> np.ndarray:
    """9 slices, the first two empty, a lesion in slices 4 to 6; returns the lesion with canonical axes."""
    data, lesion = np.zeros((60, 70, 9)), np.zeros((60, 70, 9), bool)
    for z in range(2, 9):
        data[..., z] = head((60, 70), 4 <= z <= 6)
        lesion[..., z] = data[..., z] == 250
    canonical = nibabel.Nifti1Image(data.astype(np.int16), np.diag([0.5, 2.0, 3.0, 1.0]))
    codes = nibabel.orientations.axcodes2ornt(tuple(axes))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(canonical.as_reoriented(nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), codes)), path)  # fmt: skip
    return lesion


@pytest.mark.parametrize("axes", ["RAS", "PSR", "LPI"])
def test_volume_comes_back_as_a_volume_with_its_affine(tmp_path, axes):
    path = tmp_path / "flair.nii.gz"
    lesion = make_volume(path, axes)
    infer(path, tmp_path / "out")
    source, mask = nibabel.load(path), nibabel.load(tmp_path / "out/masks/flair_mask.nii.gz")
    assert mask.shape == source.shape
    assert np.array_equal(mask.affine, source.affine)
    assert mask.header.get_zooms() == source.header.get_zooms()
    assert mask.get_data_dtype() == np.uint8
    found = read_volume(tmp_path / "out/masks/flair_mask.nii.gz", allow_constant=True)[0] > 0
    assert 2 * (found & lesion).sum() / (found.sum() + lesion.sum()) > 0.8
    row = json.loads((tmp_path / "out/predictions.json").read_text())["results"][0]
    slices = row["slices"]
    assert [part["prob"] is None for part in slices] == [True] * 2 + [False] * 7
    assert [part["class"] for part in slices] == ["", "", "no", "no", "yes", "yes", "yes", "no", "no"]
    known = sorted((part["prob"][1] for part in slices if part["prob"]), reverse=True)
    assert row["prob"][1] == pytest.approx(np.mean(known[:3]))
    assert row["prob_max"][1] == known[0]
    assert row["positive_slices"] == 3
    assert "class" not in row  # no threshold of a volume is known
    assert row["shown_slice"] in (4, 5, 6)
    assert row["mask_area"] == pytest.approx(found.sum() * 3.0)
    assert row["mask_area_unit"] == "mm3"
    assert sum(part["mask_area"] for part in slices) == pytest.approx(found.sum() * 1.0)  # mm^2: 0.5 x 2
    lines = list(csv.DictReader((tmp_path / "out/predictions.csv").open()))
    assert [line["kind"] for line in lines] == ["volume"] + ["slice"] * 9
    assert lines[1]["prob_yes"] == ""
    assert lines[0]["prob_max_yes"] != ""
    assert (tmp_path / "out/overlays/flair.png").is_file()
    assert (tmp_path / "out/gradcam/flair.png").is_file()


@pytest.mark.parametrize(("threshold", "wanted"), [(0.1, "yes"), (0.999, "no")])
def test_a_volume_has_a_class_where_its_threshold_is_known(tmp_path, threshold, wanted):
    make_volume(tmp_path / "flair.nii.gz")
    infer(tmp_path / "flair.nii.gz", tmp_path / "out", grad_cam=False, volume_threshold=threshold)
    content = json.loads((tmp_path / "out/predictions.json").read_text())
    assert content["volume_threshold"] == threshold
    assert content["results"][0]["class"] == wanted
    line = next(csv.DictReader((tmp_path / "out/predictions.csv").open()))
    assert (line["class"], line["positive_slices"], line["volume_threshold"]) == (wanted, "3", str(threshold))


def test_pictures_can_be_switched_off(tmp_path):
    make_volume(tmp_path / "in/v.nii")
    Image.fromarray(head((64, 64), True).astype(np.uint8)).save(tmp_path / "in/p.png")
    infer(tmp_path / "in", tmp_path / "out", grad_cam=False, overlays=False)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"masks", "predictions.csv", "predictions.json"}


def test_an_error_on_the_way_keeps_what_is_complete_and_skip_goes_on(tmp_path, caplog):
    for i in range(6):
        path = tmp_path / "in" / f"p{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(head((64, 64), i % 2 == 0).astype(np.uint8)).save(path)
    broken = tmp_path / "in/p5.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    output = tmp_path / "out"
    with pytest.raises(DataError, match=r"p5.png: the image is truncated or broken"):
        infer(tmp_path / "in", output)
    names = [row["name"] for row in json.loads((output / "predictions.json").read_text())["results"]]
    assert names == ["p0", "p1", "p2", "p3"]
    before = (output / "masks/p0_mask.png").stat().st_mtime_ns
    broken.write_bytes(whole)
    with pytest.raises(ConfigError, match=r"made with mask_threshold 0.5, now it is 0.3"):
        infer(tmp_path / "in", output, existing="skip", thresholds=(0.3, 0.5))
    with caplog.at_level(logging.INFO, "medbundles"):
        infer(tmp_path / "in", output, existing="skip")
    assert "4 inputs have results" in caplog.text
    assert "inputs done: 2" in caplog.text
    names = [row["name"] for row in json.loads((output / "predictions.json").read_text())["results"]]
    assert names == [f"p{i}" for i in range(6)]
    assert (output / "masks/p0_mask.png").stat().st_mtime_ns == before


def test_a_full_disk_leaves_no_half_mask(tmp_path, monkeypatch):
    make_volume(tmp_path / "v.nii")

    def full(path, *_):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medbundles.reports.inference_writer.write_volume", full)
    with pytest.raises(MedbundlesError, match=r"v_mask.nii.gz: cannot be written, the disk is full"):
        infer(tmp_path / "v.nii", tmp_path / "out")
    assert not any((tmp_path / "out/masks").iterdir())


def test_class_names_that_do_not_fit_the_network(tmp_path):
    Image.fromarray(head((64, 64), True).astype(np.uint8)).save(tmp_path / "p.png")
    network = MultitaskUNet(base_filters=4, depth=3, cls_num_classes=3)
    with pytest.raises(ConfigError, match="class_names has 2 names, the network gives 3 classes"):
        infer(tmp_path / "p.png", tmp_path / "out", network)


def test_rules_of_probabilities():
    decide = Predictions(class_threshold=0.8).classes
    assert decide(torch.tensor([[0.3, 0.7], [0.2, 0.8]], dtype=torch.float64)).tolist() == [0, 1]
    assert decide(torch.tensor([[0.3, 0.4, 0.3]], dtype=torch.float64)).tolist() == [1]
    top, highest = volume_probability([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]])
    assert top == pytest.approx([0.3, 0.7])
    assert highest == pytest.approx([0.2, 0.8])
    assert volume_probability([[0.2, 0.3, 0.5]])[0] == pytest.approx([0.2, 0.3, 0.5])


def test_real_volumes(real_data, tmp_path):
    torch.manual_seed(0)
    network = MultitaskUNet(base_filters=4, depth=3)
    for name in ("t2_t2.nii.gz", "t2s_t2s.nii.gz"):  # axes P, S, R; voxels of 0.5 x 0.5 x 7.5 mm
        infer(real_data / "spinal_cord" / name, tmp_path / "out", network)
        source = nibabel.load(real_data / "spinal_cord" / name)
        mask = nibabel.load(tmp_path / "out/masks" / name.replace(".nii", "_mask.nii"))
        assert mask.shape == source.shape
        assert np.allclose(mask.affine, source.affine)
        assert np.allclose(mask.header.get_zooms(), source.header.get_zooms())
