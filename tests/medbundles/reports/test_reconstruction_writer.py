"""Inference with an autoencoder end to end: all tasks through one evaluator, and what is written of them."""

from __future__ import annotations

import csv
import json

import nibabel
import numpy as np
import pytest
import torch
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose
from PIL import Image

from medbundles.data import InputBatches, InputDataset, SeededLoader, autoencoder_inputs
from medbundles.errors import ConfigError, DataError
from medbundles.handlers import WeightsCheckpointLoader
from medbundles.inferers import AutoencoderInferer, ReadableInputs
from medbundles.networks import Autoencoder
from medbundles.reports import ReconstructionWriter
from medbundles.reports.panels import LINE
from medbundles.transforms import LoadLatent, LoadOther, LoadWholeImage, PrepareLatentBatch
from tests.two_processes import in_two_processes

RNG = np.random.default_rng(0)


def infer(
    output, inputs="", dims=2, channels=1, checkpoint="", latents=True, existing="overwrite", options=None, **task
):
    torch.manual_seed(0)
    network = Autoencoder(
        spatial_dims=dims, in_channels=channels, out_channels=channels, channels=(8, 16), num_res_blocks=1,
        attention_levels=(False, False), norm_num_groups=4, latent_channels=3,
    )  # fmt: skip
    items = autoencoder_inputs(inputs, dims, channels, output=output, existing=existing, **task)
    load = LoadWholeImage(dims, channels)
    reading = Compose([load, LoadOther(load), LoadLatent(3, network.factor, (22, 31, 14)[:dims])])
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=SeededLoader(InputDataset(items, reading), InputBatches(items, 1), num_workers=0),
        network=network,
        iteration_update=ReadableInputs(),
        inferer=AutoencoderInferer("fp32", window_above=40, window_size=32),
        prepare_batch=PrepareLatentBatch(),
        val_handlers=[
            WeightsCheckpointLoader(None, {}),
            ReconstructionWriter(output, latents, checkpoint, existing, **(options or {})),
        ],
        decollate=False,
    ).run()
    return items


def smooth(*shape):
    axes = np.meshgrid(*(np.linspace(0, 3, side) for side in shape), indexing="ij")
    return sum(np.sin(axis * RNG.uniform(1, 2)) for axis in axes)


def scaled(array, low, high, dtype):
    array = (array - array.min()) / np.ptp(array)
    return (array * (high - low) + low).astype(dtype)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(scaled(smooth(30, 41), 5, 200, np.uint8)).save(folder / "gray.png")
    Image.fromarray(scaled(smooth(33, 25), 100, 4000, np.uint16)).save(folder / "sub/deep.tif")
    Image.fromarray(scaled(smooth(20, 24), 5, 200, np.uint8)).save(folder / "sub/gray.jpg")
    np.save(folder / "sub/gray.npy", scaled(smooth(60, 50), -3, 8, np.float32))  # by windows
    return folder


def below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_reconstructions_latents_and_a_table_with_the_worst_first(pictures, tmp_path):
    out = tmp_path / "out"
    infer(out, pictures)
    names = {"gray": ".png", "sub/deep": ".tif", "sub/gray_jpg": ".png", "sub/gray_npy": ".npy"}
    made = [f"reconstructions/{name}{ending}" for name, ending in names.items()]
    latents = [f"latents/{name}.npz" for name in names]
    assert below(out) == sorted([*made, *latents, "reconstructions.csv", "predictions.json"])
    with Image.open(out / "reconstructions/sub/deep.tif") as deep:
        assert (np.asarray(deep).dtype, deep.size) == (np.uint16, (25, 33))
    rows = list(csv.DictReader((out / "reconstructions.csv").open()))
    assert [float(row["psnr"]) for row in rows] == sorted(float(row["psnr"]) for row in rows)
    assert {row["name"] for row in rows} == set(names)
    assert all((out / row["reconstruction"]).is_file() and (out / row["latent"]).is_file() for row in rows)
    # the figures against the files: values from 0 to 1, and the divergence by its formula
    row = next(row for row in rows if row["name"] == "sub/deep")
    pair = [np.asarray(Image.open(p), float) for p in (pictures / "sub/deep.tif", out / "reconstructions/sub/deep.tif")]
    difference = (pair[0] - pair[1]) / (pair[0].max() - pair[0].min())
    latent = np.load(out / "latents/sub/deep.npz")
    # a draw of the latent, divided by its spread: that of the means, and of each number around its mean
    variance = np.var(latent["mean"].astype(float)) + np.mean(latent["std"].astype(float) ** 2)
    assert latent["scale_factor"] == pytest.approx(1 / np.sqrt(variance))
    mean, std = latent["mean"].astype(float), latent["std"].astype(float)
    assert float(row["kl"]) == pytest.approx(0.5 * (mean**2 + std**2 - np.log(std**2) - 1).sum(), rel=1e-4)
    assert float(row["l1"]) >= np.abs(difference).mean() - 1e-4  # what is beyond black and white is cut in the file
    assert float(row["psnr"]) == pytest.approx(-10 * np.log10(float(row["mse"])), abs=1e-3)


