"""Folders of images with label maps become three sets, after everything that is wrong with them was said at once."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from medbundles.data import segmentation_parts
from medbundles.data.lists import known_labels
from medbundles.errors import ConfigError, DataError


def of(folder: Path, **options: Any) -> Any:
    return segmentation_parts(folder, **{"out_channels": 3, **options})


def in_channel_files(volumes: Path) -> None:
    """Each volume becomes two files, one for each channel."""
    for path in sorted((volumes / "images").iterdir()):
        number = path.name.removesuffix(".nii.gz")
        for channel in (0, 1):
            nibabel.save(nibabel.load(path), path.with_name(f"{number}_{channel:04d}.nii.gz"))
        path.unlink()
    (volumes / "dataset.json").unlink()


def relabel(folder: Path, change: Callable[[np.ndarray], np.ndarray], *numbers: int) -> None:
    """Change pictures' label maps, those of all scans where no numbers are given."""
    for path in sorted((folder / "labels").iterdir()):
        if not numbers or int(path.stem[-3:]) in numbers:
            Image.fromarray(change(np.asarray(Image.open(path))).astype(np.uint8)).save(path)


def names(parts: Any) -> list[str]:
    return sorted(item["name"] for items in parts.values() for item in items)


def said(error: pytest.ExceptionInfo) -> str:
    return str(error.value)


def test_every_pair_is_in_one_set_with_what_its_mask_holds(scans):
    parts = of(scans, test_split=0.25, train_split=0.7)
    assert names(parts) == [f"scan_{n:03d}" for n in range(1, 13)]
    assert {part: len(items) for part, items in parts.items()} == {"train": 6, "val": 3, "test": 3}
    empty = {item["name"] for items in parts.values() for item in items if not item["foreground"]}
    assert empty == {"scan_006", "scan_012"}


def test_the_split_is_by_patient_and_seed_and_is_kept(scans, tmp_path):
    parts = of(scans, patient_pattern=r"scan_\d\d(\d)", train_split=0.6, test_split=0.3)
    homes = {item["patient"]: part for part, items in parts.items() for item in items}
    assert len(homes) == 10  # scan_001 and scan_011 are one patient's, as 002 and 012
    assert all(homes[item["patient"]] == part for part, items in parts.items() for item in items)
    other = of(scans, seed=7)
    assert names(other) == names(of(scans, seed=7))
    assert [i["name"] for i in of(scans, seed=7)["train"]] == [i["name"] for i in other["train"]]
    assert [i["name"] for i in of(scans, seed=8)["train"]] != [i["name"] for i in other["train"]]
    path, record = of(scans, run_dir=SimpleNamespace(folder=lambda name: tmp_path / name)).record()
    assert path == tmp_path / "config/split.json"
    assert len(record["parts"]["test"]) == len(of(scans)["test"])


def test_layouts_are_all_read(scans, tmp_path):
    """Masks beside their images in folders of patients, and the list of a Decathlon's dataset.json."""
    beside = tmp_path / "beside"
    for path in (scans / "images").iterdir():
        number = int(path.stem[-3:])
        place = beside / f"p{number // 2}"
        place.mkdir(parents=True, exist_ok=True)
        path.rename(place / path.name)
        (scans / "labels" / path.name).rename(place / f"{path.stem}_mask.png")
    parts = of(beside)
    assert {item["patient"] for items in parts.values() for item in items} == {f"p{n}" for n in range(7)}
    listed = {"labels": {"0": "background", "1": "organ", "2": "lesion"}, "modality": {"0": "MRI"}}
    pairs = [
        {"image": f"./p{n // 2}/scan_{n:03d}.png", "label": f"./p{n // 2}/scan_{n:03d}_mask.png"} for n in (1, 2, 4, 5)
    ]
    (beside / "dataset.json").write_text(json.dumps(listed | {"training": pairs}))
    assert len(names(of(beside, test_split=0.25))) == 4


def test_files_of_channels_are_one_image(volumes):
    in_channel_files(volumes)
    parts = of(volumes, spatial_dims=3, channels=2)
    assert all(len(item["image"]) == 2 for items in parts.values() for item in items)
    with pytest.raises(DataError, match="is 2 files of one channel each; in_channels is 1"):
        of(volumes, spatial_dims=3)


def test_labels_beyond_out_channels_are_listed_by_file(scans):
    relabel(scans, lambda labels: np.where(labels == 2, 7, labels), 1, 4)
    with pytest.raises(DataError) as error:
        of(scans)
    assert "2 bad files" in said(error)
    assert "scan_004.png: holds 7; 0 to 2 are wanted for out_channels 3" in said(error)
    assert len(names(of(scans, skip_bad_files=True))) == 10


def test_the_number_of_classes_that_all_masks_hold_is_named(scans):
    (scans / "dataset.json").unlink()
    with pytest.raises(DataError, match=r"values that are classes need --out_channels 3, the background included"):
        of(scans, out_channels=2)
    relabel(scans, lambda labels: np.where(labels == 2, 7, labels))
    with pytest.raises(DataError, match=r"values that are classes need --out_channels, the background included"):
        of(scans, out_channels=2)


