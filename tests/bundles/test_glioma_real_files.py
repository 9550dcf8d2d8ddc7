"""Real volumes of four sources through the glioma bundle, as their users have them; nothing is prepared by hand.

There are far too few for a grade, so the class is the source: what is learnt here means nothing.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.bundles.glioma_ladder import GLIOMA
from tests.bundles.ladder import newest, run
from tools.cli import main

SMALL = {
    "depth": 10, "spatial_size": [32, 32, 32], "epochs": 1, "drw_start_epoch": 1, "folds": 2, "batch_size": 2,
    "num_workers": 0, "plot_interval": 0, "publish": False,
}  # fmt: skip
CLASSES = "['others','brats2015']"
# one scan in two data sets
SAME = {"brats_2013_pat0004_1": "pat0004", "Brats18_2013_21_1": "pat0004"}


def cases(real_data: Path) -> list[tuple[Path, str]]:
    """Case folders as published, with their class."""
    found = [(path, "brats2015") for path in sorted((real_data / "brats2015").glob("brats_2013_pat*"))]
    return [
        *found,
        (real_data / "brats2018/HGG/Brats18_2013_21_1", "others"),
        (real_data / "tcga_lgg/TCGA-DU-7294", "others"),
    ]


@pytest.fixture(scope="module")
def table(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("real") / "cases.csv"
    rows = [(str(case), label, SAME.get(case.name, "")) for case, label in cases(real_data)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "patient"), *rows])
    return path


@pytest.fixture(scope="module")
def trained(table: Path) -> Path:
    """The best checkpoint of a run on five volumes of BraTS and one of TCGA, FLAIR."""
    root = table.parent / "runs"
    done = run(GLIOMA, ["train"], SMALL | {"dataset_dir": table, "output_dir": root, "class_names": CLASSES})
    assert "patients with cases of several grades, is that right? pat0004" in done.stdout + done.stderr
    return newest(root, "best.pt")


def test_one_patient_of_two_data_sets_is_in_one_fold(trained: Path) -> None:
    split = json.loads(newest(trained.parents[4], "folds.json").read_text())["cases"]
    homes = {row["name"]: fold for fold, rows in split.items() for row in rows}
    assert len(homes) == 6
    assert homes["brats_2013_pat0004_1"] == homes["Brats18_2013_21_1"] != homes["TCGA-DU-7294"]


def test_evaluation_of_all_of_them(trained: Path, table: Path, tmp_path: Path) -> None:
    settings = {
        "dataset_dir": table, "output_dir": tmp_path, "checkpoint": trained, "part": "all", "num_workers": 0,
        "cache_dir": trained.parents[4] / "cache", "earlier_split": tmp_path / "split.json",
    }  # fmt: skip
    (tmp_path / "split.json").write_text('{"parts": {"train": [], "val": []}}')  # as of a training on other data
    run(GLIOMA, ["train", "evaluate", str(trained.with_name("trained.json"))], settings)
    report = json.loads(newest(tmp_path, "test_metrics.json").read_text())
    assert report["metrics"]["auc"]["n_images"] == 6
    assert report["metrics"]["auc"]["n_patients"] == 5
    assert {name: row["support"] for name, row in report["per_class"].items()} == {"others": 2, "brats2015": 4}


def test_inference_on_a_folder_of_three_layouts(real_data: Path, trained: Path, tmp_path: Path) -> None:
    """BraTS 2018, DeepMedic's 2015 and TCGA side by side; labels and pseudo labels are no cases."""
    folder = tmp_path / "new"
    folder.mkdir()
    for name in ("brats2018", "tcga_lgg", "brats2015/brats_2013_pat0001_1"):
        (folder / Path(name).name).symlink_to(real_data / name)
    settings = {"input": folder, "output": tmp_path / "out", "checkpoint": trained}
    run(GLIOMA, ["inference", str(trained.with_name("trained.json"))], settings)
    with (tmp_path / "out/predictions.csv").open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"Brats18_2013_21_1", "TCGA-DU-7294", "brats_2013_pat0001_1"}
    for row in rows.values():
        assert float(row["prob_others"]) + float(row["prob_brats2015"]) == pytest.approx(1, abs=1e-4)
        assert (tmp_path / "out" / row["grad_cam"]).stat().st_size > 20_000


def test_stacks_of_the_lgg_slices_train_with_their_grades(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "lgg3d"
    assert main(["prepare", "lgg3d", "--input", str(real_data / "lgg_kaggle3m"), "--out", str(out)]) == 0
    assert "Left out, without a grade: TCGA_HT_A61B_19991127" in capsys.readouterr().out
    lines = (out / "cases.csv").read_text().splitlines()
    assert len(lines) == 1 + 23
    few = out / "few.csv"  # enough for an epoch, and all take half a minute
    few.write_text("\n".join([lines[0], *lines[1:5], *lines[-4:]]))
    settings = {"dataset_dir": few, "output_dir": tmp_path / "runs", "class_names": "['G2','G3']"}
    run(GLIOMA, ["train"], SMALL | settings)
    history = json.loads(newest(tmp_path / "runs", "metrics.json").read_text())
    assert len(history["epochs"]) == 1
    assert sum(history["classes"]["per_class"][name]["support"] for name in ("G2", "G3")) == 4
