"""Raw layouts: BraTS of all years, kaggle_3m, yes/no."""

import numpy as np
import pytest
from PIL import Image

from medbundles.data.lists.brats import brats_cases, check_cases, patient_of
from medbundles.errors import DataError
from tools.prepare.lgg_files import lgg_grades, lgg_slices
from tools.prepare.yesno import image_groups


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


@pytest.mark.parametrize(
    ("case", "names", "grade"),
    [
        ("HGG/Brats18_A_1", ["Brats18_A_1_flair.nii.gz", "Brats18_A_1_t1ce.nii.gz", "Brats18_A_1_seg.nii.gz"], "HGG"),
        (
            "BraTS20_Training_355",
            ["BraTS20_Training_355_flair.nii", "BraTS20_Training_355_t1ce.nii", "W39_1998.09.19_Segm.nii"],
            "",
        ),
        ("BraTS2021_00000", [f"BraTS2021_00000_{m}.nii.gz" for m in ("flair", "t1ce", "seg")], ""),
        ("BraTS-GLI-00001-001", [f"BraTS-GLI-00001-001-{m}.nii.gz" for m in ("t2f", "t1c", "seg")], ""),
        (
            "brats_2013_pat0001_1",
            ["Flair_subtrMeanDivStd.nii.gz", "T1c_subtrMeanDivStd.nii.gz", "OTMultiClass.nii.gz"],
            "",
        ),
        (
            "TCGA-DU-7294",
            ["TCGA-DU-7294_fla_bet.nii.gz", "TCGA-DU-7294_t1c_bet.nii.gz", "TCGA-DU-7294_seg.nii.gz"],
            "",
        ),
    ],
)
def test_every_years_layout(tmp_path, case, names, grade):
    touch(tmp_path / case, *names)
    (found,) = brats_cases(tmp_path)
    assert (found.name, found.grade) == (case.rpartition("/")[2], grade)
    assert {key: path.name for key, path in found.files.items()} == {"flair": names[0], "t1ce": names[1]}
    assert found.seg.name == names[2]
    assert len(check_cases([found], ("flair", "t1ce"))) == 0
    assert "case without t2" in check_cases([found], ("t2",)).text()


def test_visits_of_a_patient_stay_together_and_case_numbers_are_no_visits():
    assert patient_of("brats_tcia_pat105_1") == patient_of("brats_tcia_pat105_2")
    assert patient_of("BraTS-GLI-00001-000") == patient_of("BraTS-GLI-00001-001")
    for name in ("BraTS20_Training_001", "BraTS2021_00000"):
        assert patient_of(name) == name


def test_case_without_labels_or_with_two_and_folders_that_are_no_brats(tmp_path):
    touch(tmp_path / "BraTS2021_1", "BraTS2021_1_flair.nii.gz")
    assert "BraTS2021_1: case without seg" in check_cases(brats_cases(tmp_path), ("flair",)).text()
    touch(tmp_path / "BraTS2021_1", "BraTS2021_1_seg.nii.gz", "BraTS2021_1_old_seg.nii.gz")
    (case,) = brats_cases(tmp_path)
    assert case.seg is None
    assert "case with 2 masks, BraTS2021_1_old_seg.nii.gz, BraTS2021_1_seg.nii.gz" in check_cases([case], ()).text()
    touch(tmp_path / "cord", "t2_t2.nii.gz", "t2_seg.nii.gz")
    with pytest.raises(DataError, match="no BraTS case found; wanted"):
        brats_cases(tmp_path / "cord")
    touch(tmp_path / "again" / "BraTS2021_1", "BraTS2021_1_flair.nii.gz")
    with pytest.raises(DataError, match="two cases are named BraTS2021_1"):
        brats_cases(tmp_path)


def test_lgg_pairs(tmp_path):
    place = tmp_path / "TCGA_X_1"
    place.mkdir()
    for name in ("TCGA_X_1_10", "TCGA_X_1_10_mask", "TCGA_X_1_2", "TCGA_X_1_2_mask", "TCGA_X_1_3", "TCGA_X_1_4_mask"):
        Image.fromarray(np.eye(4, dtype=np.uint8)).save(place / f"{name}.tif")
    slices, problems = lgg_slices(tmp_path)
    assert [(item.patient, item.number, item.mask.name) for item in slices] == [
        ("TCGA_X_1", 2, "TCGA_X_1_2_mask.tif"),
        ("TCGA_X_1", 10, "TCGA_X_1_10_mask.tif"),
    ]
    assert "TCGA_X_1_3.tif: image without a mask" in problems.text()
    assert "TCGA_X_1_4_mask.tif: mask without an image" in problems.text()
    assert lgg_grades(tmp_path)["TCGA_X"] == ""


def test_groups_with_both_labels_are_left_out_and_listed():
    found = [("g", 0, "no/1"), ("g", 1, "yes/1"), ("h", 1, "yes/2")]
    items = [{"patient": patient, "label": label, "name": name, "has_mask": False} for patient, label, name in found]
    of_a_slice = {"patient": "p", "label": 1, "name": "yes/3", "has_mask": False}
    items += [of_a_slice, {"patient": "p", "label": -1, "name": "p/0", "has_mask": True}]
    items += [{"patient": "q", "label": -1, "name": "q/0", "has_mask": True}]
    groups, torn = image_groups(items)
    assert list(groups) == ["h"]
    assert "no/1, yes/1" in torn.text()
    assert "shows the same picture as a slice, left out: yes/3 = p/0" in torn.text()
    assert len(torn) == 2


def test_real_layouts(real_data):
    slices, problems = lgg_slices(real_data / "lgg_kaggle3m")
    assert (len(slices), len({item.patient for item in slices}), len(problems)) == (286, 24, 0)
    assert set(lgg_grades(real_data / "lgg_kaggle3m").values()) <= {"", "1", "2"}
    (case,) = brats_cases(real_data / "brats2018")
    assert (case.name, case.grade, sorted(case.files)) == ("Brats18_2013_21_1", "HGG", ["flair", "t1", "t1ce", "t2"])
    assert len(brats_cases(real_data / "brats2015")) == 4