def test_a_saved_latent_decodes_to_the_very_file_that_was_written(pictures, tmp_path):
    infer(tmp_path / "out", pictures)
    infer(tmp_path / "again", decode=tmp_path / "out/latents")
    names = below(tmp_path / "out/reconstructions")
    assert len(names) == 4
    assert below(tmp_path / "again/decoded") == names
    for name in names:
        first, again = tmp_path / "out/reconstructions" / name, tmp_path / "again/decoded" / name
        assert again.read_bytes() == first.read_bytes()


def test_a_latent_of_other_weights_is_said(pictures, tmp_path, caplog):
    for name in "ab":
        (tmp_path / name).write_bytes(name.encode())
    infer(tmp_path / "out", pictures, checkpoint=tmp_path / "a")
    infer(tmp_path / "same", decode=tmp_path / "out/latents", checkpoint=tmp_path / "a")
    assert "other weights" not in caplog.text
    infer(tmp_path / "other", decode=tmp_path / "out/latents", checkpoint=tmp_path / "b")
    assert caplog.text.count("was made by other weights than these") == 4


def test_volumes_come_back_in_their_own_geometry_also_from_latents(tmp_path):
    affine = np.array([[0, -2.0, 0, 5], [0, 0, 3.0, -7], [1.5, 0, 0, 9], [0, 0, 0, 1]])
    source = nibabel.Nifti1Image(scaled(smooth(13, 18, 15), 0, 900, np.int16), affine)
    (tmp_path / "in").mkdir()
    nibabel.save(source, tmp_path / "in/v.nii.gz")
    infer(tmp_path / "out", tmp_path / "in", dims=3)
    infer(tmp_path / "out", decode=tmp_path / "out/latents", dims=3)
    made, again = (nibabel.load(tmp_path / "out" / name / "v.nii.gz") for name in ("reconstructions", "decoded"))
    np.testing.assert_array_equal(made.affine, affine)
    assert (made.shape, made.get_data_dtype()) == (source.shape, np.int16)
    np.testing.assert_array_equal(np.asarray(again.dataobj), np.asarray(made.dataobj))
    np.testing.assert_array_equal(again.affine, affine)
    assert len(json.loads((tmp_path / "out/predictions.json").read_text())["results"]) == 1  # decoding left it alone


@pytest.mark.parametrize(("dims", "channels", "ending"), [(2, 1, ".png"), (2, 3, ".png"), (3, 1, ".nii.gz")])
def test_draws_become_images_and_a_sheet(tmp_path, dims, channels, ending):
    infer(tmp_path, sample=3, dims=dims, channels=channels)
    assert below(tmp_path) == sorted([*(f"samples/sample_{i}{ending}" for i in range(3)), "samples/samples.png"])
    if dims == 2:
        with (
            Image.open(tmp_path / "samples/sample_0.png") as one,
            Image.open(tmp_path / "samples/samples.png") as sheet,
        ):
            assert (one.size, one.mode) == ((31, 22), "RGB" if channels == 3 else "L")
            assert sheet.height == LINE + 22 + LINE + 4  # one row
    else:
        assert nibabel.load(tmp_path / "samples/sample_0.nii.gz").shape == (22, 31, 14)


