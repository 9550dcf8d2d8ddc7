from __future__ import annotations

import shutil

import pytest

from medbundles.data.lists.fingerprint import fingerprint


@pytest.fixture
def items(tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    out = []
    for name in ("a", "b"):
        (folder / name).write_bytes(b"12345")
        out.append({"name": name, "label": 1, "image": str(folder / name), "mask": ""})
    return out


def test_a_moved_or_reordered_set_is_the_same_data(items, tmp_path):
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    moved = [{**item, "image": item["image"].replace("/here/", "/there/")} for item in reversed(items)]
    assert fingerprint(moved) == fingerprint(items)


@pytest.mark.parametrize(
    "change",
    [
        lambda items: items[:1],
        lambda items: [items[0], {**items[1], "label": 0}],
        lambda items: [items[0], {**items[1], "name": "c"}],
        lambda items: [items[0], {**items[1], "mask": items[0]["image"]}],
    ],
)
def test_other_items_labels_names_or_masks_are_other_data(items, change):
    assert fingerprint(change(items)) != fingerprint(items)


def test_another_size_of_a_file_is_other_data(items, tmp_path):
    before = fingerprint(items)
    (tmp_path / "here" / "a").write_bytes(b"123456")
    assert fingerprint(items) != before


def test_every_channel_of_a_list_counts(items):
    several = [{**items[0], "image": [item["image"] for item in items]}]
    before = fingerprint(several)
    assert before != fingerprint(items[:1])
    with open(items[1]["image"], "ab") as file:
        file.write(b"6")
    assert fingerprint(several) != before
