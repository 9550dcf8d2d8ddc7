"""A dataset.json says what it should, or what is wrong with it and what would be right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medbundles.data.lists.dataset_json import listed_pairs, read_dataset_json
from medbundles.errors import DataError

LABELS = {"0": "background", "1": "cord"}


def written(folder: Path, content: Any) -> Path:
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1, 2], 'has no "labels"; wanted: "labels": {"0": "background", "1": "liver"}'),
        ({"modality": {"0": "MRI"}}, 'has no "labels"'),
        ({"labels": ["background", "cord"]}, "labels: .* is not of type 'object'; wanted"),
        ({"labels": {"cord": "one"}}, "labels/cord: .*; wanted"),
        ({"labels": {"0": 3}}, "labels/0: 3 is not of type 'string'"),
        ({"labels": LABELS, "modality": ["MRI"]}, 'modality: .* is not of type \'object\'; wanted: {"0": "MRI"}'),
        ({"labels": LABELS, "channel_names": {"first": "T1"}}, "channel_names: 'first' does not match"),
        ({"labels": LABELS, "training": {"image": "a"}}, "training: .* is not of type 'array'"),
        ({"labels": LABELS, "training": ["a.nii.gz"]}, "training/0: 'a.nii.gz' is not of type 'object'"),
        ({"labels": LABELS, "training": [{"image": 3, "label": 4}]}, "training/0/label: 4 is not of type 'string'"),
        ({"labels": LABELS, "training": [{"image": "a"}]}, "training/0: 'label' is a required property"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(content, said, tmp_path):
    with pytest.raises(DataError, match=said) as told:
        read_dataset_json(written(tmp_path, content))
    assert str(told.value).startswith(f"{tmp_path / 'dataset.json'}: ")
    assert "Error:" not in str(told.value)


@pytest.mark.parametrize("labels", [LABELS, {"background": 0, "cord": 1}, {"background": "0", "cord": "1"}])
def test_both_forms_and_numbers_as_texts_are_read_and_nothing_else_is_needed(labels, tmp_path):
    about = read_dataset_json(written(tmp_path, {"labels": labels, "numTraining": "8"}))
    assert about.labels == {0: "background", 1: "cord"}
    assert about.modalities == about.training == []


def test_files_outside_the_folder_are_noted_and_not_taken(tmp_path):
    for name in ("data/a.nii.gz", "data/b.nii.gz", "other/a.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    named = ["../other/a.nii.gz", "../../etc/passwd", str(tmp_path / "other/a.nii.gz")]
    pairs, problems = listed_pairs(tmp_path / "data", [("a.nii.gz", "b.nii.gz"), *((n, "./b.nii.gz") for n in named)])
    assert [pair.name for pair in pairs] == ["a"]
    assert len(problems) == 3
    assert all("is not below its folder" in what for _, what in problems.found)
    inside = str(tmp_path / "data/a.nii.gz")
    assert len(listed_pairs(tmp_path / "data", [(inside, "./b.nii.gz")])[0]) == 1
