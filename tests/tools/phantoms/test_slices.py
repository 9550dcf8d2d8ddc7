"""Phantoms: the layout is right, the same seed gives the same pixels, and they must be looked at."""

import json
from itertools import chain

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medbundles.data import check_no_leak, class_folder_datalist, read_image, read_mask, slice_datalist
from medbundles.errors import DataError
from tools.phantoms.slices import make_phantoms


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    return folder, make_phantoms(folder, pictures=(100, 20, 20))


def lists(folder):
    parts = ("train", "val", "test")
    slices = {part: slice_datalist(folder / part) for part in parts}
    pictures = {part: class_folder_datalist(folder / "kaggle" / part, ["no", "yes"]) for part in parts}
    return slices, pictures


def auc(items, labels):
    """Five folds by patient, on mean, spread and head size, of the picture and of the head alone."""
    features = []
    for item in items:
        image = read_image(item["image"], 1)[0]
        border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        head = image[image > np.median(border) + 12]
        features.append([image.mean(), image.std(), head.size / image.size, head.mean(), head.std(), head.size])
    model = make_pipeline(StandardScaler(), LogisticRegression())
    groups = [item["patient"] for item in items]
    results = []
    for columns in ([0, 1, 2], [3, 4, 5]):
        table = np.array(features)[:, columns]
        chance = cross_val_predict(model, table, labels, groups=groups, cv=GroupKFold(5), method="predict_proba")
        results.append(roc_auc_score(labels, chance[:, 1]))
    return results


def test_mean_spread_and_size_do_not_tell(phantoms):
    slices, pictures = lists(phantoms[0])
    items = [*chain(*slices.values())]
    assert max(auc(items, [int(read_mask(item["mask"], 1).any()) for item in items])) < 0.7
    items = [*chain(*pictures.values())]
    assert max(auc(items, [item["label"] for item in items])) < 0.7


def test_layout_and_counts(phantoms):
    folder, counts = phantoms
    slices, pictures = lists(folder)
    check_no_leak(slices)
    check_no_leak(pictures)
    for part, items in slices.items():
        masks = [read_mask(item["mask"], 1) for item in items]
        tumour = sum(bool(mask.any()) for mask in masks)
        assert counts[part]["slices"] == len(items)
        assert counts[part]["with_tumour"] == tumour
        assert 0.3 < tumour / len(items) < 0.7
        assert min(mask.sum() for mask in masks if mask.any()) > 50
        assert sum(item["label"] for item in pictures[part]) * 2 == len(pictures[part]) == counts[part]["pictures"]
    assert "SYNTHETIC" in (folder / "SYNTHETIC.txt").read_text()
    assert json.loads((folder / "split_synthetic.json").read_text())["parts"]["val"][0] == "phantom_025"


def test_lesions_are_brighter_than_the_tissue_around(phantoms):
    for item in slice_datalist(phantoms[0] / "val"):
        image, mask = read_image(item["image"], 1)[0], read_mask(item["mask"], 1)[0] > 0
        if mask.any():
            assert image[mask].mean() > 1.2 * np.median(image[(image > 12) & ~mask])


def test_the_pictures_come_from_other_scanners(phantoms):
    pictures = lists(phantoms[0])[1]["train"]
    images = [read_image(item["image"], 1)[0] for item in pictures]
    assert len({image.shape for image in images}) > 50
    lifted = sum(np.median(image[:3]) > 5 for image in images)
    assert 10 < lifted < 90  # a background that is not 0 in some


def test_seed_and_occupied_folder(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make_phantoms(tmp_path / name, seed, patients=(1, 1, 1), slices=2, size=64, pictures=(2, 0, 0))
    a, b, c = (sorted(p for p in (tmp_path / name).rglob("*.*") if p.suffix in (".png", ".jpg")) for name in "abc")
    assert [p.read_bytes() for p in a] == [p.read_bytes() for p in b]
    assert [p.read_bytes() for p in a] != [p.read_bytes() for p in c]
    with pytest.raises(DataError, match="already holds something"):
        make_phantoms(tmp_path / "a")
