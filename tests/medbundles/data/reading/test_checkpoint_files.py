"""Which files `checkpoint` stands for, and what results say of them."""

from __future__ import annotations

import json

import pytest

from medbundles.data.reading.checkpoint_files import checkpoint_files, named_weights, settings_file
from medbundles.errors import CheckpointError


@pytest.fixture
def folds(tmp_path):
    """A cross-validation that was moved, with a run of each fold that is not its own."""
    done = {}
    for fold in range(2):
        for run in ("run_1", "run_2"):
            path = tmp_path / f"fold_{fold}" / run / "checkpoints/best.pt"
            path.parent.mkdir(parents=True)
            path.write_text(f"{fold} {run}")
        done[str(fold)] = {"run": f"/elsewhere/fold_{fold}/run_1", "evaluation": "/elsewhere"}
    (tmp_path / "kfold_run.json").write_text(json.dumps({"folds": 2, "done": done}))
    return tmp_path


def test_a_folder_of_folds_stands_for_their_best_models(folds):
    best = [folds / f"fold_{fold}/run_1/checkpoints/best.pt" for fold in range(2)]
    assert checkpoint_files(folds) == checkpoint_files(str(folds)) == best
    assert checkpoint_files([*map(str, best)]) == best
    assert checkpoint_files(best[0]) == [best[0]]
    assert settings_file(folds) == best[0].with_name("trained.json")
    (folds / "kfold").mkdir()
    (folds / "kfold/trained.json").touch()
    assert settings_file(folds) == folds / "kfold/trained.json"
    assert settings_file([str(best[1]), str(best[0])]) == best[1].with_name("trained.json")


def test_results_name_each_file_with_its_hash(folds):
    two = named_weights(folds)
    one = named_weights(two["checkpoint"][1])
    assert one == {name: values[1] for name, values in two.items()}
    assert one["checkpoint_id"].startswith("sha256:")
    assert named_weights("") == {"checkpoint": "", "checkpoint_id": ""}


def test_a_folder_that_is_none_and_folds_without_weights_are_refused(folds, tmp_path):
    with pytest.raises(CheckpointError, match=r"fold_0 is a folder.*no kfold_run\.json.*run_1/checkpoints/best\.pt"):
        checkpoint_files(folds / "fold_0")
    about = json.loads((folds / "kfold_run.json").read_text())
    del about["done"]["1"]
    (folds / "kfold_run.json").write_text(json.dumps(about))
    with pytest.raises(CheckpointError, match=r"no weights of fold 1 yet.*--resume True"):
        checkpoint_files(folds)
    with pytest.raises(CheckpointError, match=r"a\.pt is named more than once"):
        checkpoint_files(["a.pt", "b.pt", "a.pt"])


def test_a_copy_and_a_link_of_a_member_are_no_other_member(folds, tmp_path, monkeypatch):
    first, second = checkpoint_files(folds)
    (tmp_path / "copy.pt").write_bytes(first.read_bytes())
    (tmp_path / "link.pt").symlink_to(first)
    monkeypatch.chdir(tmp_path)
    for other in ("copy.pt", "link.pt", first.relative_to(tmp_path)):
        with pytest.raises(CheckpointError, match=rf"({first} and {other}|{other} and {first}) hold the same"):
            checkpoint_files([first, second, other])
