"""What a training's images were like, and which inputs are unlike them."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import nibabel
import numpy as np
import pytest
from monai.transforms import Compose
from PIL import Image

from medbundles.data import SeededDataset, inference_datalist
from medbundles.errors import CheckpointError
from medbundles.transforms import HeadNormalise, LoadInferenceSlice, LoadSlice, LoadVolume, LoadWholeImage, MarkOutside
from medbundles.transforms.image_ranges import outside_of, ranges_of

RANGES = [["spacing", 0.9, 1.1], ["size", 100.0, 200.0], ["intensity", 0.0, 200.0]]


def picture(path: Path, size: tuple[int, int] = (20, 30), brightest: int = 201) -> dict:
    values = np.linspace(0, brightest, size[0] * size[1]).round().astype(np.uint8)
    Image.fromarray(values.reshape(size)).save(path)
    return {"image": str(path), "mask": "", "label": 0}


def volume(path: Path, spacing: tuple[float, ...] = (1, 2, 3), brightest: float = 1000) -> dict:
    values = np.linspace(0, brightest, 6 * 7 * 8, dtype=np.float32).reshape(6, 7, 8)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([*spacing, 1])), path)
    return {"image": str(path)}


def dataset(items: list[dict], load) -> SeededDataset:
    return SeededDataset(items, Compose([load, HeadNormalise()]), cache="none")


def test_pictures_are_measured_as_their_files_are(tmp_path):
    items = [picture(tmp_path / f"{i}.png", (20, 30 + i)) for i in range(5)]
    found = {name: (low, high) for name, low, high in ranges_of(dataset(items, LoadSlice()))}
    assert found["size"] == (20, 34)
    assert found["intensity"] == pytest.approx((2, 199), abs=1)  # 98 % of the pixels
    assert ranges_of(dataset(items, LoadWholeImage())) == ranges_of(dataset(items, LoadSlice()))  # though it is 0 to 1


def test_volumes_have_a_spacing_and_few_odd_ones_do_not_count(tmp_path):
    items = [volume(tmp_path / f"{i}.nii") for i in range(60)]
    volume(tmp_path / "0.nii", brightest=1e6)
    found = ranges_of(dataset(items, LoadVolume()))  # 32 of them are looked at
    assert [name for name, _, _ in found] == ["size", "intensity", "spacing"]
    assert found[0][1:] == [6, 8]
    assert found[2][1:] == [1, 3]
    assert found[1][2] == pytest.approx(990, abs=5)
    assert ranges_of(dataset(items[:5], LoadVolume()))[1][2] == pytest.approx(990_000, rel=0.01)  # of few each counts


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"size": (100, 200), "intensity": (0, 200)}, ""),
        ({"size": (81, 249), "intensity": (-49, 249), "spacing": (0.73, 1.37)}, ""),  # within the margins
        ({"size": (79, 200)}, "size 79 to 200 pixels, the training had 100 to 200"),
        ({"spacing": (1.5, 1.5)}, "spacing 1.5 mm, the training had 0.9 to 1.1"),
        ({"intensity": (-60, 10), "size": (100, 260)},
         "size 100 to 260 pixels, the training had 100 to 200; intensity -60 to 10, the training had 0 to 200"),
    ],
)  # fmt: skip
def test_what_is_outside(found, said):
    assert outside_of(found, RANGES) == said


def test_inputs_are_marked(tmp_path, caplog):
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in/a.png", (120, 130))
    picture(tmp_path / "in/b.png", (120, 300))
    volume(tmp_path / "in/c.nii")
    items = inference_datalist(tmp_path / "in")
    mark = MarkOutside(LoadInferenceSlice(), RANGES[1:])
    texts = {item["name"]: mark(item)["outside"] for item in items}
    assert texts["a"] == ""
    assert texts["b"] == "size 120 to 300 pixels, the training had 100 to 200"
    assert texts["c"].startswith("size 6 to 7 pixels, the training had 100 to 200; intensity 8.955 to 988.1, ")
    assert len({mark(item)["outside"] for item in items if item["name"] == "c"}) == 1  # the volume's, not the slice's
    assert MarkOutside(LoadInferenceSlice(), [])(items[1])["outside"] == ""
    with caplog.at_level(logging.INFO, "medbundles"):
        for text in ("", "weights"):
            assert caplog.text == ""  # of weights that are not there nothing is said
            assert MarkOutside(LoadInferenceSlice(), checkpoint=tmp_path / "model.pt")(items[1])["outside"] == ""
            (tmp_path / "model.pt").write_text(text)
    assert "the weights do not say what their training's images were like: no input is marked" in caplog.text
    (tmp_path / "trained.json").write_text(json.dumps({"training_images": RANGES}))
    assert MarkOutside(LoadInferenceSlice(), checkpoint=tmp_path / "model.pt")(items[1])["outside"] == texts["b"]
    (tmp_path / "trained.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"trained.json: cannot be read as JSON"):
        MarkOutside(LoadInferenceSlice(), checkpoint=tmp_path / "model.pt")
    assert MarkOutside(LoadWholeImage(), RANGES)({"sample": 3}) == {"sample": 3, "outside": ""}
