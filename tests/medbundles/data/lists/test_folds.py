"""Folds: every case tested once, patients whole, classes in each, a file that is believed only where it fits."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest

from medbundles.data import GradedFolds, SplitRecord
from medbundles.data.lists.folds import split_cases
from medbundles.errors import ConfigError, DataError

CLASSES = ["LGG", "HGG"]


@pytest.fixture
def dataset(tmp_path):
    """20 HGG and 5 LGG cases; two HGG visits of one patient."""
    root, rng = tmp_path / "data", np.random.default_rng(0)
    names = {"HGG": [f"h{i:02d}" for i in range(18)] + ["Brats18_X_1", "Brats18_X_2"]}
    names["LGG"] = [f"l{i:02d}" for i in range(5)]
    for grade in names:
        for name in names[grade]:
            write(root, grade, name, rng.normal(size=(4, 4, 4)))
    return root


def write(root, grade, name, voxels):
    path = root / grade / name / f"{name}_flair.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32), np.eye(4)), path)
    return path


def names(items):
    return {item["name"] for item in items}


def test_every_case_is_tested_once_and_every_fold_has_its_share(dataset):
    tested = []
    for fold in range(5):
        data = GradedFolds(dataset, "flair", CLASSES, folds=5, fold=fold)
        train, held_out = names(data["train"]), names(data["test"])
        assert not train & held_out
        assert len(train | held_out) == 25
        assert data["val"] == data["test"]
        grades = [item["grade"] for item in data["test"]]
        assert grades.count("LGG") == 1
        assert 3 <= grades.count("HGG") <= 5
        assert len({"Brats18_X_1", "Brats18_X_2"} & held_out) in (0, 2)
        tested += sorted(held_out)
    assert sorted(tested) == sorted(set(tested))
    assert len(tested) == 25


def test_inner_selection_keeps_the_held_out_fold_out_of_everything(dataset):
    for fold in range(5):
        data = GradedFolds(dataset, "flair", CLASSES, fold=fold, selection="inner")
        train, val, test = names(data["train"]), names(data["val"]), names(data["test"])
        assert not train & val
        assert not train & test
        assert not val & test
        assert len(train | val | test) == 25
        assert val == names(GradedFolds(dataset, "flair", CLASSES, fold=(fold + 1) % 5)["test"])


def test_parts(dataset):
    def part(name):
        return GradedFolds(dataset, "flair", CLASSES, fold=1, selection="inner", part=name)

    for name in ("train", "val"):
        assert names(part(name)["test"]) == names(part("test")[name])
    assert len(part("all")["test"]) == 25


def test_all_works_where_no_folds_can_be_made_and_the_file_is_left_alone(tmp_path):
    for seed, grade in enumerate(CLASSES):
        write(tmp_path / "data", grade, f"only_{grade}", np.random.default_rng(seed).normal(size=(4, 4, 4)))
    file = tmp_path / "folds.json"
    file.write_text("broken")
    data = GradedFolds(tmp_path / "data", "flair", CLASSES, file=file, part="all")
    assert len(data["test"]) == 2
    assert data.record() is None
    assert file.read_text() == "broken"


def test_the_split_depends_on_the_cases_and_the_seed_not_on_their_order(dataset):
    cases = GradedFolds(dataset, "flair", CLASSES).cases
    first = split_cases(cases, CLASSES, 5, 42)
    for seed in range(3):
        assert split_cases(random.Random(seed).sample(cases, len(cases)), CLASSES, 5, 42) == first
    assert split_cases(cases, CLASSES, 5, 43) != first


def test_patients_with_byte_identical_files_share_a_fold(dataset):
    shutil.copy(dataset / "HGG/h00/h00_flair.nii.gz", dataset / "HGG/h17/h17_flair.nii.gz")
    shutil.copy(dataset / "HGG/h00/h00_flair.nii.gz", dataset / "HGG/Brats18_X_1/Brats18_X_1_flair.nii.gz")
    for seed in range(4):
        chosen = GradedFolds(dataset, "flair", CLASSES, fold_seed=seed).assignment
        assert len({chosen[name] for name in ("h00", "h17", "Brats18_X_1", "Brats18_X_2")}) == 1


def test_too_few_patients_of_a_class(dataset):
    with pytest.raises(DataError, match=r"class LGG: 5 patient\(s\) cannot fill 6 folds.*--folds 5 or less"):
        GradedFolds(dataset, "flair", CLASSES, folds=6)["train"]
    for name in ("l01", "l02", "l03", "l04"):
        shutil.rmtree(dataset / "LGG" / name)
    with pytest.raises(DataError, match=r"class LGG: 1 patient\(s\) .*More data of this class"):
        GradedFolds(dataset, "flair", CLASSES, folds=2)["train"]


def test_a_folder_in_the_place_of_the_file(tmp_path):
    with pytest.raises(ConfigError, match=r"folds_file: .* is a folder; a \.json file is wanted"):
        GradedFolds("nowhere", "flair", CLASSES, file=tmp_path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"fold": 5}, "fold: 5 is beyond the last one; with folds 5 use 0 to 4"),
        ({"fold": -1}, "fold: -1 is not allowed; it must be at least 0"),
        ({"folds": 1}, "folds: 1 is not allowed; it must be at least 2"),
        ({"folds": 2, "selection": "inner"}, "selection: inner .* Use 3 folds or more"),
        ({"selection": "outer"}, "selection: 'outer' is unknown; use one of: held_out, inner"),
        ({"part": "holdout"}, "part: 'holdout' is unknown"),
    ],
)
def test_refusals(settings, said):
    with pytest.raises(ConfigError, match=said):
        GradedFolds("nowhere", "flair", CLASSES, **settings)


# --- the split file


@pytest.fixture
def recorded(dataset, tmp_path):
    """The file of a recorded split."""
    return write_record(GradedFolds(dataset, "flair", CLASSES, file=tmp_path / "folds.json"))


def write_record(data: GradedFolds) -> Path:
    """Write the split file, as a run does when it starts."""
    assert data.file is not None
    assert not data.file.exists()
    recorded = data.record()
    assert recorded is not None
    assert recorded[0] == data.file
    data.file.write_text(json.dumps(recorded[1]))
    return data.file


def test_the_file_holds_every_case_and_is_believed(dataset, recorded):
    content = json.loads(recorded.read_text())
    assert (content["folds"], content["fold_seed"], content["class_names"]) == (5, 42, CLASSES)
    assert sum(len(rows) for rows in content["cases"].values()) == 25
    rows = [row for fold in content["cases"].values() for row in fold]
    assert {"name": "Brats18_X_1", "patient": "Brats18_X", "grade": "HGG"} in rows
    content["cases"] = {str((int(fold) + 1) % 5): rows for fold, rows in content["cases"].items()}
    recorded.write_text(json.dumps(content))
    moved = GradedFolds(dataset, "flair", CLASSES, fold=1, file=recorded)
    assert names(moved["test"]) == names(GradedFolds(dataset, "flair", CLASSES, fold=0)["test"])
    assert moved.record() is None  # never written over


def edit(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def put_visits_apart(content):
    home = next(fold for fold, rows in content["cases"].items() if any(r["name"] == "Brats18_X_1" for r in rows))
    row = next(row for row in content["cases"][home] if row["name"] == "Brats18_X_1")
    content["cases"][home].remove(row)
    content["cases"][str((int(home) + 1) % 5)].append(row)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["cases"]["0"].pop(), "is in the data but in no fold of the file"),
        (lambda c: c["cases"]["0"].append({"name": "z", "patient": "z", "grade": "HGG"}), "z: stands in the file but"),
        (lambda c: c["cases"]["0"].append(c["cases"]["1"][0]), "is in fold 0 and in fold 1"),
        (lambda c: c["cases"]["0"][0].update(grade="G9"), "is G9 in the file and HGG in the data"),
        (put_visits_apart, "Brats18_X_1, Brats18_X_2: one patient, or identical files, in the folds"),
        (lambda c: c.update(fold_seed=7), "the split was made with fold_seed 7, now it is 42"),
        (lambda c: c.update(folds=4), "the split was made with folds 4, now it is 5"),
        (lambda c: c.update(class_names=["HGG", "LGG"]), "the split was made with class_names"),
        (lambda c: c.pop("cases"), "is no file of folds"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(dataset, recorded, change, said):
    edit(recorded, change)
    with pytest.raises(DataError, match=said) as caught:
        GradedFolds(dataset, "flair", CLASSES, file=recorded)["train"]
    assert "another --experiment#name" in str(caught.value)


def test_bad_cases_may_be_missing_from_the_data_but_stand_in_the_file(dataset, recorded):
    before = GradedFolds(dataset, "flair", CLASSES, fold=2, file=recorded)["train"]
    (dataset / "HGG/h05/h05_flair.nii.gz").write_bytes(b"")
    data = GradedFolds(dataset, "flair", CLASSES, fold=2, file=recorded, skip_bad_files=True)
    assert names(before) - names(data["train"]) <= {"h05"}
    assert len(data["train"]) + len(data["test"]) == 24


def test_another_split_written_in_the_meantime_is_noticed(dataset, tmp_path):
    file = tmp_path / "folds.json"
    late = GradedFolds(dataset, "flair", CLASSES, file=file)
    late["train"]
    write_record(GradedFolds(dataset, "flair", CLASSES, file=file))
    assert late.record() is None  # the same split
    edit(file, lambda c: c.update(cases={str((int(f) + 1) % 5): rows for f, rows in c["cases"].items()}))
    with pytest.raises(DataError, match="holds another split now than when this run began"):
        late.record()


def trained_on(dataset, tmp_path, **options):
    """config/split.json of a training on a copy of the data that is gone since."""
    moved = Path(shutil.move(shutil.copytree(dataset, tmp_path / "copy"), tmp_path / "then"))
    seen = GradedFolds(moved, "flair", CLASSES, fold=1, **options)
    path, content = SplitRecord(seen, SimpleNamespace(folder=lambda name: tmp_path / name)).record()
    shutil.rmtree(moved)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_weights_are_not_tested_on_cases_of_their_training_wherever_these_lie(dataset, tmp_path, caplog):
    earlier = trained_on(dataset, tmp_path, selection="inner")
    another_fold = GradedFolds(dataset, "flair", CLASSES, fold=0, earlier_split=earlier)
    with pytest.raises(
        DataError, match=r"h\d\d_flair.nii.gz: \(test\) is byte-identical to what was .*\(the training\)"
    ):
        another_fold["test"]
    assert another_fold["train"]  # nobody tests on these
    with pytest.raises(DataError, match="the training"):
        GradedFolds(dataset, "flair", CLASSES, part="all", earlier_split=earlier)["test"]
    (nothing := tmp_path / "other.json").write_text('{"parts": {"train": [], "val": []}}')
    with pytest.raises(DataError, match="the training"):  # of one member of an ensemble
        GradedFolds(dataset, "flair", CLASSES, part="all", earlier_split=[earlier, nothing])["test"]
    assert not caplog.records
    own = GradedFolds(dataset, "flair", CLASSES, fold=1, earlier_split=earlier)
    assert len(own["test"]) == 5
    assert not caplog.records
    assert GradedFolds(dataset, "flair", CLASSES, fold=1, part="train", earlier_split=earlier)["test"]


def test_a_fold_that_chose_the_epoch_flatters_and_that_is_said(dataset, tmp_path, caplog):
    held_out = GradedFolds(dataset, "flair", CLASSES, fold=1, earlier_split=trained_on(dataset, tmp_path))
    assert len(held_out["test"]) == 5
    assert "so that the figures flatter" in caplog.text


def test_the_names_of_a_training_under_other_files_are_said(dataset, tmp_path, caplog):
    earlier = trained_on(dataset, tmp_path, selection="inner")
    for number, path in enumerate(sorted(dataset.rglob("*.nii.gz"))):
        nibabel.save(nibabel.Nifti1Image(np.full((4, 4, 4), number, dtype=np.float32), np.eye(4)), path)
    splits = [GradedFolds(dataset, "flair", CLASSES, fold=fold, earlier_split=earlier) for fold in (0, 3, 4)]
    tested = [split for split in splits if not any("Brats18" in item["name"] for item in split._cases_of("test"))]
    assert tested[0]["test"]  # whose patients nobody knows
    assert "have the names of cases that these weights were trained on" in caplog.text
