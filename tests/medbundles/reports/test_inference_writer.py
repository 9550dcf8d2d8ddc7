"""Inference end to end: what lies in the output folder, also after an error and a second start."""

from __future__ import annotations

import csv
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose
from PIL import Image
from torch import nn

import medbundles
from medbundles.atomic_files import HOST
from medbundles.data import InputBatches, InputDataset, SeededLoader, inference_datalist, read_volume
from medbundles.data.reading.inference_record import InferenceRecord
from medbundles.errors import ConfigError, DataError, MedbundlesError
from medbundles.handlers import WeightsCheckpointLoader
from medbundles.inferers import ReadableInputs
from medbundles.metrics.volumes import volume_probability
from medbundles.networks import MultitaskUNet
from medbundles.reports import InferenceWriter
from medbundles.reports.grad_cam import GradCam
from medbundles.runs.lock import LOCK
from medbundles.transforms import (
    Components,
    CropToHead,
    HeadNormalise,
    LoadInferenceSlice,
    Predictions,
    PrepareMultitaskBatch,
    ResizeSquare,
)
from tests.medbundles.runs.test_lock import another
from tests.two_processes import in_two_processes


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
    items = inference_datalist(inputs, output=output, existing=existing)
    pre = Compose([LoadInferenceSlice(), HeadNormalise(), CropToHead(), ResizeSquare(size)])
    predictions = Predictions(*thresholds, mask_rule=rule, volume_threshold=volume_threshold)
    layer = "layer" if isinstance(network, Bright) else "encoder.downs.1"
    writer = InferenceWriter(
        output, predictions, ["no", "yes"], options.pop("checkpoint", "models/model.pt"),
        grad_cam=GradCam(network, layer) if grad_cam else None, existing=existing, **options,
    )  # fmt: skip
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=SeededLoader(InputDataset(items, pre), InputBatches(items, 4), num_workers=0),
        network=network,
        iteration_update=ReadableInputs(),
        prepare_batch=PrepareMultitaskBatch(),
        postprocessing=predictions,
        val_handlers=[WeightsCheckpointLoader(None, {}), writer],
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
        *(f"{kind}/{name}" for name in ("sub/with.jpg", "without.jpg") for kind in ("overlays", "gradcam")),
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
    assert (tmp_path / "out/overlays/flair.jpg").is_file()
    assert (tmp_path / "out/gradcam/flair.jpg").is_file()


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


def write_pictures(folder: Path, count: int) -> None:
    folder.mkdir()
    for i in range(count):
        Image.fromarray(head((64, 64), i % 2 == 0).astype(np.uint8)).save(folder / f"p{i}.png")


def record(output: Path) -> dict:
    return json.loads((output / "predictions.json").read_text())