def test_gray_masks_name_the_threshold(scans):
    (scans / "dataset.json").unlink()
    ramp = np.linspace(0, 255, 32)[None].repeat(32, axis=0)
    relabel(scans, lambda labels: ramp)
    with pytest.raises(DataError) as error:
        of(scans, out_channels=2)
    assert "12 bad files" in said(error)
    assert "is gray: 32 values from 0 to 255" not in said(error)  # 32 whole values may be labels
    assert "--label_threshold 128" in said(error)
    assert len(names(of(scans, out_channels=2, label_threshold=128))) == 12
    with pytest.raises(ConfigError, match="label_threshold: 128 makes one class"):
        of(scans, label_threshold=128)


def test_a_threshold_makes_one_class_of_all_that_a_dataset_json_names(scans):
    found = of(scans, label_threshold=1, out_channels=2)
    assert sum(len(part) for part in found.values()) == 12
    assert found.labels.rule.names == {}


def test_a_mask_of_two_classes_holds_0_and_one_other_value(scans):
    (scans / "dataset.json").unlink()
    relabel(scans, lambda labels: 255 * (labels > 0))
    for channels in (1, 2):
        assert sum(item["foreground"] for items in of(scans, out_channels=channels).values() for item in items) == 10
    relabel(scans, lambda labels: labels // 255, 3)
    with pytest.raises(DataError, match=r"scan_003.png: holds 1 beside 0; the other masks hold 255"):
        of(scans, out_channels=2)


def test_a_class_that_no_training_mask_holds_is_refused(scans):
    (scans / "dataset.json").unlink()
    with pytest.raises(DataError, match=r"no training mask \(of 8\) holds the class\(es\) 3"):
        of(scans, out_channels=4)


def test_a_dataset_json_of_an_editor_that_marks_its_utf_8_is_read(scans):
    file = scans / "dataset.json"
    file.write_text(file.read_text(encoding="utf-8"), encoding="utf-8-sig")
    with pytest.raises(ConfigError, match=r"names 0 background, 1 organ, 2 lesion; use --out_channels 3"):
        of(scans, out_channels=2)


def test_what_a_dataset_json_says_counts(scans):
    with pytest.raises(ConfigError, match=r"names 0 background, 1 organ, 2 lesion; use --out_channels 3"):
        of(scans, out_channels=2)
    listed = {"labels": {"0": "background", "1": "organ", "2": "lesion"}, "modality": {"0": "CT"}}
    gone = [{"image": "images/gone.png", "label": "labels/scan_001.png"}]
    (scans / "dataset.json").write_text(json.dumps(listed | {"training": gone}))
    with pytest.raises(DataError, match=r"gone.png: is named in .*dataset.json, and is not there"):
        of(scans)
    (scans / "dataset.json").write_text("{")
    with pytest.raises(DataError, match=r"cannot be read as a dataset.json"):
        of(scans)


def test_pixels_that_are_not_labelled_are_no_class(scans):
    about = json.loads((scans / "dataset.json").read_text())
    about["labels"]["ignore"] = 3
    (scans / "dataset.json").write_text(json.dumps(about))
    relabel(scans, lambda labels: np.where(np.arange(32)[:, None] < 2, 3, labels))
    with pytest.raises(ConfigError, match=r"says that 3 is not labelled; use --ignore_label 3"):
        of(scans)
    parts = of(scans, ignore_label=3)
    assert sum(item["foreground"] for items in parts.values() for item in items) == 10
    relabel(scans, lambda labels: np.full_like(labels, 3), 1)
    with pytest.raises(DataError, match=r"scan_001.png: is not labelled anywhere"):
        of(scans, ignore_label=3)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda v, a: (v, a + 0.5 * np.eye(4)), "its affine differs by 0.5"),
        (lambda v, a: (v[:-1], a), "has the shape (15, 16, 8)"),
        (lambda v, a: (v[..., None].repeat(2, axis=3), a), "is 4D (16, 16, 8, 2)"),
    ],
)
def test_a_label_map_on_another_grid_is_one_line(volumes, spoil, message):
    path = volumes / "labels/scan_002.nii.gz"
    volume = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(*spoil(np.asarray(volume.dataobj), volume.affine)), path)
    with pytest.raises(DataError) as error:
        of(volumes, spatial_dims=3)
    assert "1 bad file:" in said(error)
    assert message in said(error)


def test_pictures_are_no_volumes(scans, volumes):
    with pytest.raises(ConfigError, match=r"spatial_dims: 3, but .* holds pictures; use --spatial_dims 2"):
        of(scans, spatial_dims=3)
    with pytest.raises(ConfigError, match=r"holds volumes \(NIfTI\); use --spatial_dims 3"):
        of(volumes)


