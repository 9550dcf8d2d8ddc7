from __future__ import annotations

import numpy as np
import pytest

from medbundles.transforms import head_mask


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("background", [0, 40, -300])
def test_finds_the_head_on_any_background(volume, ball, background):
    image = np.where(ball, volume, background).astype(np.float32)
    assert dice(head_mask(image), ball) > 0.97


@pytest.mark.parametrize(("a", "b"), [(3, 50), (0.004, -5.3)])
def test_gain_and_offset_give_the_same_mask(volume, a, b):
    np.testing.assert_array_equal(head_mask(volume * np.float32(a) + np.float32(b)), head_mask(volume))


def test_a_head_cut_at_top_and_bottom_is_whole_in_every_plane(volume, ball):
    cut, outline = volume[..., 20:50], ball[..., 20:50]
    cut[:, 35:41, 40:46] = 0  # a canal that is open at both ends
    assert dice(head_mask(cut), outline) > 0.97
    assert head_mask(cut)[35:41, 40:46].all()


@pytest.mark.parametrize("planes", [2, 5])
def test_stacks_of_few_slices(volume, ball, planes):
    assert dice(head_mask(volume[..., 30 : 30 + planes]), ball[..., 30 : 30 + planes]) > 0.97


def test_noise_hot_voxels_and_negative_ones_do_not_matter(volume, ball):
    rng = np.random.default_rng(1)
    volume += np.abs(rng.normal(0, 6, volume.shape)).astype(np.float32)
    volume[0, 40, 40, 30:33], volume[0, 50, 30, 30:33] = 1e4, -900
    assert dice(head_mask(volume), ball) > 0.96


def test_dark_skull_and_ventricles_belong_to_the_head_and_small_things_do_not(volume, ball):
    volume[:, 30:40, 40:50, 30:40] = 0
    volume[:, 2:6, 2:6, 2:6] = 150
    mask = head_mask(volume)
    assert mask[30:40, 40:50, 30:40].all()
    assert not mask[:8, :8, :8].any()
    assert dice(mask, ball) > 0.97


def test_tissue_of_all_channels_is_united(volume, ball):
    left, right = volume.copy(), volume.copy()
    left[:, 40:], right[:, :40] = 0, 0
    constant = np.full_like(volume, 7)
    assert dice(head_mask(np.concatenate([left, right, constant])), ball) > 0.96


def test_a_volume_filled_by_the_head_is_all_head():
    image = np.random.default_rng(0).normal(100, 10, (1, 30, 30, 20)).astype(np.float32)
    image[:, 10:20, 10:20, 8:12] = 10
    assert head_mask(image).all()


def test_large_volumes_are_reduced_and_masked_as_well(volume, ball):
    large = volume.repeat(3, axis=1).repeat(3, axis=2)[:, :239, :229]
    assert dice(head_mask(large), ball.repeat(3, axis=0).repeat(3, axis=1)[:239, :229]) > 0.96


def test_real_tumours_lie_inside_the_head_and_the_background_does_not(real_data):
    """The background of brats2015 is a negative constant, that of brats2018 is 0: both are exact."""
    from medbundles.data import read_volume

    case = "brats2018/HGG/Brats18_2013_21_1/Brats18_2013_21_1"
    pairs = {
        "brats2015/brats_2013_pat0001_1/Flair_subtrMeanDivStd": "brats2015/brats_2013_pat0001_1/OTMultiClass",
        f"{case}_flair": f"{case}_seg",
        "tcga_lgg/TCGA-DU-7294/TCGA-DU-7294_fla_bet": "tcga_lgg/TCGA-DU-7294/pseudo_seg/simple",
    }
    for image_name, mask_name in pairs.items():
        image, _ = read_volume(real_data / f"{image_name}.nii.gz")
        tumour, _ = read_volume(real_data / f"{mask_name}.nii.gz")
        mask, brain = head_mask(image[None]), image != image[0, 0, 0]
        assert mask[tumour > 0].mean() > 0.999
        assert dice(mask, brain) > 0.96