def test_a_bad_input_does_not_stop_the_others_and_skip_goes_on(tmp_path, caplog):
    """Of two bad ones the first fills a batch alone with its slices: the network must not be run on nothing."""
    write_pictures(tmp_path / "in", 7)
    make_volume(tmp_path / "in/a.nii.gz")
    whole = {name: (tmp_path / "in" / name).read_bytes() for name in ("p2.png", "a.nii.gz")}
    volume = nibabel.load(tmp_path / "in/a.nii.gz")
    values = np.asarray(volume.dataobj, dtype=np.float32)
    values[0, 0, 0] = np.nan
    nibabel.save(nibabel.Nifti1Image(values, volume.affine), tmp_path / "in/a.nii.gz")
    (tmp_path / "in/p2.png").write_bytes(whole["p2.png"][: len(whole["p2.png"]) // 2])
    (tmp_path / "in/p3.png").write_bytes(b"no picture")  # what its header shows is as bad
    output = tmp_path / "out"
    with pytest.raises(
        DataError,
        match=r"3 of 8 inputs have no results:\n.*a.nii.gz: .*NaN.*\n.*p2.png: .*truncated.*\n.*p3.png: not a",
    ):
        infer(tmp_path / "in", output)
    (tmp_path / "in/p3.png").unlink()
    assert [row["name"] for row in record(output)["results"]] == ["p0", "p1", "p4", "p5", "p6"]
    assert {Path(row["file"]).name: row["reason"].split()[-1] for row in record(output)["failed"]} == {
        "a.nii.gz": "Inf", "p2.png": "truncated)", "p3.png": "broken",
    }  # fmt: skip
    before = (output / "masks/p0_mask.png").stat().st_mtime_ns
    for name, content in whole.items():
        (tmp_path / "in" / name).write_bytes(content)
    with pytest.raises(ConfigError, match=r"made with mask_threshold 0.5, now it is 0.3"):
        infer(tmp_path / "in", output, existing="skip", thresholds=(0.3, 0.5))
    with caplog.at_level(logging.INFO, "medbundles"):
        infer(tmp_path / "in", output, existing="skip")
    assert "5 inputs have results" in caplog.text
    assert "inputs done: 2" in caplog.text
    assert [row["name"] for row in record(output)["results"]] == ["a", "p0", "p1", "p2", "p4", "p5", "p6"]
    assert record(output)["failed"] == []
    assert (output / "masks/p0_mask.png").stat().st_mtime_ns == before


def test_after_a_kill_skip_goes_on_from_the_last_row(tmp_path, caplog):
    """What is there then: files, the progress whose last line is cut off, and tables of a run before it."""
    write_pictures(tmp_path / "in", 4)
    output = tmp_path / "out"
    infer(tmp_path / "in", output, thresholds=(0.3, 0.5))
    code = """
import os, sys
from pathlib import Path
from medbundles.reports import InferenceWriter
from tests.medbundles.reports.test_inference_writer import infer
add, done = InferenceWriter.add, []
def add_and_die(self, row):
    add(self, row)
    done.append(row)
    if len(done) == 2:
        self.record.file.write(b'{"file": "half')
        self.record.file.flush()
        os.kill(os.getpid(), 9)
InferenceWriter.add = add_and_die
infer(Path(sys.argv[1]), Path(sys.argv[2]))
"""
    root = Path(__file__).parents[3]
    died = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "in"), str(output)], check=False, capture_output=True,
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'shared'}"},
    )  # fmt: skip
    assert died.returncode == -9, died.stderr
    assert (output / "progress_0.jsonl").is_file()
    with caplog.at_level(logging.INFO, "medbundles"):
        infer(tmp_path / "in", output, existing="skip")  # the thresholds are those of the run that died
    assert "2 inputs have results" in caplog.text
    assert "inputs done: 2" in caplog.text
    assert [row["name"] for row in record(output)["results"]] == [f"p{i}" for i in range(4)]
    assert not list(output.glob("progress*"))


@pytest.mark.skipif(os.name != "posix", reason="the lock needs fcntl")
def test_a_folder_that_another_process_writes_to_is_refused(tmp_path):
    write_pictures(tmp_path / "in", 1)
    output = tmp_path / "out"
    output.mkdir()
    with another(output) as process:
        with pytest.raises(ConfigError, match=rf"out: an inference runs there already \(process {process.pid} on"):
            infer(tmp_path / "in", output)
        assert [path.name for path in output.iterdir()] == [LOCK]
    infer(tmp_path / "in", output)
    assert not (output / LOCK).exists()


def test_a_refused_run_lets_the_folder_go_and_leftovers_of_killed_ones_go(tmp_path):
    write_pictures(tmp_path / "in", 2)
    output = tmp_path / "out"
    infer(tmp_path / "in/p0.png", output)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = output / f"masks/.{ended.pid}-{HOST}~p1_mask.png"
    left.touch()
    with pytest.raises(ConfigError, match="mask_threshold"):
        infer(tmp_path / "in", output, existing="skip", thresholds=(0.3, 0.5))
    assert not (output / LOCK).exists()
    assert not left.exists()


def test_a_run_that_died_before_its_tables_is_finished_by_one_with_nothing_else_to_do(tmp_path):
    write_pictures(tmp_path / "in", 3)
    output = tmp_path / "out"
    infer(tmp_path / "in", output)
    content = record(output)
    rows = content.pop("results")
    content.pop("failed")
    died = InferenceRecord(output)
    died.begin(content, fresh=True)
    for row in rows:
        died.add(row)
    for name in ("predictions.json", "predictions.csv"):
        (output / name).unlink()
    infer(tmp_path / "in", output, existing="skip")
    assert record(output)["results"] == rows
    assert len(list(csv.DictReader((output / "predictions.csv").open()))) == 3
    assert not list(output.glob("progress*"))


