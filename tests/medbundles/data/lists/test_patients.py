"""Patients that names and folders show."""

import logging

import pytest

from medbundles.data.lists.patients import warn_of_patients, with_patients
from medbundles.errors import ConfigError


def items(*paths, **more):
    return [{"image": path, "name": path, "patient": path} | more for path in paths]


@pytest.mark.parametrize(
    ("paths", "what"),
    [
        (["a/TCGA_4941_15.png", "a/TCGA_4941_16.png", "a/TCGA_77_1.png", "a/TCGA_77_2.png"], "names 4 images"),
        (["a/p1-z001.png", "a/p1-z002.png", "a/p2-z001.png", "a/p2-z003.png", "a/p3-z1.png"], "names 4 images"),
        (["a/Müller_s0.png", "a/Müller_s1.png", "a/Meier_s0.png", "a/Meier_s1.png"], "names 4 images"),
        (["a/E 8_s1.png", "a/E 8_s2.png", "a/E 9_s1.png", "a/E 9_s2.png"], "names 4 images"),
        (["a/p1_img0.png", "a/p1_img1.png", "a/p2_img0.png", "a/p2_img1.png"], "names 4 images"),
        (["a/c1 slice 0.png", "a/c1 slice 1.png", "a/c2 slice 0.png", "a/c2 slice 1.png"], "names 4 images"),
        (["a/image_a1.png", "a/image_a2.png", "a/JPCLN001.png", "a/JPCLN002.png"], ""),
        (["case_1/t1.nii", "case_1/t1ce.nii", "case_2/t1.nii", "case_2/t1ce.nii"], "folders 4 images"),
        (["a/no 1.png", "a/no 2.png", "a/Y1.png", "a/Y10.png"], ""),
        (["a/BraTS20_Training_001.nii", "a/BraTS20_Training_002.nii"], ""),
        (["a/2018_1.png", "a/2018_2.png"], ""),  # one beginning that all have
        (["HGG/a.nii", "HGG/b.nii", "LGG/a.nii", "LGG/c.nii"], ""),
        (["site1/a.nii", "HGG/b.nii", "site2/a.nii"], ""),
    ],
)
def test_images_that_seem_to_be_of_one_patient(paths, what, caplog):
    with caplog.at_level(logging.WARNING):
        warn_of_patients(items(*paths), "ADVICE")
    assert (f"By their {what} seem to be of 2 patients" in caplog.text) if what else not caplog.text
    assert ("ADVICE" in caplog.text) == bool(what)


def test_known_patients_are_left_alone(caplog):
    known = items("a/x1_1.png", "a/x1_2.png", "a/x2_1.png", "a/x2_2.png", patient="p")
    with caplog.at_level(logging.WARNING):
        warn_of_patients(known, "")
    assert not caplog.text
    assert with_patients(known, r"(x\d)_") == known
    assert [item["patient"] for item in with_patients(items("a/x1_1.png", "a/x2_1.png"), r"(x\d)_")] == ["x1", "x2"]
    with pytest.raises(ConfigError, match=r"patient_pattern: .* finds no patient in y\.png"):
        with_patients(items("a/y.png"), r"(x\d)_")