def test_masks_are_read_once_for_all_runs(scans, tmp_path, monkeypatch, caplog):
    read: list[str] = []
    reader = known_labels.read_label_map
    monkeypatch.setattr(known_labels, "read_label_map", lambda path: read.append(path) or reader(path))
    monkeypatch.setattr("medbundles.parallel.core_count", lambda: 1)
    with caplog.at_level(logging.INFO, "medbundles"):
        of(scans, cache_dir=tmp_path / "cache")
    assert len(read) == 12
    assert "classes in the 8 training masks: 0 (background): " in caplog.text
    assert not (tmp_path / "cache").exists()  # a config that is built writes nothing
    of(scans, cache_dir=tmp_path / "cache").record()
    assert len(read) == 24
    of(scans, cache_dir=tmp_path / "cache")
    assert len(read) == 24
    relabel(scans, lambda labels: labels[::-1], 1)
    of(scans, cache_dir=tmp_path / "cache")
    assert len(read) == 25


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": [[1, 2], 3]}', "null"])
def test_a_broken_file_of_what_masks_hold_is_made_again(scans, tmp_path, content):
    cache = tmp_path / "cache"
    wanted = of(scans, cache_dir=cache)
    wanted.record()
    (file,) = cache.glob("labels_*.json")
    whole = file.read_text()
    file.write_text(content)
    again = of(scans, cache_dir=cache)
    assert again == wanted
    again.record()
    assert file.read_text() == whole


def test_folds_hold_everyone_once_and_patients_whole(scans):
    options = {"folds": 4, "patient_pattern": r"scan_\d\d(\d)"}
    tested, empty = [], []
    for fold in range(4):
        parts = of(scans, fold=fold, **options)
        patients = {part: {item["patient"] for item in items} for part, items in parts.items()}
        assert not (patients["train"] & (patients["val"] | patients["test"]) | patients["val"] & patients["test"])
        assert parts["val"] == of(scans, fold=(fold + 1) % 4, **options)["test"]  # the next fold chooses
        tested += names({"test": parts["test"]})
        empty.append(sum(not item["foreground"] for item in parts["test"]))
    assert sorted(tested) == [f"scan_{n:03d}" for n in range(1, 13)]
    assert sorted(empty) == [0, 0, 1, 1]  # each fold gets its share of those with an empty mask
    held = of(scans, fold=1, selection="held_out", **options)
    assert held["val"] == held["test"]
    assert [i["name"] for i in of(scans, folds=4, fold_seed=7)["test"]] != [
        i["name"] for i in of(scans, folds=4)["test"]
    ]


def test_folds_that_cannot_be_are_named(scans):
    with pytest.raises(ConfigError, match="fold: 1, but there are no folds; say how many with --folds"):
        of(scans, fold=1)
    with pytest.raises(ConfigError, match=r"fold: 4 is beyond the last one; with folds 4 use 0 to 3"):
        of(scans, folds=4, fold=4)
    with pytest.raises(ConfigError, match=r"Use 3 folds or more"):
        of(scans, folds=2)
    with pytest.raises(DataError, match=r"12 patient\(s\) cannot fill 20 folds; use --folds 12 or less"):
        of(scans, folds=20)


@pytest.mark.parametrize("again", [True, False])
def test_an_evaluation_knows_images_of_one_file_for_each_channel(volumes, tmp_path, again):
    in_channel_files(volumes)
    options: dict[str, Any] = {"spatial_dims": 3, "channels": 2}
    path, record = of(volumes, run_dir=SimpleNamespace(folder=lambda name: tmp_path), **options).record()
    path.write_text(json.dumps(record))
    if not again:  # the files of the training are gone
        path.write_text(json.dumps(record).replace("/images/", "/gone/"))
    assert of(volumes, earlier_split=path, **options)["test"]


def test_an_evaluation_is_held_against_the_training_of_its_fold(scans, tmp_path, caplog):
    def split(**options: Any) -> Path:
        path, record = of(scans, run_dir=SimpleNamespace(folder=lambda name: tmp_path), **options).record()
        path.write_text(json.dumps(record))
        return path

    earlier = split(folds=4, selection="held_out")
    with caplog.at_level(logging.WARNING, "medbundles"):
        of(scans, folds=4, selection="held_out", earlier_split=earlier)
    assert "the figures flatter" in caplog.text  # the tested fold chose the epoch
    with pytest.raises(DataError, match="the fold that the weights' training held out"):
        of(scans, folds=4, fold=1, earlier_split=earlier)


def test_another_test_part_than_the_training_held_back_is_told(scans, tmp_path, caplog):
    path, record = of(scans, test_split=0.5, run_dir=SimpleNamespace(folder=lambda name: tmp_path)).record()
    path.write_text(json.dumps(record))
    held = len(record["parts"]["test"])
    with caplog.at_level(logging.WARNING, "medbundles"):
        of(scans, test_split=0.5, earlier_split=path)
        assert "held back" not in caplog.text
        tested = len(of(scans, test_split=0.2, earlier_split=path)["test"])
    assert 0 < tested < held
    assert f"the training held back {held} of these images ({path}), of which {tested} are tested" in caplog.text