def test_two_processes_share_the_inputs(tmp_path):
    """A volume stays whole; a bad input of one process is an error of both, and nothing is written twice."""
    write_pictures(tmp_path / "in", 5)
    make_volume(tmp_path / "in/a.nii.gz")
    broken = tmp_path / "in/p3.png"
    broken.write_bytes(broken.read_bytes()[:-60])
    with pytest.raises(DataError):
        infer(tmp_path / "in", tmp_path / "one", max_pictures=3)
    body = """
from pathlib import Path
from medbundles.errors import DataError
from tests.medbundles.reports.test_inference_writer import infer
try:
    infer(Path(sys.argv[3]), Path(sys.argv[4]), max_pictures=3)
except DataError as error:
    print("1 of 6 inputs have no results" in str(error), "p3.png" in str(error))
"""
    outs = in_two_processes(tmp_path, body, str(tmp_path / "in"), str(tmp_path / "two"))
    assert [out.split() for out in outs] == [["True", "True"]] * 2
    one, two = (
        {path.relative_to(folder).as_posix(): path for folder in [tmp_path / name] for path in folder.rglob("*.*")}
        for name in ("one", "two")
    )
    masks = [name for name in one if name.startswith("masks/")]
    assert one.keys() >= set(masks) | {"predictions.csv", "predictions.json"} <= two.keys()
    assert all(one[name].read_bytes() == two[name].read_bytes() for name in masks if name.endswith(".png"))
    rows = [record(tmp_path / name)["results"] for name in ("one", "two")]
    for row in (*rows[0], *rows[1]):
        for picture in ("overlay", "grad_cam"):
            row.pop(picture, None)
    assert rows[0] == rows[1]
    assert len([name for name in two if name.startswith("overlays/")]) == 3
    assert record(tmp_path / "one")["failed"] == record(tmp_path / "two")["failed"]


def test_more_processes_than_inputs(tmp_path):
    write_pictures(tmp_path / "in", 1)
    body = """
from pathlib import Path
from tests.medbundles.reports.test_inference_writer import infer
infer(Path(sys.argv[3]), Path(sys.argv[4]))
"""
    in_two_processes(tmp_path, body, str(tmp_path / "in"), str(tmp_path / "out"))
    assert [row["name"] for row in record(tmp_path / "out")["results"]] == ["p0"]


def test_only_the_first_inputs_get_pictures(tmp_path, caplog):
    write_pictures(tmp_path / "in", 5)
    make_volume(tmp_path / "in/a.nii.gz")
    with caplog.at_level(logging.INFO, "medbundles"):
        infer(tmp_path / "in", tmp_path / "out", max_pictures=2)
    for kind in ("overlays", "gradcam"):
        assert sorted(path.name for path in (tmp_path / "out" / kind).iterdir()) == ["a.jpg", "p0.jpg"]
    assert len(list((tmp_path / "out/masks").iterdir())) == 6
    assert "pictures: of 2 inputs, none of the other 4 (max_pictures 2)" in caplog.text
    (tmp_path / "out/masks/p4_mask.png").unlink()
    infer(tmp_path / "in", tmp_path / "out", existing="skip", max_pictures=2)
    assert len(list((tmp_path / "out/overlays").iterdir())) == 2  # those that stay count


def test_results_say_with_what_they_were_made(tmp_path):
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"weights")
    write_pictures(tmp_path / "in", 1)
    make_volume(tmp_path / "in/v.nii.gz")
    trained = {"image_size": 64, "network_def": {"depth": 3}, "mask_threshold": "auto"}
    infer(tmp_path / "in", tmp_path / "out", checkpoint=weights, trained=trained)
    content = record(tmp_path / "out")
    assert content["version"] == f"medbundles {medbundles.__version__}"
    assert content["settings"] == {"image_size": 64, "network_def#depth": 3}  # the threshold stands beside it
    assert content["mask_threshold"] == 0.5
    assert "float32" in content["precision"] or content["precision"] == "that of the engine"
    made = f"medbundles {medbundles.__version__}, weights {content['checkpoint_id']}"
    assert content["checkpoint_id"].startswith("sha256:")
    assert Image.open(tmp_path / "out/masks/p0_mask.png").text["Software"] == made
    assert bytes(nibabel.load(tmp_path / "out/masks/v_mask.nii.gz").header["descrip"]).rstrip(b"\0").decode() == made
    Image.fromarray(head((64, 64), True).astype(np.uint8)).save(tmp_path / "in/new.png")
    with pytest.raises(ConfigError, match=r"made with settings \{'image_size': 64.*now it is \{'image_size': 32"):
        infer(tmp_path / "in", tmp_path / "out", checkpoint=weights, existing="skip", trained={"image_size": 32})


