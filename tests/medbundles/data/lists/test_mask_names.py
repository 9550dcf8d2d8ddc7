"""What is a mask by its name, and of which image it could be."""

from __future__ import annotations

import pytest

from medbundles.data.lists.mask_names import folder_kind, masks_among

MASKS = (
    "TCGA_CS_4941_19960909_1_mask", "train/masks/p1/a", "labelsTr/a", "p/pseudo_seg/a", "p/OTMultiClass", "masks/no/Y1",
    "lgg-mri-segmentation/kaggle_3m/p/p_1_mask", "images/a_mask",
)  # fmt: skip
IMAGES = (
    "masked", "train/images/p1/a", "segmentations/images/a", "lgg-mri-segmentation/kaggle_3m/p/p_1",
    "imagesTr/hippocampus_001", "roi_1", "gt/b", "manual",
)  # fmt: skip


def test_masks_are_known_by_the_nearest_name_that_says_it():
    assert [name for name in (*MASKS, *IMAGES) if name in masks_among([name])] == list(MASKS)


@pytest.mark.parametrize(
    ("mask", "image"),
    [
        ("a_mask", "a"),
        ("p1/masks/7", "p1/images/7"),
        ("masks/p1/7_seg", "p1/7"),
        ("p/p_seg", "p/p_flair"),
        ("p/OTMultiClass", "p/Flair_subtrMeanDivStd"),
        ("site1-sc01-mask-r1", "site1-sc01-image"),
        ("x_gmseg", "X"),
        ("p1/roi", "p1/image"),
        ("roi_7", "7"),
        ("7 GT", "img-7"),
        ("truth/a", "a"),
        ("roi_1_mask", "roi_1"),
    ],
)
def test_a_mask_beside_its_image(mask, image):
    assert masks_among([mask, image]) == {mask: True}


@pytest.mark.parametrize(
    ("names", "masks"),
    [
        (["roi_7", "8"], {}),
        (["gt_001", "gt_002", "scan_1"], {}),
        (["p1/roi_7", "p2/7"], {}),
        (["brain_seg_4", "4"], {"brain_seg_4": False}),
        (["masks/a", "b"], {"masks/a": False}),
    ],
)
def test_no_image_that_it_could_be_of(names, masks):
    assert masks_among(names) == masks


def test_folders_of_images_and_masks():
    kinds = {"images": "images imgs Image imagesTr imagesTs", "masks": "masks Label labelsTr segmentations annotations"}
    assert all(folder_kind(name) == kind for kind, names in kinds.items() for name in names.split())
    assert not any(map(folder_kind, ["p1", "roi", "masked", "imagenet", "lgg-mri-segmentation"]))
