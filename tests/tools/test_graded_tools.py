"""sample-data --kind grades, prepare lgg3d and check-data on volumes with a grade, as typed."""

import csv
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from medbundles.data import axial_slices, graded_cases, read_image, read_volume
from tools.cli import main


def words(text, **paths):
    return [str(paths.get(word, word)) for word in text.split()]


NO_RUNS = ["--output_dir", "/nowhere"]  # whatever folds the runs in the bundle's own folder have


@pytest.fixture
def grades(tmp_path):
    out = tmp_path / "grades"
    assert main(words("sample-data --kind grades --out OUT --cases 3,2 --size 24 --modalities flair,t1", OUT=out)) == 0
    return out


def test_sample_data_of_grades(grades, tmp_path, capsys):
    assert len(graded_cases(grades, "t1", ["LGG", "HGG"])) == 5
    command = words("sample-data --kind grades --out OUT --cases 2,2 --size 24", OUT=grades)
    assert main(command) == 1
    assert "already holds HGG, LGG, SYNTHETIC.txt" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert ["HGG", "2"] in [line.split() for line in capsys.readouterr().out.splitlines()]
    assert len(graded_cases(grades, "flair", ["LGG", "HGG"])) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["grades"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--kind grades --patients 3,1,1", "--patients: not for --kind grades, which has --cases, --size"),
        ("--cases 3,2 --modalities flair", "--cases, --modalities: not for --kind slices, which has"),
        ("--kind volumes", "--kind: 'volumes' is unknown; use one of: slices, grades"),
        ("--kind grades --cases 3", "two numbers of at least 1 are wanted: HGG,LGG"),
        ("--kind grades --cases 3,0", "two numbers of at least 1 are wanted: HGG,LGG"),
        ("--kind grades --size 8", "--size 8 must be 16 to 256"),
        ("--kind grades --modalities flair,pd", "--modalities: 'pd' is unknown"),
    ],
)
def test_flags_that_cannot_be(tmp_path, capsys, flags, message):
    assert main(words(f"sample-data --out OUT {flags}", OUT=tmp_path / "out")) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_two_kinds_do_not_mix(grades, tmp_path, capsys):
    slices = "sample-data --out OUT --overwrite --patients 1,1,1 --slices 1 --size 32 --pictures 0,0,0"
    assert main(words(slices, OUT=grades)) == 1
    assert "holds HGG, LGG, another kind of data" in capsys.readouterr().err
    assert main(words(slices, OUT=tmp_path / "slices")) == 0
    assert main(words("sample-data --kind grades --overwrite --out OUT", OUT=tmp_path / "slices")) == 1
    assert "holds train, val, test, another kind of data" in capsys.readouterr().err


# --- check-data


def test_check_data_of_good_cases(grades, capsys):
    shutil.copytree(grades / "HGG/phantom_001", grades / "HGG/phantom_009")
    assert main(["check-data", str(grades), "--folds", "2", *NO_RUNS]) == 0
    out = capsys.readouterr().out
    assert "layout graded cases, 12 files read" in out
    assert "run --config_file configs/train.json --dataset_dir /" in out
    assert """--modality "['flair', 't1']" --folds 2""" in out
    for line in (
        "HGG cases: 4",
        "LGG cases: 2",
        "patients: 6",
        "cases with t1: 6",
        "under several patients",
        "nothing",
    ):
        assert line in out


def test_check_data_lists_all_that_is_wrong(grades, capsys):
    cut = grades / "HGG/phantom_001/phantom_001_flair.nii.gz"
    cut.write_bytes(cut.read_bytes()[:5000])
    (grades / "HGG/phantom_002/phantom_002_t1.nii.gz").unlink()
    shutil.copy(grades / "HGG/phantom_003/phantom_003_t1.nii.gz", grades / "LGG/phantom_004/phantom_004_t1.nii.gz")
    series = nibabel.Nifti1Image(np.zeros((8, 8, 8, 3), np.int16), np.eye(4))
    nibabel.save(series, grades / "LGG/phantom_005/phantom_005_flair.nii.gz")
    assert main(["check-data", str(grades), *NO_RUNS]) == 1
    err = capsys.readouterr().err
    assert "5 problem(s)" in err
    for wanted in (
        f"{cut}: is truncated or broken",
        "phantom_002: case without t1; it has flair",
        "phantom_003_t1.nii.gz: is HGG, but byte-identical to",
        "phantom_004_t1.nii.gz: is LGG, but byte-identical to",
        "phantom_005_flair.nii.gz: is 4D",
    ):
        assert wanted in err