def test_it_is_said_where_mask_and_class_disagree(tmp_path, monkeypatch):
    captions = []
    monkeypatch.setattr(
        "medbundles.reports.inference_writer.overlay", lambda *_, caption, **__: captions.append(caption)
    )
    write_pictures(tmp_path / "in", 2)
    infer(tmp_path / "in", tmp_path / "out", thresholds=(0.5, 0.9999))
    first, second = record(tmp_path / "out")["results"]
    assert first["note"] == "mask and class disagree: a mask, but class 'no'"
    assert "note" not in second
    assert captions[0].splitlines()[-1] == first["note"]
    assert "yes from 1 - 0.0001 on" in captions[0]
    assert "from probability 0.50 on" in captions[0]
    assert "disagree" not in captions[1]
    assert next(csv.DictReader((tmp_path / "out/predictions.csv").open()))["note"] == first["note"]


def test_slices_that_training_never_sees_have_no_mask(tmp_path):
    """The second slice holds one bright spot: it is a lesion for the network, and 0.6 % of the slice."""
    volume = np.stack([np.zeros((60, 60)), np.zeros((60, 60)), *[head((60, 60), True)] * 4], axis=2)
    volume[20:25, 20:25, 1] = 250
    nibabel.save(nibabel.Nifti1Image(volume.astype(np.int16), np.eye(4)), tmp_path / "v.nii.gz")
    infer(tmp_path / "v.nii.gz", tmp_path / "out")
    mask = read_volume(tmp_path / "out/masks/v_mask.nii.gz", allow_constant=True)[0]
    assert [bool(mask[..., z].any()) for z in range(6)] == [False, False, True, True, True, True]
    row = record(tmp_path / "out")["results"][0]
    assert [part["prob"] is None for part in row["slices"]] == [True, True, False, False, False, False]
    assert ["less than 2 % head" in part.get("note", "") for part in row["slices"]] == [True, True] + [False] * 4
    lines = list(csv.DictReader((tmp_path / "out/predictions.csv").open()))
    assert "less than 2 % head" in lines[2]["note"]
    infer(tmp_path / "v.nii.gz", tmp_path / "all", min_head=0.0)
    row = record(tmp_path / "all")["results"][0]
    assert [part["prob"] is None for part in row["slices"]] == [True, False, False, False, False, False]  # one value


class Nested(TwoClasses):
    """Two regions: what is bright, and the left half of it."""

    def forward(self, x):
        left = super().forward(x)[:, 1:2]
        return torch.cat([x[:, :1] - 2, left], dim=1)


def test_regions_may_overlap_so_each_has_its_own_file(tmp_path):
    write_pictures(tmp_path / "in", 1)
    make_volume(tmp_path / "in/v.nii.gz")
    infer(tmp_path / "in", tmp_path / "out", Nested(), grad_cam=False, rule="regions")
    rows = {row["name"]: row for row in record(tmp_path / "out")["results"]}
    assert rows["p0"]["mask"] == ["masks/p0_mask_1.png", "masks/p0_mask_2.png"]
    first, second = (np.asarray(Image.open(tmp_path / "out" / name)) for name in rows["p0"]["mask"])
    assert set(np.unique(first)) == {0, 255}
    assert ((first > 0) >= (second > 0)).all()
    assert 0 < (second > 0).sum() < (first > 0).sum()
    assert rows["p0"]["mask_areas"] == [(first > 0).sum(), (second > 0).sum()]
    assert rows["p0"]["mask_area"] == (first > 0).sum()
    assert rows["v"]["mask"] == ["masks/v_mask_1.nii.gz", "masks/v_mask_2.nii.gz"]
    line = next(csv.DictReader((tmp_path / "out/predictions.csv").open()))
    assert line["mask"] == "masks/p0_mask_1.png; masks/p0_mask_2.png"
    (tmp_path / "out/masks/p0_mask_2.png").unlink()
    infer(tmp_path / "in", tmp_path / "out", Nested(), grad_cam=False, rule="regions", existing="skip")
    assert (tmp_path / "out/masks/p0_mask_2.png").is_file()


