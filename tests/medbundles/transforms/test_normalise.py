from __future__ import annotations

import pickle

import numpy as np
import pytest

from medbundles.errors import DataError
from medbundles.transforms import BACKGROUND, HeadNormalise, head_mask


def normalise(image: np.ndarray) -> np.ndarray:
    return HeadNormalise()({"image": image})["image"]


def test_formula(head):
    out = HeadNormalise()({"image": head})
    pixels = head[0][head_mask(head)].astype(np.float64)
    q1, median, q3 = np.percentile(pixels, (25, 50, 75))
    expected = np.clip((pixels - median) / ((q3 - q1) / 1.349), -4, 5)
    assert np.abs(out["image"][0][out["head"]] - expected).mean() < 0.02  # quartiles are taken on every fourth pixel
    assert out["image"].dtype == np.float32


def test_by_moments_it_is_the_mean_and_spread_of_the_head(head, outline):
    out = HeadNormalise(background=0.0, by="moments")({"image": head})
    pixels = head[0][out["head"]].astype(float)
    wanted = (pixels - pixels.mean()) / pixels.std()
    np.testing.assert_allclose(out["image"][0][out["head"]], wanted, atol=1e-4)
    assert (out["image"][0][~out["head"]] == 0).all()


def test_background_is_one_value(head):
    for image in (head, head * 3 + 50, head - 5.3):
        out = HeadNormalise()({"image": image})
        assert set(np.unique(out["image"][0][~out["head"]])) == {BACKGROUND}


@pytest.mark.parametrize(("a", "b"), [(1, 100), (0.003, -5.3), (40, 0), (1e4, -1e4)])
def test_affine_invariance(head, a, b):
    np.testing.assert_allclose(normalise(head * a + np.float32(b)), normalise(head), atol=2e-3)


def test_channels_have_their_own_scale_and_a_constant_one_is_background(head):
    out = normalise(np.concatenate([head, head * 9 - 2, np.full_like(head, 3)]))
    np.testing.assert_allclose(out[0], out[1], atol=1e-4)
    assert (out[2] == BACKGROUND).all()


def test_a_flat_head_does_not_blow_up(outline):
    out = normalise((outline[None] * 7).astype(np.float32))
    assert set(np.unique(out)) == {BACKGROUND, 0}


def test_constant_image_is_an_error():
    with pytest.raises(DataError, match=r"a\.png: the image is constant \(every pixel is 4\)"):
        HeadNormalise()({"image": np.full((1, 8, 8), 4.0), "image_path": "a.png"})


def test_the_input_stays_as_it_was(head):
    before = head.copy()
    pickle.loads(pickle.dumps(HeadNormalise()))({"image": head})
    np.testing.assert_array_equal(head, before)


def test_two_real_sources_agree(real_data):
    """FLAIR slices and pictures from the web: mean and spread of the head tell the source before, not after."""
    from medbundles.data import read_image

    raw, normalised = {}, {}
    for name, pattern in {"lgg": "lgg_kaggle3m/*/*[0-9].tif", "yesno": "kaggle_yesno/*/*"}.items():
        slices = [read_image(path, 3)[1:2] for path in sorted(real_data.glob(pattern))[::4]]
        items = [HeadNormalise()({"image": image}) for image in slices]
        before = [image[0][item["head"]] for image, item in zip(slices, items, strict=True)]
        after = [item["image"][0][item["head"]] for item in items]
        raw[name] = np.array([(pixels.mean(), pixels.std()) for pixels in before])
        normalised[name] = np.array([(pixels.mean(), pixels.std()) for pixels in after])

    def distance(of: dict[str, np.ndarray]) -> np.ndarray:
        """Difference of the sources' means in standard deviations, for mean and spread (Cohen's d)."""
        spread = np.sqrt((of["lgg"].var(axis=0) + of["yesno"].var(axis=0)) / 2)
        return np.abs(of["lgg"].mean(axis=0) - of["yesno"].mean(axis=0)) / spread

    assert (distance(raw) > 0.9).all(), distance(raw)
    assert (distance(normalised) < 0.5).all(), distance(normalised)
    assert np.abs(normalised["lgg"].mean(axis=0) - normalised["yesno"].mean(axis=0)).max() < 0.2


def test_one_patient_in_two_releases_agrees(real_data):
    """BraTS 2015 as z-scores with a background of -5.3, and BraTS 2018 as raw values with 0."""
    nibabel = pytest.importorskip("nibabel", reason="NIfTI files need nibabel")
    old = nibabel.load(real_data / "brats2015/brats_2013_pat0004_1/Flair_subtrMeanDivStd.nii.gz")
    new = nibabel.load(real_data / "brats2018/HGG/Brats18_2013_21_1/Brats18_2013_21_1_flair.nii.gz")
    volumes = [nibabel.as_closest_canonical(image).get_fdata(dtype=np.float32) for image in (old, new)]
    for z in (40, 80, 120):
        a, b = (volume[None, :, :, z] for volume in volumes)
        assert abs(a.mean() - b.mean()) > 50
        np.testing.assert_allclose(normalise(a), normalise(b), atol=1e-4)
