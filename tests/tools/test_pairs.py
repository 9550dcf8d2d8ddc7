"""prepare pairs, as typed, on files of the kinds that people have."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from medbundles.data import read_image, read_mask, slice_datalist
from medbundles.data.lists.pairs import find_pairs
from tests.tools.test_data_tools import words
from tools.cli import main


def drawn(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Image (48, 56), with a spot in two of three, and the mask of the spot."""
    y, x = np.mgrid[:48, :56]
    image = 120.0 * (((y - 24) / 20) ** 2 + ((x - 28) / 24) ** 2 < 1)
    image += np.random.default_rng(number).normal(40, 8, image.shape)
    mask = ((y - 20 - number % 7) ** 2 + (x - 24 - number % 5) ** 2 < 36) & (number % 3 > 0)
    return np.clip(image + 60 * mask, 0, 255).astype(np.uint8), mask


def save(path: Path, array: np.ndarray, **how) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **how)


def written(out: Path) -> list[dict]:
    return [item for part in ("train", "val", "test") for item in slice_datalist(out / part)]


def said(lines: tuple[str, ...], output: str) -> tuple[str, ...]:
    """Those of the lines that stand in it."""
    return tuple(line for line in lines if line in output)


@pytest.fixture
def flat(tmp_path):
    """images/ and masks/, ten files of as many patients."""
    for number in range(10):
        image, mask = drawn(number)
        save(tmp_path / f"in/images/{number}.png", image)
        save(tmp_path / f"in/masks/{number}.png", mask.astype(np.uint8) * 255)
    return tmp_path / "in"


def prepare(tmp_path: Path, more: str = "", **paths) -> int:
    return main(words(f"prepare pairs --input IN --out OUT {more}", IN=tmp_path / "in", OUT=tmp_path / "out", **paths))


