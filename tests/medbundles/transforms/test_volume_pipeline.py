"""The whole preprocessing of volumes: HeadNormalise and CropToHead in 3D, and real files of three sources."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import Compose, Spacingd

from medbundles.errors import DataError
from medbundles.transforms import (
    BACKGROUND,
    VOLUME_BACKGROUND,
    CropToHead,
    HeadNormalise,
    LoadVolume,
    ResizeVolume,
    head_mask,
)

SOURCES = {
    "brats2015/brats_2013_pat0001_1": "Flair_subtrMeanDivStd",
    "brats2015/brats_2013_pat0002_1": "Flair_subtrMeanDivStd",
    "brats2015/brats_2013_pat0004_1": "Flair_subtrMeanDivStd",
    "brats2018/HGG/Brats18_2013_21_1": "Brats18_2013_21_1_flair",
    "tcga_lgg/TCGA-DU-7294": "TCGA-DU-7294_fla_bet",
}


def test_normalise_formula(volume):
    out = HeadNormalise()({"image": volume})
    head = head_mask(volume)
    pixels = volume[0][head].astype(np.float64)
    q1, median, q3 = np.percentile(pixels, (25, 50, 75))
    expected = np.clip((pixels - median) / ((q3 - q1) / 1.349), -4, 5)
    assert np.abs(out["image"][0][out["head"]] - expected).mean() < 0.02
    assert set(np.unique(out["image"][0][~out["head"]])) == {BACKGROUND}
    for a, b in ((0.003, -5.3), (40, 100)):
        shifted = HeadNormalise()({"image": volume * np.float32(a) + np.float32(b)})["image"]
        np.testing.assert_allclose(shifted, out["image"], atol=5e-3)
    with pytest.raises(DataError, match=r"a\.nii: the image is constant"):
        HeadNormalise()({"image": np.ones((1, 4, 4, 4)), "image_path": "a.nii"})


def test_crop_is_the_heads_box(volume, ball):
    item = CropToHead(margin=0)(HeadNormalise()({"image": volume}))
    found = [np.flatnonzero(ball.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    wanted = [int(f[0]) for f in found] + [len(f) for f in found]
    assert np.abs(np.array(wanted) - item["crop"].numpy()).max() <= 2
    assert item["image"].shape[1:] == tuple(item["crop"][3:].tolist())
    assert item["original_size"].tolist() == list(ball.shape)
    assert "head" not in item
    small, large = (CropToHead(m)({"image": volume})["crop"] for m in (0, 0.05))
    assert (small[:3] - large[:3] == 3).all()  # a twentieth of 68 voxels
    nothing = CropToHead()({"image": volume, "head": np.zeros(ball.shape, bool)})
    assert nothing["crop"].tolist() == [0, 0, 0, *ball.shape]


@pytest.fixture(scope="module")
def prepared(real_data):
    """Source -> (raw intensities of the head, the item at 64^3)."""
    load = Compose([LoadVolume(), Spacingd(keys="image", pixdim=[1, 1, 1], mode="bilinear")])
    rest = Compose([HeadNormalise(VOLUME_BACKGROUND), CropToHead(), ResizeVolume(64)])
    out = {}
    for case, name in SOURCES.items():
        item = load({"image": str(real_data / case / f"{name}.nii.gz"), "name": case, "label": 0})
        raw = np.asarray(item["image"])
        out[case] = raw[head_mask(raw)[None]], rest(item)
    return out


def test_real_items_are_plain(prepared):
    for _, item in prepared.values():
        assert set(item) == {"image", "label", "name", "image_path"}
        assert type(item["image"]) is torch.Tensor
        assert item["image"].shape == (1, 64, 64, 64)
        assert (item["image"] == VOLUME_BACKGROUND).float().mean() > 0.25  # around the head, as exact as it was made


def test_sources_tell_themselves_by_their_scale_before_but_not_after(prepared):
    """brats2015 is z-scored on a negative background, brats2018 and tcga are raw: mean and spread inside the head."""
    raw = np.array([(values.mean(), values.std()) for values, _ in prepared.values()])
    inside = [item["image"][item["image"] != VOLUME_BACKGROUND] for _, item in prepared.values()]
    after = np.array([(float(values.mean()), float(values.std())) for values in inside])
    assert np.ptp(raw[:, 0]) > 100
    assert raw[:, 1].max() / raw[:, 1].min() > 30
    assert np.ptp(after[:, 0]) < 0.5
    assert after[:, 1].max() / after[:, 1].min() < 1.5


def test_one_patient_in_two_releases_is_one_image(prepared):
    old, new = (prepared[case][1]["image"] for case in list(SOURCES)[2:4])
    assert float((old - new).abs().max()) < 1e-3
    other = prepared["brats2015/brats_2013_pat0001_1"][1]["image"]
    assert float((old - other).abs().mean()) > 0.3  # it is not just any two that are alike
