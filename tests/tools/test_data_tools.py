"""prepare, sample-data and check-data, as typed."""

import json
from itertools import chain
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from medbundles.data import check_no_leak, checked_parts, class_folder_datalist, read_image, read_mask, slice_datalist
from medbundles.data.lists.brats import brats_cases
from medbundles.errors import ConfigError, DataError
from tests.medbundles.data.lists.test_image_parts import picture
from tools.check_data import check_data
from tools.cli import main


def words(text, **paths):
    return [str(paths.get(word, word)) for word in text.split()]


@pytest.fixture
def brats(tmp_path):
    """Three small cases: a z-scored one with negative background (old labels), two with 2018's labels."""
    rng = np.random.default_rng(0)
    affine = np.diag([-1, -1, 1, 1])
    for number in range(3):
        case = f"Brats18_X_{number}_1"
        head = np.zeros((16, 18, 8), bool)
        head[3:13, 4:15, 1:7] = True
        flair = np.where(head, rng.integers(100, 200, head.shape), 0).astype(np.int16)
        seg = np.zeros(head.shape, np.int16)
        seg[5:8, 6:9, 3] = [[1, 2, 4]] * 3
        place = tmp_path / "raw" / "HGG" / case
        place.mkdir(parents=True)
        for name, array in (("flair", flair), ("t1ce", flair // 2), ("seg", seg)):
            nibabel.save(nibabel.Nifti1Image(array, affine), place / f"{case}_{name}.nii.gz")
    return tmp_path / "raw"


def test_brats2d(brats, tmp_path, capsys):
    out = tmp_path / "out"
    command = "prepare brats2d --input IN --out OUT --modality flair,t1ce --labels classes"
    assert main(words(command, IN=brats, OUT=out)) == 0
    (item,) = [item for item in slice_datalist(out / "val") if item["name"].endswith("z003")]
    assert len(slice_datalist(out / "train")) == 6  # slices with a head
    source = brats / "HGG" / f"{item['patient']}_1" / f"{item['patient']}_1_flair.nii.gz"
    flair = nibabel.as_closest_canonical(nibabel.load(source)).get_fdata()
    image = read_image(item["image"], 2)
    assert np.load(item["image"]).dtype == np.int16
    assert np.array_equal(image[0], flair[::-1, ::-1, 3].T)
    assert np.array_equal(image[1], image[0] // 2)
    assert set(np.unique(read_mask(item["mask"], 4))) == {0, 1, 2, 3}  # 4 became 3
    split = json.loads((out / "split_brats2d.json").read_text())
    assert split["counts"]["val"] == {"patients": 1, "slices": 6, "with_tumour": 1}
    assert split["seed"] == 42
    said = capsys.readouterr().out
    assert "with_tumour" in said
    assert "--seg_out_channels 4 --label_names brats" in said


@pytest.mark.parametrize(
    ("name", "labels", "wanted"),
    [
        ("{}_seg.nii.gz", [0, 1, 2, 4], {0, 1, 2, 3}),  # 2017 to 2021
        ("{}-seg.nii.gz", [0, 1, 2, 3], {0, 1, 2, 3}),  # 2023
        ("{}-seg.nii.gz", [0, 2, 3, 4], {0, 2, 3}),  # 2024: 4 is the cavity
        ("OTMultiClass.nii.gz", [0, 2, 3, 4], {0, 1, 2, 3}),  # 2015: 3 is the non-enhancing core
        ("{}_seg.nii.gz", [0, 1, 2, 3], None),
    ],
)
def test_labels_are_those_of_the_files_name(brats, tmp_path, capsys, name, labels, wanted):
    """A case without enhancing tumour holds no 4: what occurs in it says nothing of what 3 means."""
    for path in sorted(brats.rglob("*_seg.nii.gz")):
        array = np.zeros((16, 18, 8), np.int16)
        array[5:9, 6, 3] = labels
        nibabel.save(nibabel.Nifti1Image(array, np.diag([-1, -1, 1, 1])), path.with_name(name.format(path.parent.name)))
        if path.name != name.format(path.parent.name):
            path.unlink()
    out = tmp_path / "out"
    code = main(words("prepare brats2d --input IN --out OUT --labels classes", IN=brats, OUT=out))
    if wanted is None:
        assert code == 1
        assert "holds the label 3, which files of this name have not: [0, 1, 2, 4]" in capsys.readouterr().err
        return
    assert code == 0
    items = [item for part in ("train", "val", "test") for item in slice_datalist(out / part) if "z003" in item["name"]]
    assert {value for item in items for value in np.unique(read_mask(item["mask"], 4)).tolist()} == wanted


def test_grades_of_lower_case_folders_and_of_2020s_table(brats, tmp_path):
    (brats / "HGG").rename(brats / "hgg")
    assert {case.grade for case in brats_cases(brats)} == {"HGG"}
    (brats / "hgg").rename(brats / "MICCAI_BraTS2020_TrainingData")
    table = "Grade,BraTS_2017_subject_ID,BraTS_2020_subject_ID\nLGG,x,Brats18_X_1_1\nHGG,Brats18_X_2_1,y\n"
    (brats / "MICCAI_BraTS2020_TrainingData/name_mapping.csv").write_text(table)
    grades = [case.grade for case in brats_cases(brats / "MICCAI_BraTS2020_TrainingData")]
    assert grades == ["", "LGG", "HGG"]


def test_a_scan_that_the_archive_holds_twice_is_said(tmp_path, capsys):
    for place in ("kaggle_3m", "lgg-mri-segmentation/kaggle_3m"):
        folder = tmp_path / place / "TCGA_CS_1_2"
        folder.mkdir(parents=True)
        for name in ("TCGA_CS_1_2_1.tif", "TCGA_CS_1_2_1_mask.tif"):
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / name)
    assert main(words("prepare lgg --input IN --out OUT", IN=tmp_path, OUT=tmp_path / "out")) == 1
    assert "patient TCGA_CS_1_2 is in two folders" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_slices_of_one_value_are_left_out_with_a_count(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for patient in range(4):
        folder = tmp_path / "in" / f"TCGA_CS_{patient}_2"
        folder.mkdir(parents=True)
        for number in range(3):
            image = rng.integers(0, 255, (16, 16, 3)) * (number > 0)
            image[0, 0, 0] += patient % 2  # of some only the FLAIR channel is empty
            Image.fromarray(image.astype(np.uint8)).save(folder / f"{folder.name}_{number}.tif")
            Image.fromarray(np.zeros((16, 16), np.uint8)).save(folder / f"{folder.name}_{number}_mask.tif")
    assert main(words("prepare lgg --input IN --out OUT", IN=tmp_path / "in", OUT=tmp_path / "out")) == 0
    assert "4 slice(s) of one value are left out" in capsys.readouterr().out
    assert len(list((tmp_path / "out").rglob("*_1.png"))) == 8  # image and mask
    assert not list((tmp_path / "out").rglob("*_0.png"))


def test_brats2d_min_brain_step_and_negative_background(brats, tmp_path):
    for path in brats.rglob("*_flair.nii.gz"):
        image = nibabel.load(path)
        scored = np.where(np.asarray(image.dataobj) > 0, np.asarray(image.dataobj) / 100, -4).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(scored, image.affine), path)
    assert main(words("prepare brats2d --input IN --out OUT --min_brain 0.9", IN=brats, OUT=tmp_path / "a")) == 0
    assert [item["name"][-4:] for item in slice_datalist(tmp_path / "a/train")] == ["z003"]  # only the one with tumour
    assert main(words("prepare brats2d --input IN --out OUT --step 2", IN=brats, OUT=tmp_path / "b")) == 0
    assert [item["name"][-4:] for item in slice_datalist(tmp_path / "b/train")] == ["z001", "z003", "z005"]


def test_brats2d_bad_cases_are_listed_and_nothing_is_left(brats, tmp_path, capsys):
    next(brats.rglob("*_0_1_seg.nii.gz")).unlink()
    command = words("prepare brats2d --input IN --out OUT", IN=brats, OUT=tmp_path / "out")
    assert main(command) == 1
    assert "Brats18_X_0_1: case without seg" in capsys.readouterr().err
    flair = next(brats.rglob("*_1_1_flair.nii.gz"))
    flair.write_bytes(flair.read_bytes()[:200])
    assert main([*command, "--skip_bad_files", "--ratios", "1,0,0"]) == 0
    assert {item["patient"] for item in slice_datalist(tmp_path / "out/train")} == {"Brats18_X_2"}
    for path in brats.rglob("*_flair.nii.gz"):
        path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert main(words("prepare brats2d --input IN --out OUT", IN=brats, OUT=tmp_path / "new")) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


def test_an_overwritten_dataset_holds_only_the_new_splits(brats, tmp_path):
    out = tmp_path / "out"
    command = words("prepare brats2d --input IN --out OUT --overwrite", IN=brats, OUT=out)
    (out / "kaggle").mkdir(parents=True)  # pictures of another verb, or the user's own
    assert main([*command, "--ratios", "0.4,0.3,0.3"]) == 0
    assert {"train", "val", "test"} < {path.name for path in out.iterdir()}
    assert main([*command, "--ratios", "1,0,0"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["kaggle", "split_brats2d.json", "train"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


def test_sample_data_then_check_data(tmp_path, capsys):
    out = tmp_path / "out"
    command = words("sample-data --out OUT --patients 3,1,1 --slices 2 --size 64 --pictures 4,2,2", OUT=out)
    assert main(command) == 0
    assert main(["check-data", str(out)]) == 0
    assert "nothing is wrong" in capsys.readouterr().out
    assert main(command) == 1
    assert "already holds train, val, test, kaggle, SYNTHETIC.txt" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_check_data_lists_everything(tmp_path, capsys):
    out = tmp_path / "out"
    main(words("sample-data --out OUT --patients 3,1,1 --slices 2 --size 64 --pictures 4,2,2", OUT=out))
    one, two, *_ = sorted((out / "train/images").rglob("*.png"))
    one.write_bytes(one.read_bytes()[:300])  # the header is whole: only reading the pixels shows it
    mask = out / "train/masks" / two.relative_to(out / "train/images")
    Image.fromarray(np.full((64, 64), 9, np.uint8)).save(mask)
    picture = next((out / "kaggle/train/no").iterdir())
    (out / "kaggle/val/no/copy.png").write_bytes(picture.read_bytes())
    (out / "test/images/lost.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert main(["check-data", str(out)]) == 1
    err = capsys.readouterr().err
    for wanted in ("truncated", "mask holds the values 9", "byte-identical", "lost.png: image without a mask"):
        assert wanted in err


def test_check_data_lists_colours_that_training_refuses(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name in ("no", "yes"):
        (tmp_path / name).mkdir()
        Image.fromarray(rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(tmp_path / name / "a.png")
        Image.fromarray(rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(tmp_path / name / "TCGA_CS_1_2.tif")
    with pytest.raises(DataError, match=r"(?s)4 problem\(s\):\n.*a.png: its three channels differ") as caught:
        check_data(str(tmp_path))
    of_kaggle_3m, of_others = str(caught.value).splitlines()[1:3]
    assert "2 (FLAIR in slices of kaggle_3m)" in of_kaggle_3m
    assert "kaggle_3m" not in of_others  # dental pictures, say
    check_data(str(tmp_path), colour_channel="2")
    assert "nothing is wrong" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="--colour_channel: '4' is unknown"):
        check_data(str(tmp_path), colour_channel="4")


def test_check_data_on_the_bad_inputs(real_data, capsys):
    assert main(["check-data", str(real_data / "bad_inputs")]) == 1
    assert "6 problem(s)" in capsys.readouterr().err


def test_overwrite_only_deletes_what_the_tools_wrote(tmp_path, capsys):
    raw = tmp_path / "raw"
    for name in ("no", "yes"):
        (raw / name).mkdir(parents=True)
        for number in range(4):
            pixels = np.random.default_rng([ord(name[0]), number]).integers(0, 255, (9, 9)).astype(np.uint8)
            Image.fromarray(pixels).save(raw / name / f"{number}.png")
    precious = tmp_path / "out/kaggle/precious.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine")
    command = words("prepare yesno --input IN --out OUT --overwrite True", IN=raw, OUT=tmp_path / "out")
    assert main(command) == 1
    assert "was not written by these tools; remove it yourself" in capsys.readouterr().err
    assert precious.read_text() == "mine"
    precious.unlink()
    precious.parent.rmdir()
    assert main(command) == 0
    assert main(command) == 0  # now it may
    (tmp_path / "out/SYNTHETIC.txt").write_text("phantoms")
    assert main(command) == 1
    assert "holds synthetic sample data" in capsys.readouterr().err


def test_near_identical_pictures_are_kept_together_and_found_in_two_sets(tmp_path, capsys):
    raw, out = tmp_path / "raw", tmp_path / "out"
    for n in range(12):
        picture(raw / f"{('no', 'yes')[n % 2]}/{n}.png", n)
    picture(raw / "yes/copy.jpg", 3, size=(90, 60))
    picture(raw / "no/torn.jpg", 5, size=(90, 60))  # of yes/5.png
    assert main(words("prepare yesno --input IN --out OUT", IN=raw, OUT=out)) == 0
    assert "left out" in capsys.readouterr().out
    split = json.loads((out / "split_yesno.json").read_text())
    groups = [names for part in split["parts"].values() for names in part]
    assert ["yes/3.png", "yes/copy.jpg"] in [sorted(names) for names in groups]
    assert not {"no/torn.jpg", "yes/5.png"} & {name for names in groups for name in names}
    (train,) = out.rglob("3.png")
    other = next(part for part in ("val", "test") if part not in train.parts)
    picture(out / f"kaggle/{other}/yes/again.jpg", 3, size=(100, 70))
    assert main(words("check-data OUT", OUT=out)) == 1
    assert "shows the same picture as" in capsys.readouterr().err
    assert main(words("check-data IN", IN=raw)) == 1
    assert "pair(s) of copies have different classes" in capsys.readouterr().err
    (tmp_path / "different.csv").write_text("first,second\nyes/5.png,no/torn.jpg\n")
    command = "check-data IN --different_pictures CSV"
    assert main(words(command, IN=raw, CSV=tmp_path / "different.csv")) == 0


def test_real_lgg_and_yesno_share_a_folder(real_data, tmp_path, capsys):
    out = tmp_path / "brain2d"
    assert main(words("prepare lgg --input IN --out OUT", IN=real_data / "lgg_kaggle3m", OUT=out)) == 0
    assert main(words("prepare yesno --input IN --out OUT", IN=real_data / "kaggle_yesno", OUT=out)) == 0
    slices = {part: slice_datalist(out / part) for part in ("train", "val", "test")}
    check_no_leak(slices)
    items = [*chain(*slices.values())]
    assert (len(items), len({item["patient"] for item in items})) == (286, 24)
    assert sum(bool(read_mask(item["mask"], 1).any()) for item in items) == 166
    pictures = {part: class_folder_datalist(out / "kaggle" / part, ["no", "yes"]) for part in slices}
    checked_parts(**{part: slices[part] + pictures[part] for part in slices})
    split = json.loads((out / "split_yesno.json").read_text())
    assert {"first": "yes/Y20.jpg", "second": "yes/Y92.png"}.items() <= {
        key: value for pair in split["near_identical"] if "Y92" in pair["second"] for key, value in pair.items()
    }.items()
    assert sorted(item["label"] for item in chain(*pictures.values())) == [0] * 64 + [1] * 106
    item = slices["train"][0]
    source = Path(real_data / "lgg_kaggle3m" / item["patient"] / f"{Path(item['image']).stem}.tif")
    assert np.array_equal(read_image(item["image"], 1)[0], read_image(source, 3)[1])  # the FLAIR channel
    assert main(words("prepare lgg --input IN --out OUT", IN=real_data / "lgg_kaggle3m", OUT=out)) == 1
    assert "already holds train, val, test" in capsys.readouterr().err