def test_patient_folders_with_palette_masks_umlauts_and_upper_case_endings(tmp_path, capsys):
    for number in range(12):
        image, mask = drawn(number)
        colours = np.stack([image, image // 2, image // 3], -1)
        name = f"Müller {number // 2}/Schicht {number}.PNG"
        save(tmp_path / "in/Images" / name, colours, format="PNG")
        indices = Image.fromarray(mask.astype(np.uint8)).convert("P")
        indices.putpalette([0, 0, 0, 255, 0, 0])
        place = tmp_path / "in/Labels" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        indices.save(place, format="PNG")
    assert prepare(tmp_path, "--channels 3") == 0
    assert "--kaggle_dir False --in_channels 3" in capsys.readouterr().out
    items = written(tmp_path / "out")
    assert {item["patient"] for item in items} == {f"Müller {number}" for number in range(6)}
    for item in items:
        number = int(item["name"].split()[-1])
        assert np.array_equal(read_image(item["image"], 3)[0], drawn(number)[0])
        assert np.array_equal(read_mask(item["mask"], 1)[0], drawn(number)[1])
    split = json.loads((tmp_path / "out/split_pairs.json").read_text())
    assert sum(counts["with_tumour"] for counts in split["counts"].values()) == 8
    assert prepare(tmp_path, "--overwrite") == 1
    assert "Schicht 0.PNG: its three channels differ" in capsys.readouterr().err
    assert prepare(tmp_path, "--overwrite --colour_channel 2") == 0
    assert "--kaggle_dir False --colour_channel 2" in capsys.readouterr().out
    assert np.array_equal(read_image(written(tmp_path / "out")[0]["image"], 1)[0], drawn(0)[0] // 2)


def test_16_bits_beside_their_masks_need_a_rule_for_the_patient(tmp_path, capsys):
    for number in range(12):
        image, mask = drawn(number)
        save(tmp_path / f"in/p{number // 3}_{number % 3}.TIF", image.astype(np.uint16) * 200, format="TIFF")
        save(tmp_path / f"in/p{number // 3}_{number % 3}_MASK.tiff", mask.astype(np.uint8))
    assert prepare(tmp_path) == 1
    assert "12 images seem to be of 4 patients" in (told := capsys.readouterr().err)
    assert "--patient_pattern '(.+)[_-]'" in told
    assert prepare(tmp_path, "--patient_pattern (.+)[_-]") == 0
    items = written(tmp_path / "out")
    assert {item["patient"] for item in items} == {"p0", "p1", "p2", "p3"}
    (item,) = [item for item in items if item["name"] == "p1/p1_2"]
    assert np.array_equal(read_image(item["image"], 1)[0], drawn(5)[0] * 200.0)  # nothing is cut to 8 bits


def test_nnunet_with_two_channels_of_sagittal_volumes(tmp_path, capsys):
    affine = np.array([[0, 0, 7.5, 0], [0.5, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 0, 1]])
    seg = np.zeros((20, 24, 9), np.uint8)
    seg[8:12, 8:12, 3:5] = 2
    for number in range(6):
        volume = np.zeros(seg.shape, np.int16)
        volume[4:16, 4:20, 1:8] = np.random.default_rng(number).integers(100, 1000, (12, 16, 7))
        for channel in range(2):
            for place in ("imagesTr/case", "imagesTs/new"):
                path = tmp_path / f"in/{place}_{number:03d}_{channel:04d}.nii.gz"
                path.parent.mkdir(parents=True, exist_ok=True)
                nibabel.save(nibabel.Nifti1Image(volume // (channel + 1), affine), path)
        (tmp_path / "in/labelsTr").mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(seg, affine), tmp_path / f"in/labelsTr/case_{number:03d}.nii.gz")
    about = tmp_path / "in/dataset.json"
    about.write_text('{"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "tumour": 1}}')
    assert prepare(tmp_path) == 1
    assert "labelsTr/case_000.nii.gz: holds 0 (background), 2; wanted: 0 (background)" in capsys.readouterr().err
    about.write_text('{"modality": {"0": "T1"}, "labels": {"0": "background", "2": "tumour"}}')
    assert prepare(tmp_path) == 0
    notes = "12 file(s) of a test set", "6 volume(s) have axial pixels that are far from square", "--in_channels 2"
    assert said(notes, capsys.readouterr().out) == notes
    items = written(tmp_path / "out")
    assert len(items) == 6 * 16  # of 24 axial slices 16 show something
    (item,) = [item for item in items if item["name"] == "case_003/case_003_z009"]
    image, mask = read_image(item["image"], 2), read_mask(item["mask"], 1)
    canonical = nibabel.as_closest_canonical(nibabel.load(tmp_path / "in/imagesTr/case_003_0001.nii.gz")).get_fdata()
    assert np.array_equal(image[1], canonical[::-1, ::-1, 9].T)
    assert mask.sum() == 8


def test_all_that_is_wrong_is_listed_at_once(flat, tmp_path, capsys):
    save(flat / "masks/4.png", drawn(4)[1].astype(np.uint8))  # 0/1 where the others are 0/255
    save(flat / "masks/5.png", np.zeros((30, 30), np.uint8))
    (flat / "masks/6.png").unlink()
    save(flat / "masks/99.png", np.zeros((48, 56), np.uint8))
    save(flat / "masks/3_mask.bmp", np.zeros((48, 56), np.uint8))
    save(flat / "masks/8.jpg", drawn(8)[0])
    (flat / "masks/8.png").unlink()
    assert prepare(tmp_path) == 1
    wrong = (
        "masks/4.png: holds 0, 1; wanted: 0, 255",
        "masks/5.png: is 30x30 (HxW), its image",
        "images/6.png: image without a mask",
        "masks/99.png: mask without an image",
        "masks/3_mask.bmp: is a second mask beside",
        "masks/8.jpg: is gray: ",
        "Gray masks need --threshold, the value from which on a pixel counts, such as --threshold 128. --labels whole",
    )
    assert said(wrong, capsys.readouterr().err) == wrong
    assert not (tmp_path / "out").exists()
    assert prepare(tmp_path, "--skip_bad_files") == 0
    assert {item["patient"] for item in written(tmp_path / "out")} == {"0", "1", "2", "3", "7", "9"}


def test_gray_masks_alone_need_a_threshold_and_nothing_else_is_advised(flat, tmp_path, capsys):
    for path in (flat / "masks").glob("*.png"):
        save(path, drawn(int(path.stem))[0])
    assert prepare(tmp_path) == 1
    told = capsys.readouterr().err
    assert "\nGray masks need --threshold" in told
    assert "--labels" not in told
    assert main(["check-data", str(flat)]) == 0
    assert f"note: {len(list(flat.glob('masks/*')))} mask(s) are gray. Gray masks need" in capsys.readouterr().out
    assert prepare(tmp_path, "--threshold 128 --ratios 0.8,0.2,0") == 0
    assert "note: test is empty, its share is 0" in capsys.readouterr().out


def test_constant_pictures_are_left_out_with_a_count(flat, tmp_path, capsys):
    for number in (0, 3):  # their masks are empty; they are equal, which says nothing of their patients
        save(flat / f"images/{number}.png", np.zeros((48, 56), np.uint8))
    assert prepare(tmp_path) == 0
    assert json.loads((tmp_path / "out/split_pairs.json").read_text())["near_identical"] == []
    assert "note: 2 picture(s) or slice(s) of one value are left out" in capsys.readouterr().out
    save(flat / "images/1.png", np.zeros((48, 56), np.uint8))
    assert prepare(tmp_path, "--overwrite") == 1
    assert "1.png: the image is constant, but its mask is not empty" in capsys.readouterr().err
    assert len(written(tmp_path / "out")) == 8  # what was there stays


def test_copies_stay_in_one_part_and_may_not_have_different_masks(flat, tmp_path, capsys):
    save(flat / "images/copy.jpg", drawn(1)[0], quality=95)
    save(flat / "masks/copy.png", drawn(1)[1].astype(np.uint8) * 255)
    assert prepare(tmp_path) == 0
    assert "note: 1 pair(s) of near-identical pictures stay in one part" in capsys.readouterr().out
    split = json.loads((tmp_path / "out/split_pairs.json").read_text())
    assert any({"1", "copy"} <= set(members) for members in split["parts"].values())
    save(flat / "masks/copy.png", np.zeros((48, 56), np.uint8))
    assert prepare(tmp_path, "--overwrite") == 1
    assert "copy: has an empty mask, but shows the same picture as 1" in capsys.readouterr().err
    (tmp_path / "different.csv").write_text("first,second\n1,copy\n")
    assert prepare(tmp_path, "--overwrite --different_pictures CSV", CSV=tmp_path / "different.csv") == 0


@pytest.mark.parametrize(
    ("value", "flags", "held"),
    [(128, "--labels classes", {0, 1, 2}), (128, "--labels whole", {0, 1}), (128, "--threshold 200", {0, 1})],
)
def test_masks_of_several_values(flat, tmp_path, capsys, value, flags, held):
    for path in (flat / "masks").glob("*.png"):
        mask = np.asarray(Image.open(path)).copy()
        mask[:, :24] = np.minimum(mask[:, :24], value)
        save(path, mask)
    assert prepare(tmp_path) == 1
    assert "wanted: 0, 255" in capsys.readouterr().err
    assert prepare(tmp_path, flags) == 0
    assert ("--seg_out_channels 3" in capsys.readouterr().out) == (len(held) == 3)
    items = written(tmp_path / "out")
    assert set(np.concatenate([np.unique(read_mask(item["mask"], len(held))) for item in items])) == held


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--labels al", "--labels: 'al' is unknown; use one of: one, whole, classes"),
        ("--channels 2", "--channels: 2 is unknown; use one of: 1, 3"),
        ("--step 0", "--step: 0 is not allowed; it must be at least 1."),
        ("--min_content 2", "--min_content: 2.0 is not allowed; it must be at least 0 and at most 1."),
        ("--threshold 9 --labels classes", "--threshold: gives one kind of mask"),
        ("--patient_pattern ((", "patient_pattern: '((' is no regular expression"),
        ("--patient_pattern x(y)", "patient_pattern: 'x(y)' finds no patient in 0"),
        ("--patient_pattern ()", "finds no patient"),
        ("--ratios 0.5,0.2,0.2,0.1", "three numbers are wanted, the shares of train, val, test"),
        ("--ratios 0.8,0.2", "three numbers are wanted, the shares of train, val, test; 0 leaves a set empty, as in"),
        ("--patient_pattern ^(.)*", "finds no patient|leave none"),
        ("--mask_ending", "--mask_ending needs a value"),
        ("--threshold 256", "every mask is empty"),
        ("--patients 3", "unknown flag --patients; did you mean --patient_pattern?"),
    ],
)
def test_bad_values_are_one_message(flat, tmp_path, capsys, flags, message):
    if message == "finds no patient|leave none":
        for path in sorted(flat.glob("*/*.png")):
            path.rename(path.with_name(f"a{path.name}"))
        flags, message = "--patient_pattern ^(.)", "1 patient(s) found (a) leave none for val, test"
    assert prepare(tmp_path, flags) == 1
    assert message in (told := capsys.readouterr().err)
    assert len(told.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_what_is_no_pair_says_what_would_be_one(tmp_path, capsys):
    save(tmp_path / "in/a.png", drawn(1)[0])
    assert prepare(tmp_path) == 1
    assert "no image with a mask found (1 image(s) and 0 mask(s) by their places and names" in capsys.readouterr().err


def test_real_sets(real_data):
    assert len(find_pairs(real_data / "jsrt_lungs")[0]) == 120
    assert len(find_pairs(real_data / "lgg_kaggle3m")[0]) == 286
    assert len(find_pairs(real_data / "hippocampus")[0]) == 200
