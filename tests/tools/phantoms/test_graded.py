"""Phantoms of two grades: the layout is right, the same seed gives the same voxels, and they must be looked at."""

import json
from functools import cache

import nibabel
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medbundles.data import graded_cases, read_volume
from medbundles.errors import ConfigError, DataError
from tools.phantoms.graded import make_graded_phantoms
from tools.phantoms.heads import FIELD_OF_VIEW, draw_case

SIZE = 32


@cache
def measured(seed):
    """For 80 HGG and 20 LGG cases: grade (1: HGG), mean, spread and size of the head, lesion's mean, rim minus core."""
    rows = []
    for number in range(1, 101):
        grade = "LGG" if number > 80 else "HGG"
        volumes, anatomy = draw_case(grade, SIZE, ("flair",), np.random.default_rng([seed, number]))
        image = volumes["flair"].astype(float)
        head = image[image > 0.1 * np.percentile(image, 99)]
        apart = distance(image.shape, np.array(anatomy.centre)) / anatomy.radius
        rim, core = image[(apart > 0.75) & (apart < 1)].mean(), image[apart < 0.5].mean()
        lesion = image[anatomy.lesion > 0].mean()
        row = [grade == "HGG", head.mean(), head.std(), head.size, lesion / head.mean(), (rim - core) / head.mean()]
        rows.append(row)
    return np.array(rows, dtype=float)


def distance(shape, centre):
    """Of each voxel's middle from a point in mm."""
    place = (np.indices(shape).T - (np.array(shape) - 1) / 2) * FIELD_OF_VIEW / shape[0]
    return np.sqrt(((place - centre) ** 2).sum(axis=-1)).T


def auc(features, grade):
    """Out of fold, five folds."""
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    chance = cross_val_predict(model, features, grade, cv=folds, method="predict_proba")
    return roc_auc_score(grade, chance[:, 1])


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_mean_spread_and_size_do_not_tell(seed):
    grade, mean, spread, size = measured(seed)[:, :4].T
    assert auc(np.stack([mean, spread, size], axis=1), grade) < 0.7
    assert auc(np.stack([spread / mean, size], axis=1), grade) < 0.7  # without the scanner's gain


def test_many_cases_show_no_trend_either():
    # the standard error of an AUC of 320 against 80 cases is 0.036; three of them
    table = np.concatenate([measured(seed) for seed in range(4)])
    for column in (table[:, 1], table[:, 2], table[:, 3], table[:, 2] / table[:, 1]):
        assert abs(roc_auc_score(table[:, 0], column) - 0.5) < 0.108


def test_the_ring_tells_and_the_lesions_brightness_does_not():
    table = np.concatenate([measured(seed) for seed in range(4)])
    grade, lesion, ring = table[:, 0], table[:, 4], table[:, 5]
    assert roc_auc_score(grade, ring) > 0.99
    assert lesion.min() > 1.1  # brighter than the rest of the head
    assert lesion[grade == 1].mean() == pytest.approx(lesion[grade == 0].mean(), rel=0.02)


def test_heads_differ_and_are_about_160_mm_long():
    lengths, middles = [], []
    for seed in range(12):
        volumes, _ = draw_case("LGG", SIZE, ("flair",), np.random.default_rng(seed))
        rows = np.flatnonzero((volumes["flair"] > 0).any(axis=(0, 2)))
        lengths.append(len(rows) * FIELD_OF_VIEW / SIZE)
        middles.append(rows.mean())
    assert 145 < min(lengths) < max(lengths) < 190
    assert np.mean(lengths) == pytest.approx(165, abs=10)
    assert np.ptp(middles) > 1


def test_modalities_show_the_same_lesion():
    volumes, anatomy = draw_case("HGG", SIZE, ("flair", "t1"), np.random.default_rng(3))
    inside = anatomy.lesion > 0.9
    brain = (anatomy.brain > 0.9) & (anatomy.lesion < 0.1)
    assert volumes["flair"][inside].mean() > 1.2 * volumes["flair"][brain].mean()
    assert volumes["t1"][inside].mean() < 0.9 * volumes["t1"][brain].mean()


def test_layout_record_and_place_of_the_lesions(tmp_path):
    counts = make_graded_phantoms(tmp_path, seed=5, cases=(3, 2), size=SIZE, modalities=("t1ce", "flair"))
    assert counts == {"HGG": {"cases": 3}, "LGG": {"cases": 2}}
    items = graded_cases(tmp_path, ["flair", "t1ce"], ["LGG", "HGG"])
    assert [(item["name"], item["grade"]) for item in items[2:4]] == [("phantom_003", "HGG"), ("phantom_004", "LGG")]
    assert len({item["patient"] for item in items}) == 5
    record = json.loads((tmp_path / "split_synthetic.json").read_text())
    assert record["entries"] == ["HGG", "LGG", "SYNTHETIC.txt", "split_synthetic.json"]
    text = (tmp_path / "SYNTHETIC.txt").read_text()
    assert "SYNTHETIC" in text
    assert "t1ce, flair; 32x32x32 voxels of 6.25 mm" in text
    rings = {"HGG": [], "LGG": []}
    for item in items:
        flair, info = read_volume(item["image"][0])
        assert info.spacing == pytest.approx((6.25, 6.25, 6.25))
        assert nibabel.aff2axcodes(info.affine) == ("L", "P", "S")  # as BraTS, so that nobody skips the orientation
        about = record["lesions"][item["name"]]
        apart = distance(flair.shape, np.array(about["centre_mm"])) / about["radius_mm"]
        ring = flair[(apart > 0.75) & (apart < 1)].mean() - flair[apart < 0.5].mean()
        rings[about["grade"]].append(ring / flair[flair > 0].mean())
    assert min(rings["HGG"]) > max(rings["LGG"])


def test_seed_occupied_folder_and_unknown_modality(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make_graded_phantoms(tmp_path / name, seed, cases=(1, 1), size=24)
    a, b, c = ([read_volume(path)[0] for path in sorted((tmp_path / name).rglob("*.nii.gz"))] for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    with pytest.raises(DataError, match="already holds something"):
        make_graded_phantoms(tmp_path / "a")
    with pytest.raises(ConfigError, match="'pd' is unknown"):
        make_graded_phantoms(tmp_path / "d", modalities=("pd",))