def test_of_several_foreground_channels_the_mask_says_which_is_strongest(tmp_path):
    write_pictures(tmp_path / "in", 1)
    infer(tmp_path / "in", tmp_path / "out", TwoClasses(), grad_cam=False)
    mask = np.asarray(Image.open(tmp_path / "out/masks/p0_mask.png"))
    assert set(np.unique(mask)) == {0, 1, 2}
    columns = np.arange(64)[None] * np.ones((64, 1))
    assert columns[mask == 1].max() < columns[mask == 2].min()
    assert record(tmp_path / "out")["results"][0]["mask_areas"] == [(mask == 1).sum(), (mask == 2).sum()]


def test_a_full_disk_leaves_no_half_mask(tmp_path, monkeypatch):
    make_volume(tmp_path / "v.nii")

    def full(path, *_):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medbundles.reports.mask_files.write_volume", full)
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


def test_components_of_a_volume_are_those_of_all_its_slices(tmp_path):
    """A lesion of 3 slices stays, a larger one of one slice goes; areas, notes and the picture are of what stays."""
    make_volume(tmp_path / "in/v.nii.gz")
    source = nibabel.load(tmp_path / "in/v.nii.gz")
    data = np.asarray(source.dataobj).copy()
    data[14:24, 26:36, 8] = 250
    nibabel.save(nibabel.Nifti1Image(data, source.affine), tmp_path / "in/v.nii.gz")
    Image.fromarray(two_lesions()).save(tmp_path / "in/p.png")
    infer(tmp_path / "in", tmp_path / "all")
    infer(tmp_path / "in", tmp_path / "out", components=Components(largest=True), probabilities=True)
    before, after = (
        np.asarray(nibabel.load(tmp_path / out / "masks/v_mask.nii.gz").dataobj) > 0 for out in ("all", "out")
    )
    assert before[..., 8].sum() > before[..., 5].sum() > 0
    assert not after[..., 8].any()
    assert (after[..., :8] == before[..., :8]).all()
    rows = {row["name"]: row for row in record(tmp_path / "out")["results"]}
    assert rows["v"]["shown_slice"] in (4, 5, 6)
    assert rows["v"]["mask_area"] == pytest.approx(after.sum() * 3.0)
    assert "no mask, but class 'yes'" in rows["v"]["slices"][8]["note"]
    mask = np.asarray(Image.open(tmp_path / "out/masks/p_mask.png")) > 0
    assert (np.asarray(Image.open(tmp_path / "all/masks/p_mask.png")) > 0)[:50].any()
    assert mask[50:].any()
    assert not mask[:50].any()
    prob = nibabel.load(tmp_path / "out/probabilities/v_1.nii.gz")
    assert np.allclose(prob.affine, source.affine)
    assert ((prob.get_fdata() >= 0.5) == before).all()
    assert not prob.get_fdata()[..., :2].any()  # of slices that are not looked at nothing is said
    assert np.load(tmp_path / "out/probabilities/p.npy").shape == (1, 120, 120)


def two_lesions() -> np.ndarray:
    """A small one above, a large one below."""
    image = head((120, 120), False)
    image[40:46, 40:46], image[70:85, 60:75] = 250, 250
    return image.astype(np.uint8)


def test_the_areas_of_classes_have_their_names_in_the_table(tmp_path):
    write_pictures(tmp_path / "in", 1)
    names = ["none", "left", "right"]
    infer(tmp_path / "in", tmp_path / "out", TwoClasses(), grad_cam=False, thresholds=(), rule="classes",
          label_names=names)  # fmt: skip
    content = record(tmp_path / "out")
    assert content["labels"] == dict(zip("012", names, strict=True))
    [row] = csv.DictReader((tmp_path / "out/predictions.csv").open())
    assert [float(row[f"mask_areas_{name}"]) for name in names[1:]] == content["results"][0]["mask_areas"]
