from __future__ import annotations

import nibabel
import numpy as np
import pytest

from medbundles.data.reading.label_maps import LabelRule, is_gray, read_label_map, regions_order

HELD = np.array([[0, 1, 2], [2, 0, 3]], dtype=np.float32)


def test_values_become_classes():
    assert LabelRule(4).classes(HELD).tolist() == HELD.tolist()
    assert LabelRule(2).classes(255 * (HELD > 0)).tolist() == [[0, 1, 1], [1, 0, 1]]
    assert LabelRule(1, threshold=2).classes(HELD).tolist() == [[0, 0, 1], [1, 0, 1]]
    assert LabelRule(2, ignored=3).classes(HELD).tolist() == [[0, 1, 1], [1, 0, 3]]


@pytest.mark.parametrize(
    ("rule", "held", "problem"),
    [
        (LabelRule(4), HELD, None),
        (LabelRule(3), HELD, "holds 3; 0 to 2 are wanted for out_channels 3"),
        (LabelRule(3, names={3: "cyst"}), HELD, "holds 3 (cyst); 0 to 2"),
        (LabelRule(3, ignored=3), HELD, None),
        (LabelRule(2), HELD, "holds 1, 2, 3; 0 and one other value are wanted for out_channels 2"),
        (LabelRule(2), 255 * (HELD > 0), None),
        (LabelRule(2), HELD - 1, "holds 1, 2; 0 and one other value are wanted"),
        (LabelRule(2), HELD / 2, "is gray: 4 values from 0 to 1.5"),
        (LabelRule(3), np.arange(40), "is gray: 40 values from 0 to 39; several classes need a mask that is not"),
        (LabelRule(2, threshold=1), HELD / 2, None),
        (LabelRule(2, regions=[[1, 2, 3], [3]]), HELD, None),
        (LabelRule(1, regions=[[1]]), 255 * (HELD > 0), "holds 255; the labels of the regions [[1]] are wanted, and 0"),
        (LabelRule(2, regions=[[1, 2], [2]], names={3: "cyst"}), HELD, "holds 3 (cyst); the labels of the regions"),
        (LabelRule(2, ignored=3, regions=[[1, 2], [2]]), HELD, None),
        (LabelRule(2, regions=[[1, 2], [2]]), HELD / 2, "is gray: 4 values from 0 to 1.5; several classes need a mask"),
    ],
)
def test_what_does_not_fit_is_said(rule, held, problem):
    found = rule.problem(rule.counted(held))
    assert found is None if problem is None else problem in (found or "")


def test_pixels_are_counted_by_value():
    assert LabelRule(4).counted(HELD) == {0: 2, 1: 1, 2: 2, 3: 1}
    assert LabelRule(2, threshold=2).counted(HELD) == {0: 3, 1: 3}


def test_a_value_stands_for_its_class_or_for_its_regions():
    assert [LabelRule(3, ignored=3).classes_of(value) for value in (0, 2, 3)] == [[0], [2], []]
    assert LabelRule(2).classes_of(255) == [1]
    of_brats = LabelRule(3, ignored=5, regions=[[1, 2, 4], [1, 4], [4]])
    assert [of_brats.classes_of(value) for value in (0, 2, 1, 4, 5)] == [[], [0], [0, 1], [0, 1, 2], []]
    assert of_brats.class_names == ["1+2+4", "1+4", "4"]
    assert [of_brats.is_foreground(value) for value in (0, 2, 5)] == [False, True, False]


@pytest.mark.parametrize(
    ("regions", "order"),
    [
        ([[1, 2, 3], [2, 3], [3]], [1, 2, 3]),  # BraTS and KiTS as nnU-Net's documentation writes them
        ([[1, 2, 3], [2, 3], [2]], [1, 3, 2]),
        ([[1, 2, 4], [1, 4], [4]], [2, 1, 4]),
        ([[2, 1, 3], [3]], [2, 3]),  # any label of its own would do
        ([[3], [1, 2, 3]], None),  # painted later, the larger one hides the smaller one
        ([[1, 2], [1, 2, 3]], None),
        ([[2, 3], [1, 2]], None),  # each has a label of its own, and none stands for what is in both
        ([[1, 3], [2, 3], [3]], [1, 2, 3]),  # here one does
    ],
)
def test_regions_become_a_label_map_in_the_order_that_loses_none(regions, order):
    assert regions_order(regions) == order


@pytest.mark.parametrize(("stored", "slope"), [(np.float64, None), (np.int16, 1 / 254.99999)])
def test_labels_that_are_whole_but_for_rounding_are_whole(stored, slope, tmp_path):
    held = np.zeros((6, 5, 4))
    held[2:4], held[4:] = 1, 2
    image = nibabel.Nifti1Image((held * (255 if slope else 1.0000001)).astype(stored), np.eye(4))
    image.header.set_slope_inter(slope or 1, 0)
    nibabel.save(image, tmp_path / "a.nii.gz")
    assert not np.array_equal(nibabel.load(tmp_path / "a.nii.gz").get_fdata(), held)
    assert np.array_equal(read_label_map(tmp_path / "a.nii.gz"), held)


def test_what_lies_between_labels_stays_gray(tmp_path):
    held = np.zeros((6, 5, 4), dtype=np.float32)
    held[2:4], held[3, 0] = 1, 0.98
    nibabel.save(nibabel.Nifti1Image(held, np.eye(4)), tmp_path / "a.nii.gz")
    assert is_gray(np.unique(read_label_map(tmp_path / "a.nii.gz")))
