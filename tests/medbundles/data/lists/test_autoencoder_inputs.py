"""The items of reconstruction, decoding, draws and interpolation."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from medbundles.data import autoencoder_inputs
from medbundles.errors import ConfigError, DataError


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(path)


@pytest.fixture
def folder(tmp_path):
    for name in ("in/a/1.png", "in/a/1.tif", "in/b/1.png", "in/c.bmp", "in/out/reconstructions/c.bmp"):
        picture(tmp_path / name)
    for name in ("latents/a/1.npz", "latents/2.npz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def names(items):
    return [item["name"] for item in items]


def test_images_keep_their_relative_names_and_results_are_no_inputs(folder):
    items = autoencoder_inputs(folder / "in", output=folder / "in/out")
    assert names(items) == ["a/1_png", "a/1_tif", "b/1", "c"]
    assert {item["folder"] for item in items} == {"reconstructions"}
    assert names(autoencoder_inputs(folder / "in/c.bmp")) == ["c"]


def test_bad_files_do_not_stop_the_others_unless_all_are(folder):
    (folder / "in/broken.png").write_bytes(b"")
    (folder / "in/text.tif").write_text("no picture")
    *good, broken, text = autoencoder_inputs(folder / "in", output=folder / "in/out")
    assert len(good) == 4
    assert broken["failed"].startswith("file is empty")
    assert text["failed"].startswith("not a readable image")
    for item in good:
        os.remove(item["image"])
    with pytest.raises(DataError, match=r"(?s)broken\.png.*text\.tif"):
        autoencoder_inputs(folder / "in", output=folder / "in/out")


def test_volumes_alone_count_in_three_dimensions(folder):
    with pytest.raises(DataError, match="no volumes"):
        autoencoder_inputs(folder / "in", 3)


def test_latents_of_a_folder_or_one(folder):
    assert names(autoencoder_inputs("", decode=folder / "latents")) == ["2", "a/1"]
    assert names(autoencoder_inputs("", decode=folder / "latents/2.npz")) == ["2"]
    with pytest.raises(DataError, match="no latents"):
        autoencoder_inputs("", decode=folder / "in")


def test_draws_and_what_lies_between_two_images(folder):
    assert names(autoencoder_inputs("", sample=11))[-2:] == ["sample_09", "sample_10"]
    pair = [str(folder / "in/c.bmp"), str(folder / "in/b/1.png")]
    items = autoencoder_inputs("", interpolate=pair, interpolate_steps=3)
    assert [item["weight"] for item in items] == [0, 0.5, 1]
    assert {(item["image"], item["other"], item["folder"]) for item in items} == {(*pair, "interpolation")}
    with pytest.raises(DataError, match=r"gone\.png"):
        autoencoder_inputs("", interpolate=[pair[0], folder / "gone.png"])


def test_images_that_are_there_are_made_again_or_refused_but_never_taken_for_the_same(folder):
    picture(folder / "out/decoded/a/1.tif")
    picture(folder / "out/decoded/2.x.png")  # that of another latent
    common = {"decode": folder / "latents", "output": folder / "out"}
    assert names(autoencoder_inputs("", **common)) == ["2", "a/1"]
    with pytest.raises(ConfigError, match="'skip' goes on with reconstructions alone"):
        autoencoder_inputs("", existing="skip", **common)
    with pytest.raises(DataError, match="already has 1 of the 2 images in decoded/, a/1"):
        autoencoder_inputs("", existing="error", **common)


def test_two_tasks_at_once_are_refused(folder):
    rule, *_ = autoencoder_inputs.rules
    values = {"decode": None, "sample": 0, "interpolate": False}
    assert rule.line(values, "inference") is None
    assert "sample and interpolate" in rule.line({**values, "sample": 2, "interpolate": ["a", "b"]}, "inference")
    with pytest.raises(ConfigError, match="decode and sample"):
        autoencoder_inputs("", decode=folder / "latents", sample=2)