def test_check_data_says_it_of_labels_that_some_cases_lack(grades, capsys):
    seg = nibabel.Nifti1Image(np.zeros((24, 24, 24), np.uint8), np.eye(4))
    cases = sorted(grades.glob("*/phantom_*"))
    nibabel.save(seg, cases[0] / f"{cases[0].name}_seg.nii.gz")
    assert main(["check-data", str(grades), "--folds", "2", *NO_RUNS]) == 0
    assert "note: of 4 case(s) the labels are not right, which 'prepare brats2d'" in capsys.readouterr().out


def test_check_data_of_an_empty_class(grades, capsys):
    shutil.rmtree(grades / "LGG")
    (grades / "LGG").mkdir()
    assert main(["check-data", str(grades), *NO_RUNS]) == 1
    assert "LGG: no case of" in capsys.readouterr().err


def test_check_data_of_a_table(grades, capsys):
    table = grades / "cases.csv"
    rows = ["path,label,patient", "HGG/phantom_001,high,a", "HGG/phantom_002,High,b"]
    rows += ["LGG/phantom_004,low,c", "LGG/phantom_005,low,d"]
    table.write_text("\n".join(rows) + "\n")
    for place in (grades, table):
        assert main(["check-data", str(place), *NO_RUNS]) == 1
        assert "folds" in capsys.readouterr().err
        assert main(["check-data", str(place), "--folds", "2", *NO_RUNS]) == 0
        out = capsys.readouterr().out
        assert "layout graded cases, 8 files read" in out  # those that the table names
        assert "patients: 4" in out
        assert """--class_names "['High', 'low']" --folds 2""" in out
    table.write_text("\n".join([*rows, "LGG/phantom_007,low,e"]) + "\n")
    assert main(["check-data", str(table), *NO_RUNS]) == 1
    assert "phantom_007: file or folder not found" in capsys.readouterr().err
    assert main(["check-data", str(grades / "other.csv"), *NO_RUNS]) == 1
    assert "not found" in capsys.readouterr().err


def test_other_layouts_keep_their_names(tmp_path, capsys):
    """Cases without class folders are not graded ones, nor are folders of lone volumes."""
    rng = np.random.default_rng(0)
    for name in ("BraTS20_Training_001", "BraTS20_Training_002"):
        (tmp_path / "flat" / name).mkdir(parents=True)
        for role in ("flair", "seg"):
            image = nibabel.Nifti1Image(rng.integers(0, 3, (8, 8, 8)).astype(np.int16), np.eye(4))
            nibabel.save(image, tmp_path / "flat" / name / f"{name}_{role}.nii.gz")
    assert main(["check-data", str(tmp_path / "flat")]) == 0
    assert "layout brats," in capsys.readouterr().out
    for folder in ("imagesTr", "imagesTs"):
        (tmp_path / "decathlon" / folder).mkdir(parents=True)
        image = nibabel.Nifti1Image(rng.integers(0, 3, (8, 8, 8)).astype(np.int16), np.eye(4))
        nibabel.save(image, tmp_path / "decathlon" / folder / "case_1.nii.gz")
    assert main(["check-data", str(tmp_path / "decathlon"), "--train_split", "0.5", *NO_RUNS]) == 0
    assert "layout plain images," in capsys.readouterr().out


# --- prepare lgg3d


@pytest.fixture
def kaggle(tmp_path):
    """Three patients with slices 1, 2, 10, 11; the last one has no grade. One has no post-contrast sequence."""
    raw = tmp_path / "raw"
    rng = np.random.default_rng(0)
    for patient in ("TCGA_AA_0001", "TCGA_AA_0002", "TCGA_AA_0003"):
        place = raw / f"{patient}_19990101"
        place.mkdir(parents=True)
        for number in (1, 2, 10, 11):
            pixels = rng.integers(0, 200, (12, 10, 3)).astype(np.uint8)
            pixels[0, :, 1] = number  # the top row tells the slice
            if patient == "TCGA_AA_0002":
                pixels[..., 2] = pixels[..., 1]
            Image.fromarray(pixels).save(place / f"{place.name}_{number}.tif")
            Image.fromarray(np.zeros((12, 10), np.uint8)).save(place / f"{place.name}_{number}_mask.tif")
    grades = "Patient,neoplasm_histologic_grade\nTCGA_AA_0001,2\nTCGA_AA_0002,1\nTCGA_AA_0003,\n"
    (raw / "data.csv").write_text(grades)
    return raw


