"""Graded volumes: layouts, and everything that can be wrong with them."""

from __future__ import annotations

import gzip
import logging
import re
import shutil
import struct
import zlib

import nibabel
import numpy as np
import pytest

from medbundles.data import graded_cases
from medbundles.errors import DataError

CLASSES = ["LGG", "HGG"]


def write(path, shape=(6, 5, 4), affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(zlib.crc32(path.name.encode())).normal(100, 10, shape).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine), path)
    return path


def case(root, grade, name, modalities=("flair", "t1"), **settings):
    for modality in modalities:
        write(root / grade / name / f"{name}_{modality}.nii.gz", **settings)
    return root / grade / name


@pytest.fixture
def brats(tmp_path):
    root = tmp_path / "brats"
    for name in ("Brats18_A_1", "Brats18_A_2"):
        case(root, "HGG", name)
    case(root, "lgg", "Brats18_B_1")  # any case of letters
    return root


def test_a_folder_of_brats_2018(brats):
    found = graded_cases(brats, "flair", CLASSES)
    assert [(item["name"], item["grade"], item["label"], item["patient"]) for item in found] == [
        ("Brats18_A_1", "HGG", 1, "Brats18_A"),
        ("Brats18_A_2", "HGG", 1, "Brats18_A"),
        ("Brats18_B_1", "LGG", 0, "Brats18_B"),
    ]
    assert found[0]["image"] == str(brats / "HGG/Brats18_A_1/Brats18_A_1_flair.nii.gz")
    assert found[0]["source"] == "volumes"


def test_several_modalities_are_a_list_in_the_order_asked_for(brats):
    item = graded_cases(brats, ["t1", "flair"], CLASSES)[0]
    assert [path.rpartition("_")[2] for path in item["image"]] == ["t1.nii.gz", "flair.nii.gz"]


def test_plain_volumes_in_folders_of_any_class_names(tmp_path):
    for name in (
        "G2/a.nii",
        "G2/a_seg.nii",
        "G2/a_gt.nii",
        "G2/._a.nii",
        "G3/b.nii.gz",
        "G3/b_t1.nii.gz",
        "G3/c_flair.nii.gz",
    ):
        write(tmp_path / name)
    found = graded_cases(tmp_path, "flair", ["G2", "G3"])
    assert [(item["name"], item["grade"], item["patient"]) for item in found] == [
        ("a", "G2", "a"),
        ("b", "G3", "b"),
        ("c_flair", "G3", "c_flair"),
    ]


def test_a_csv_of_folders_and_volumes(brats, tmp_path):
    write(brats / "other" / "scan.nii.gz")
    table = brats / "cases.csv"
    table.write_text("path,label,patient\nHGG/Brats18_A_1,hgg,p9\nlgg/Brats18_B_1,0,\nother/scan.nii.gz,LGG,\n")
    found = graded_cases(table, "flair", CLASSES)
    assert [(item["name"], item["label"], item["patient"]) for item in found] == [
        ("Brats18_A_1", 1, "p9"),
        ("Brats18_B_1", 0, "Brats18_B"),
        ("other/scan", 0, "other/scan"),
    ]
    with pytest.raises(DataError, match=r"scan\.nii\.gz: is one file; 2 modalities"):
        graded_cases(table, ["flair", "t1"], CLASSES)
    table.write_text("path,label\nHGG/Brats18_A_1,HGG\nHGG,HGG\nnone,LGG\n")
    with pytest.raises(DataError, match="holds 2 cases") as caught:
        graded_cases(table, "flair", CLASSES)
    assert "none: file or folder not found" in str(caught.value)
    table.write_text("path,label\nHGG/Brats18_A_1,HGG\n")
    with pytest.raises(DataError, match=r"no row has the class\(es\) LGG"):
        graded_cases(table, "flair", CLASSES)
    table.write_text("path,label\nHGG/Brats18_A_1,G4\n")
    with pytest.raises(DataError, match="label 'G4' is none of LGG, HGG"):
        graded_cases(table, "flair", CLASSES)


