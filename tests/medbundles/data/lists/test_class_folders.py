"""Class folders and CSV files: labels, groups of identical files, errors."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from medbundles.data import checked_parts, class_folder_datalist
from medbundles.data.lists.copies import copies
from medbundles.errors import DataError


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (9, 9)).astype(np.uint8)).save(path, format="PNG")
    return path


@pytest.fixture
def folder(tmp_path):
    picture(tmp_path / "Yes" / "a b.JPG", 1)
    picture(tmp_path / "Yes" / "copy of a b.jpeg", 1)
    picture(tmp_path / "Yes" / "c.png", 2)
    picture(tmp_path / "NO" / "c.png", 3)
    return tmp_path


def test_items(folder):
    items = class_folder_datalist(folder, ["no", "yes"])
    assert [(item["name"], item["label"]) for item in items] == [
        ("no/c.png", 0),
        ("yes/a b.JPG", 1),
        ("yes/c.png", 1),
        ("yes/copy of a b.jpeg", 1),
    ]
    assert [item["patient"] for item in items] == [item["name"] for item in items]
    joined = checked_parts(all=items)["all"]
    assert joined[1]["patient"] == joined[3]["patient"]
    assert len({item["patient"] for item in joined}) == 3
    assert (items[0]["mask"], items[0]["has_mask"], items[0]["source"]) == ("", False, "images")
    assert [item["label"] for item in class_folder_datalist(folder, ["yes", "no"])] == [1, 0, 0, 0]


def test_a_table_as_programs_really_save_it(folder):
    """Spaces behind the commas are no part of the names; what is not UTF-8 text, or a row without a path, is told."""
    table = folder / "images.csv"
    table.write_text("path, label, patient\nNO/c.png, no, p1\nYes/c.png, yes , p2\n")
    items = class_folder_datalist(table, ["no", "yes"])
    assert [(item["name"], item["label"], item["patient"]) for item in items] == [
        ("NO/c.png", 0, "p1"),
        ("Yes/c.png", 1, "p2"),
    ]
    table.write_text("path,label\n,no\nYes/c.png,yes\n")
    with pytest.raises(DataError, match=r"a row: has no path \(label 'no'\)"):
        class_folder_datalist(table, ["no", "yes"])
    table.write_bytes("path,label\nNO/ü.png,no\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"images\.csv: cannot be read as a CSV .*; save it as CSV in UTF-8"):
        class_folder_datalist(table, ["no", "yes"])


def test_off(folder):
    assert class_folder_datalist(None, ["no", "yes"]) == []
    assert class_folder_datalist(False, ["no", "yes"]) == []


def test_errors_name_the_class_and_the_file(folder, tmp_path):
    with pytest.raises(
        DataError, match=r"no folder for the class\(es\) maybe; class_names wants: no, yes, maybe, found: NO, Yes"
    ):
        class_folder_datalist(folder, ["no", "yes", "maybe"])
    with pytest.raises(DataError, match="prepare yesno"):
        class_folder_datalist(folder / "nowhere", ["no", "yes"])
    (folder / "maybe").mkdir()
    with pytest.raises(DataError, match="maybe: no images in it"):
        class_folder_datalist(folder, ["no", "maybe"])
    (folder / "NO" / "bad.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"1 bad file:\n.*bad\.png: not a readable image"):
        class_folder_datalist(folder, ["no", "yes"])
    assert len(class_folder_datalist(folder, ["no", "yes"], skip_bad_files=True)) == 4


def test_csv(folder):
    table = folder / "list.csv"
    table.write_text("path,label,patient\nYes/c.png,yes,p1\nNO/c.png,0,p2\nYes/a b.JPG,YES,p1\n")
    items = class_folder_datalist(table, ["no", "yes"])
    assert [(i["name"], i["label"], i["patient"]) for i in items] == [
        ("NO/c.png", 0, "p2"),
        ("Yes/a b.JPG", 1, "p1"),
        ("Yes/c.png", 1, "p1"),
    ]
    table.write_text("path,label\nYes/c.png,maybe\nYes/c.png,yes\n")
    with pytest.raises(DataError, match=r"label 'maybe' is none of no, yes(.|\n)*listed twice"):
        class_folder_datalist(table, ["no", "yes"])
    table.write_text("file,class\n")
    with pytest.raises(DataError, match="needs the columns path,label"):
        class_folder_datalist(table, ["no", "yes"])


def test_the_real_yes_no_set(real_data):
    items = class_folder_datalist(real_data / "kaggle_yesno", ["no", "yes"])
    assert Counter(item["label"] for item in items) == {0: 64, 1: 106}
    assert len({item["name"] for item in items}) == 170
    assert len(copies(items)) == 17  # as sha256sum counts them
    patient = {item["name"]: item["patient"] for item in checked_parts(all=items)["all"]}
    for group in copies(items):
        assert len({patient[item["name"]] for item in group.values()}) == 1
