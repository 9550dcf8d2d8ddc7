from __future__ import annotations

import json

import nibabel
import numpy as np
from PIL import Image

from tools.phantoms.organs import EMPTY, HEALTHY, draw_scan, make_organs
from tools.sample_data import sample_data


def test_the_same_seed_gives_the_same_scans(tmp_path):
    for name in ("a", "b"):
        make_organs(tmp_path / name, seed=3, scans=3, size=32)
    for path in sorted((tmp_path / "a").rglob("*.png")):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
    picture = Image.open(tmp_path / "a/images/scan_002.png")
    assert (picture.size, picture.mode) == ((32, 32), "L")


def test_some_have_no_lesion_and_some_nothing():
    for number in range(1, 13):
        _, labels = draw_scan((48, 48), number, np.random.default_rng(number))
        organ, lesion = ((labels == label).any() for label in (1, 2))
        assert organ == (number % EMPTY > 0)
        assert lesion == (organ and number % HEALTHY > 0)


def test_a_gray_level_alone_does_not_find_the_lesion():
    """It is as bright as the body around the organ."""
    image, labels = draw_scan((64, 64), 1, np.random.default_rng(1))
    body = image[(labels == 0) & (image > 60)]
    lesion = image[labels == 2]
    assert abs(body.mean() - lesion.mean()) < 2 * body.std()


def test_the_verb_writes_pictures_and_volumes(tmp_path):
    counts = {"scans": {"images": 6, "with_organ": 5, "with_lesion": 4}}
    for dims in (2, 3):
        assert sample_data(str(tmp_path / str(dims)), kind="organs", scans=6, size=16, dims=dims) == counts
    about = json.loads((tmp_path / "3/dataset.json").read_text())
    assert about["labels"] == {"background": 0, "organ": 1, "lesion": 2}
    assert nibabel.load(tmp_path / "3/labels/scan_001.nii.gz").shape == (16, 16, 8)