def spoil(brats):
    """Seven bad cases, each in its own way; returns what is said of them."""
    case(brats, "HGG", "four", shape=(4, 4, 4, 2))
    case(brats, "HGG", "plane", shape=(4, 4, 1))
    case(brats, "HGG", "metres", affine=np.diag([1e-3, 1e-3, 1e-3, 1]))
    case(brats, "HGG", "missing", ("t1",))
    (case(brats, "HGG", "lfs") / "lfs_flair.nii.gz").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    write(case(brats, "HGG", "shapes") / "shapes_t1.nii.gz", shape=(6, 5, 3))
    write(case(brats, "HGG", "moved") / "moved_t1.nii.gz", affine=np.diag([-1, 1, 1, 1]) + np.eye(4, k=3) * 9)
    cut = case(brats, "HGG", "cut", ()) / "cut_flair.nii"
    content = write(cut).read_bytes()
    cut.write_bytes(content[:400])
    (brats / "HGG" / "empty").mkdir()
    return {
        "four_flair.nii.gz": "is 4D (4, 4, 4, 2); one 3D volume is wanted",
        "plane_t1.nii.gz": "a volume of two planes or more is wanted",
        "metres_flair.nii.gz": "its voxels are 0.001 x 0.001 x 0.001 mm; 0.05 to 50 mm are wanted",
        "missing": "case without flair; it has t1",
        "lfs_flair.nii.gz": "is a git-lfs pointer",
        "shapes_t1.nii.gz": "has the shape (6, 5, 3)",
        "moved_t1.nii.gz": "its affine differs by 4 from that of",
        "cut": "case without t1",
        "empty": "no BraTS case found",
    }


def test_all_bad_files_are_listed_at_once_and_can_be_left_out(brats, caplog):
    said = spoil(brats)
    with pytest.raises(DataError, match="bad files") as caught:
        graded_cases(brats, ["flair", "t1"], CLASSES)
    for name, what in said.items():
        (line,) = (line for line in str(caught.value).splitlines() if f"/{name}: " in line)
        assert what in line
    assert "--skip_bad_files True" in str(caught.value)
    with caplog.at_level(logging.WARNING, "medbundles"):
        found = graded_cases(brats, ["flair", "t1"], CLASSES, skip_bad_files=True)
    assert [item["name"] for item in found] == ["Brats18_A_1", "Brats18_A_2", "Brats18_B_1"]
    assert "/lfs/lfs_flair.nii.gz: is a git-lfs pointer" in caplog.text


def test_a_truncated_volume_is_known_by_its_header(brats):
    spoil(brats)
    with pytest.raises(DataError, match=r"cut_flair\.nii: is truncated"):
        graded_cases(brats, "flair", CLASSES)


def test_the_same_grid_stored_in_another_orientation_is_the_same(brats):
    turned = np.diag([-1.0, 1, 1, 1])
    turned[0, 3] = 5  # voxel 0 is the last one of six
    write(brats / "HGG/Brats18_A_1/Brats18_A_1_t1.nii.gz", affine=turned)
    assert len(graded_cases(brats, ["flair", "t1"], CLASSES)) == 3


def test_missing_empty_and_wrong_folders_say_what_is_wanted_and_what_was_found(brats, tmp_path):
    with pytest.raises(DataError, match=r"nowhere: folder not found. Wanted: <dataset_dir>/<grade>/<case>/"):
        graded_cases(tmp_path / "nowhere", "flair", CLASSES)
    with pytest.raises(DataError, match=r"no folder for the class\(es\) G2, G3; .* wants: G2, G3, found: HGG, lgg"):
        graded_cases(brats, "flair", ["G2", "G3"])
    (brats / "G5").mkdir()
    with pytest.raises(DataError, match="G5: no case of flair in it"):
        graded_cases(brats, "flair", ["HGG", "G5"])
    (brats / "LGG").mkdir()
    with pytest.raises(DataError, match="two folders for the class LGG: LGG, lgg"):
        graded_cases(brats, "flair", CLASSES)


def test_a_class_whose_cases_are_all_bad_is_not_silently_lost(brats):
    (brats / "lgg/Brats18_B_1/Brats18_B_1_flair.nii.gz").write_bytes(b"")
    with pytest.raises(DataError, match="no usable case of the class LGG is left"):
        graded_cases(brats, "flair", CLASSES, skip_bad_files=True)


def test_other_folders_are_named_and_two_cases_of_one_name_refused(brats, caplog):
    case(brats, "unsure", "Brats18_A_1")
    with caplog.at_level(logging.WARNING, "medbundles"):
        assert len(graded_cases(brats, "flair", CLASSES)) == 3
    assert "unsure belong to no class" in caplog.text
    case(brats, "lgg", "Brats18_A_1")
    with pytest.raises(DataError, match="one of 2 cases named Brats18_A_1"):
        graded_cases(brats, "flair", CLASSES)