def test_between_two_images_the_ends_are_their_reconstructions(pictures, tmp_path):
    first, last = pictures / "gray.png", pictures / "sub/gray.jpg"
    infer(tmp_path / "out", first)
    infer(tmp_path / "out", interpolate=[first, last], interpolate_steps=3)
    row = tmp_path / "out/interpolation/gray_to_gray"
    assert below(row) == ["00.png", "01.png", "02.png"]
    assert (row / "00.png").read_bytes() == (tmp_path / "out/reconstructions/gray.png").read_bytes()
    assert (row / "02.png").read_bytes() != (row / "00.png").read_bytes()
    with Image.open(row.with_suffix(".png")) as sheet:
        assert sheet.height == LINE + 30 + LINE + 4


def test_skip_goes_on_and_keeps_the_rows_and_other_weights_are_refused(pictures, tmp_path):
    out, weights = tmp_path / "out", tmp_path / "w.pt"
    weights.write_bytes(b"one")
    infer(out, pictures / "gray.png", checkpoint=weights)
    made = (out / "reconstructions/gray.png").stat().st_mtime_ns
    items = infer(out, pictures, checkpoint=weights, existing="skip", latents=False)
    assert {item["name"] for item in items} == {"sub/deep", "sub/gray_jpg", "sub/gray_npy"}
    assert infer(out, pictures, checkpoint=weights, existing="skip") == []
    assert (out / "reconstructions/gray.png").stat().st_mtime_ns == made
    rows = list(csv.DictReader((out / "reconstructions.csv").open()))
    assert {row["name"]: row["latent"] for row in rows} == {
        "gray": "latents/gray.npz", "sub/deep": "", "sub/gray_jpg": "", "sub/gray_npy": ""
    }  # fmt: skip
    weights.write_bytes(b"two")
    with pytest.raises(ConfigError, match="checkpoint_id"):
        infer(out, pictures, checkpoint=weights, existing="skip")


def test_a_bad_image_does_not_stop_the_others_and_files_say_what_made_them(pictures, tmp_path):
    broken = pictures / "sub/bad.tif"
    broken.write_bytes((pictures / "sub/deep.tif").read_bytes()[:-40])
    with pytest.raises(DataError, match=r"1 of 5 inputs have no results:\n  .*bad.tif: "):
        infer(tmp_path / "out", pictures, options={"trained": {"patch_size": [8, 8]}, "settings": {"window_above": 40}})
    content = json.loads((tmp_path / "out/predictions.json").read_text())
    assert [row["file"] for row in content["failed"]] == [str(broken)]
    assert len(content["results"]) == 4
    assert content["settings"] == {"patch_size": [8, 8], "window_above": 40}
    assert content["precision"].startswith("float32")
    made = f"{content['version']}, weights unknown"
    with Image.open(tmp_path / "out/reconstructions/gray.png") as png:
        assert png.text["Software"] == made
    with Image.open(tmp_path / "out/reconstructions/sub/deep.tif") as tif:
        assert tif.tag_v2[305] == made


def test_failures_are_listed_where_nothing_else_is_and_beside_what_an_earlier_run_made(pictures, tmp_path):
    def listed(output):
        content = json.loads((output / "predictions.json").read_text())
        return [[row["file"] for row in content[key]] for key in ("results", "failed")]

    broken = tmp_path / "bad.tif"
    broken.write_bytes((pictures / "sub/deep.tif").read_bytes()[:-40])
    for name in ("new", "used"):
        made = [str(pictures / "gray.png")] if name == "used" else []
        if made:
            infer(tmp_path / name, made[0])
        with pytest.raises(DataError, match=r"are listed in .*predictions.json"):
            infer(tmp_path / name, broken)
        assert listed(tmp_path / name) == [made, [str(broken)]]


def test_a_contact_sheet_shows_the_first_of_all_processes(tmp_path):
    infer(tmp_path / "one", sample=5, options={"max_pictures": 3})
    assert len(below(tmp_path / "one")) == 6
    with Image.open(tmp_path / "one/samples/samples.png") as sheet:
        assert sheet.height == LINE + 22 + LINE + 4
    body = """
from tests.medbundles.reports.test_reconstruction_writer import infer
infer(sys.argv[3], sample=5, options={"max_pictures": 3})
"""
    in_two_processes(tmp_path, body, str(tmp_path / "two"))
    assert below(tmp_path / "two") == below(tmp_path / "one")
    for name in below(tmp_path / "one"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
