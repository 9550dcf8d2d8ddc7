"""The sets of a split that stands: nothing is in two of them, copies have one class, nothing trained on is tested."""

import json
import logging
from types import SimpleNamespace

import pytest
from PIL import Image

from medbundles.data import checked_parts, multitask_datalist
from medbundles.errors import DataError
from tests.medbundles.data.lists.test_image_parts import picture

CLASSES = ["no", "yes"]


@pytest.fixture
def folder(tmp_path):
    """Slices of two patients a part, and three pictures of each class a part."""
    for number, part in enumerate(("train", "val", "test")):
        for patient in range(2):
            for z in range(3):
                name = f"{part}/images/{part}_p{patient}/{z}.png"
                picture(tmp_path / name, 100 * number + 10 * patient + z)
                mask = tmp_path / name.replace("images", "masks")
                mask.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (120, 80)).save(mask)
        for label, name in enumerate(CLASSES):
            for n in range(3):
                picture(tmp_path / f"kaggle/{part}/{name}/{part}{n}.png", 1000 + 100 * number + 10 * label + n)
    return tmp_path


def items(folder, part):
    return multitask_datalist(str(folder / part), str(folder / "kaggle" / part), CLASSES)


def parts(folder, *names, **options):
    return checked_parts(**{name: items(folder, name) for name in names}, **options)


def written(split, tmp_path):
    path, content = split.record()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def run_dir(tmp_path):
    return SimpleNamespace(folder=lambda name: tmp_path / "run" / name)


def test_without_copies_the_sets_come_back_as_they_are(folder):
    assert parts(folder, "train", "val") == {part: items(folder, part) for part in ("train", "val")}


def test_a_copy_of_a_picture_in_two_sets_is_a_leak_in_either_source(folder):
    picture(folder / "kaggle/val/yes/copy.jpg", 1010, size=(90, 60))  # of kaggle/train/yes/train0.png
    picture(folder / "kaggle/val/no/slice.jpg", 11, size=(90, 60))  # of the slice train_p1/1
    with pytest.raises(DataError, match=r"(?s)2 leak\(s\) between train, val.*shows the same picture as") as caught:
        parts(folder, "train", "val")
    for name in ("yes/copy.jpg", "yes/train0.png", "no/slice.jpg", "train_p1/1.png", "different_pictures"):
        assert name in str(caught.value)


def test_a_patient_under_another_name_is_a_leak(folder):
    for z in range(3):
        name = f"val/images/val_p9/{z}.png"
        picture(folder / name, z, size=(90, 60))  # of train_p0
        mask = folder / name.replace("images", "masks")
        mask.parent.mkdir(exist_ok=True)
        Image.new("L", (90, 60)).save(mask)
    with pytest.raises(DataError, match=r"train_p0.* shows the same picture as .*val_p9"):
        parts(folder, "train", "val")


def test_copies_in_one_set_are_one_patient_and_must_have_one_class(folder):
    picture(folder / "kaggle/train/yes/copy.jpg", 1010, size=(90, 60))
    one = {item["name"]: item["patient"] for item in parts(folder, "train")["train"]}
    assert one["yes/copy.jpg"] == one["yes/train0.png"]
    assert len(set(one.values())) == 2 + 6
    picture(folder / "kaggle/train/no/copy.jpg", 1011, size=(90, 60))
    with pytest.raises(
        DataError, match=r"1 pair\(s\) of copies have different classes.*\n.*copy.jpg.* picture as .*train1.png"
    ):
        parts(folder, "train")
    assert parts(folder, "train", different_pictures=[["no/copy.jpg", "yes/train1.png"]])


def test_what_was_trained_on_is_not_tested_and_what_was_validated_is_said(folder, tmp_path, caplog):
    split = written(parts(folder, "train", "val", run_dir=run_dir(tmp_path)), tmp_path)
    with caplog.at_level(logging.WARNING):
        parts(folder, "test", earlier_split=split)
        assert not caplog.records
        parts(folder, "val", earlier_split=split)
    assert "the figures flatter, such as " in caplog.text
    assert "kaggle/val/no/val0.png: is in val and validation" in caplog.text
    with pytest.raises(DataError, match=r"leak\(s\) between the training, train"):
        parts(folder, "train", earlier_split=split)
    nothing = tmp_path / "other.json"  # of another member of an ensemble
    nothing.write_text('{"parts": {"train": [], "val": []}}')
    for several in ([nothing, split], [split, nothing]):
        with pytest.raises(DataError, match=r"leak\(s\) between the training, train(.*\n)*.*other\.json"):
            parts(folder, "train", earlier_split=several)
    picture(folder / "kaggle/test/no/copy.jpg", 1001, size=(90, 60))
    for n in range(3):
        (folder / f"kaggle/train/no/train{n}.png").unlink()  # known by what the split's file holds
    with pytest.raises(DataError, match=r"copy.jpg: \(test\) shows the same picture as .*train1.png \(the tr"):
        parts(folder, "test", earlier_split=split)


def cross_validated(fold: int, **more):
    parts = {
        part: [
            {"image": f"/{part}/p{patient}_{k}.png", "name": f"{part}_p{patient}/{k}", "patient": f"{part}_p{patient}",
             "source": "slices", "label": -1}
            for patient in range(4) for k in range(2)
        ] + [{"image": f"/{part}/a.png", "name": "no/a", "patient": "no/a", "source": "images", "label": 0}]
        for part in ("train", "val", "test")
    }  # fmt: skip
    return checked_parts(folds=3, fold=fold, **parts, **more)


def test_folds_share_all_sets_by_patient_and_test_each_image_once():
    tested = []
    for fold in range(3):
        parts = cross_validated(fold)
        patients = [{item["patient"] for item in parts[part]} for part in ("train", "val", "test")]
        assert not patients[0] & patients[1] | patients[0] & patients[2] | patients[1] & patients[2]
        assert sum(item["source"] == "images" for item in parts["test"]) == 1
        tested += [item["name"] for item in parts["test"]]
        assert [i["name"] for i in parts["val"]] == [i["name"] for i in cross_validated((fold + 1) % 3)["test"]]
        held_out = cross_validated(fold, selection="held_out")
        assert held_out["val"] == held_out["test"] == parts["test"]
    assert len(tested) == len(set(tested)) == 27


def test_folds_of_an_evaluation_read_the_sets_that_others_leave():
    every = cross_validated(0)
    given = {part: cross_validated(k)["test"] for part, k in (("train", 0), ("val", 1), ("test", 2))}
    later = {part: lambda part=part: given[part] for part in ("train", "val")}
    parts = checked_parts(test=given["test"], later=later, folds=3, fold=0)
    assert sum(map(len, parts.values())) == sum(map(len, every.values())) == 27