def test_real_files_of_three_sources_from_a_csv(real_data, tmp_path):
    table = tmp_path / "cases.csv"
    table.write_text(
        f"path,label\n{real_data}/brats2015/brats_2013_pat0001_1,HGG\n"
        f"{real_data}/brats2018/HGG/Brats18_2013_21_1,HGG\n{real_data}/tcga_lgg/TCGA-DU-7294,LGG\n"
    )
    found = graded_cases(table, "flair", CLASSES)
    assert [(item["name"], item["patient"]) for item in found] == [
        ("Brats18_2013_21_1", "Brats18_2013_21"),
        ("TCGA-DU-7294", "TCGA-DU-7294"),
        ("brats_2013_pat0001_1", "brats_2013_pat0001"),
    ]


def test_what_only_a_close_look_at_a_file_shows_is_listed_before_anything_starts(brats):
    """Cut off, colours or complex numbers in the voxels, no voxel size: all without reading a whole good file."""
    folder = brats / "lgg"
    write(folder / "cut.nii.gz", shape=(32, 32, 32))
    write(folder / "sizeless.nii.gz")
    whole = (folder / "cut.nii.gz").read_bytes()
    (folder / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    colours = np.zeros((6, 5, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), folder / "colours.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.ones((6, 5, 4), np.complex64), np.eye(4)), folder / "complex.nii.gz")
    header = bytearray(gzip.decompress((folder / "sizeless.nii.gz").read_bytes()))
    struct.pack_into("<ffff", header, 76, 1, 0, 0, 0)  # pixdim
    struct.pack_into("<hh", header, 252, 0, 0)  # no qform, no sform
    (folder / "sizeless.nii.gz").write_bytes(gzip.compress(bytes(header)))
    with pytest.raises(DataError, match="4 bad files") as caught:
        graded_cases(brats, "flair", CLASSES)
    for name, reason in (
        ("cut", r"is truncated or broken: it cannot be unpacked to \(32, 32, 32\) voxels"),
        ("colours", "its voxels are colours"),
        ("complex", "its voxels are complex numbers"),
        ("sizeless", "the voxel size in its header is 0"),
    ):
        assert re.search(rf"{name}\.nii\.gz: {reason}", str(caught.value))


def test_a_gzip_file_of_several_parts_or_with_more_at_its_end_is_whole(brats):
    """The length in the last four bytes is then not that of the volume."""
    path = write(brats / "lgg" / "x.nii.gz")
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:]) + bytes(16))
    assert "x" in [item["name"] for item in graded_cases(brats, "flair", CLASSES)]
    path.write_bytes(gzip.compress(content + b"more"))
    assert "x" in [item["name"] for item in graded_cases(brats, "flair", CLASSES)]


def test_one_volume_with_two_grades_is_wrong(brats):
    original = brats / "HGG" / "Brats18_A_1" / "Brats18_A_1_flair.nii.gz"
    shutil.copy(original, brats / "lgg" / "copy.nii.gz")
    with pytest.raises(DataError, match="2 bad files") as caught:
        graded_cases(brats, "flair", CLASSES)
    assert "copy.nii.gz: is LGG, but byte-identical to" in str(caught.value)
    assert "Brats18_A_1_flair.nii.gz (HGG); one of the classes is wrong" in str(caught.value)
    left = graded_cases(brats, "flair", CLASSES, skip_bad_files=True)
    assert [item["name"] for item in left] == ["Brats18_A_2", "Brats18_B_1"]


def test_a_patient_with_two_grades_is_asked_about(brats, caplog):
    """It may be right: some gliomas progress."""
    table = brats / "cases.csv"
    table.write_text("path,label,patient\nHGG/Brats18_A_1,HGG,p1\nlgg/Brats18_B_1,LGG,p1\n")
    with caplog.at_level(logging.WARNING, "medbundles"):
        assert len(graded_cases(table, "flair", CLASSES)) == 2
    assert "patients with cases of several grades, is that right? p1" in caplog.text


def test_a_modality_that_a_case_has_twice_is_not_guessed(brats):
    shutil.copy(
        brats / "HGG/Brats18_A_1/Brats18_A_1_flair.nii.gz", brats / "HGG/Brats18_A_1/Brats18_A_1_b_flair.nii.gz"
    )
    with pytest.raises(DataError, match=r"holds two volumes that are flair by name: Brats18_A_1_b_flair\.nii\.gz and"):
        graded_cases(brats, "flair", CLASSES)