def test_lgg3d(kaggle, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(words("prepare lgg3d --input IN --out OUT", IN=kaggle, OUT=out)) == 0
    printed = capsys.readouterr().out
    assert "without a grade: TCGA_AA_0003_19990101" in printed
    assert "the spacing of these volumes means nothing" in printed
    with (out / "cases.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [
        ["TCGA_AA_0001_19990101", "G3", "TCGA_AA_0001"],
        ["TCGA_AA_0002_19990101", "G2", "TCGA_AA_0002"],
    ]
    items = graded_cases(out / "cases.csv", ["t1", "flair", "t1ce"], ["G2", "G3"])
    assert [(item["patient"], item["label"]) for item in items] == [("TCGA_AA_0001", 1), ("TCGA_AA_0002", 0)]
    for channel, path in enumerate(items[0]["image"]):
        volume, info = read_volume(path)
        slices = axial_slices(volume)
        assert info.spacing == (1, 1, 37.5)  # 150 mm / 4
        for z, number in enumerate((1, 2, 10, 11)):  # by number, not by name
            source = kaggle / f"TCGA_AA_0001_19990101/TCGA_AA_0001_19990101_{number}.tif"
            assert np.array_equal(slices[z], read_image(source, 3)[channel])
    note = (out / "NOTE.txt").read_text()
    assert "THE SPACING MEANS NOTHING" in note
    assert "  TCGA_AA_0002_19990101: t1ce" in note
    assert main(words("prepare lgg3d --input IN --out OUT", IN=kaggle, OUT=out)) == 1
    assert main(words("prepare lgg3d --input IN --out OUT --overwrite", IN=kaggle, OUT=out)) == 0
    assert (
        main(["check-data", str(out), *NO_RUNS]) == 1
    )  # two patients are too few for a cross-validation, and that is all
    assert "1 problem(s):\n" in (said := capsys.readouterr().err)
    assert "class G2: 1 patient(s) cannot fill 5 folds" in said


def test_lgg3d_bad_patients_are_listed_and_left_out_whole(kaggle, tmp_path, capsys):
    one, two, _ = sorted(kaggle.glob("TCGA*"))
    for path in one.glob("*_1[01]*.tif"):
        path.unlink()
    with (kaggle / "data.csv").open("a") as file:
        file.write("TCGA_AA_0003,7\n")
    command = words("prepare lgg3d --input IN --out OUT", IN=kaggle, OUT=tmp_path / "out")
    assert main(command) == 1
    err = capsys.readouterr().err
    assert f"{one.name}: 2 slice(s); at least 4 are wanted" in err
    assert "neoplasm_histologic_grade '7' in data.csv; 1 (G2) or 2 (G3) is wanted" in err
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]
    assert main([*command, "--skip_bad_files"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {two.name}
    shutil.rmtree(tmp_path / "out")
    image = next(two.glob("*_2.tif"))
    Image.fromarray(np.random.default_rng(1).integers(0, 9, (9, 9, 3)).astype(np.uint8)).save(image)
    assert main(command) == 1
    assert f"{two.name}: {image}: is (9, 9)" in capsys.readouterr().err


def test_lgg3d_needs_the_grades(kaggle, tmp_path, capsys):
    (kaggle / "data.csv").unlink()
    assert main(words("prepare lgg3d --input IN --out OUT", IN=kaggle, OUT=tmp_path / "out")) == 1
    assert "no data.csv in it" in capsys.readouterr().err


def test_lgg3d_on_real_slices(real_data, tmp_path):
    source = real_data / "lgg_kaggle3m"
    assert main(words("prepare lgg3d --input IN --out OUT", IN=source, OUT=tmp_path / "out")) == 0
    items = graded_cases(tmp_path / "out/cases.csv", "flair", ["G2", "G3"])
    assert [sum(item["label"] == label for item in items) for label in (0, 1)] == [15, 8]
    assert "TCGA_HT_A61B_19991127" not in {item["name"] for item in items}
    slices = axial_slices(read_volume(items[0]["image"])[0])
    files = sorted(
        (path for path in (source / items[0]["name"]).glob("*.tif") if "mask" not in path.name),
        key=lambda path: int(Path(path).stem.rpartition("_")[2]),
    )
    assert len(files) == len(slices) == 12
    for shown, path in zip(slices, files, strict=True):
        assert np.array_equal(shown, read_image(path, 3)[1])
