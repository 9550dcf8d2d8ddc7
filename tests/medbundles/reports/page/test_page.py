"""The page of runs: what their files say, in one file that needs nothing else."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medbundles.errors import DataError
from medbundles.reports.evaluation import Evaluation
from medbundles.reports.page import write_page
from medbundles.reports.page.cases import best_and_worst
from medbundles.reports.page.run_files import Scored, read_run
from medbundles.reports.page.scores import score_table
from tools.cli import main

NAMES = ("grade 2", "<b>grade 3</b>")
EMPTY_TAGS = {"meta", "img"}


class Tags(HTMLParser):
    """Whether each tag is closed, and what the page would load."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.without_text = 0

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.sources += [given[key] for key in ("src", "href", "action", "data") if key in given]
        self.without_text += tag == "img" and not given.get("alt")
        if tag not in EMPTY_TAGS:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def checked(path: Path) -> str:
    """The text of a page that loads nothing and whose tags are closed."""
    text, tags = path.read_text(encoding="utf-8"), Tags()
    tags.feed(text)
    assert tags.open == []
    assert all(source.startswith(("data:image/", "#")) for source in tags.sources)
    assert "default-src 'none'" in text
    assert tags.without_text == 0
    return text


def columns(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Of n images of as many patients: classes, and Dice of a mask."""
    draw = np.random.default_rng(seed)
    label = np.arange(n) % 2
    prob = np.clip(0.3 + 0.4 * label + draw.normal(0, 0.25, n), 0.01, 0.99)
    named = {key: np.array([f"{key}_{i}" for i in range(n)]) for key in ("name", "patient", "file")}
    return named | {
        "source": np.full(n, "images"),
        "has_mask": np.full(n, True),
        "label": label,
        "predicted": (prob > 0.5).astype(int),
        "prob": np.stack([1 - prob, prob], axis=1),
        "constant": np.zeros(n),
        "dice": draw.uniform(0.5, 1, n),
    }


def a_run(folder: Path, n: int = 40, epochs: int = 3, **changed) -> Path:
    """A run's folder, its files written by what writes them in a training."""
    for name in ("config", "metrics", "predictions", "plots"):
        (folder / name).mkdir(parents=True)
    environment = {
        "command": ["/x/monai/bundle/__main__.py", "run", "--class_names", "['a','b']"], "folder": "/x/bundles/brain",
        "device": "cpu", "threads": 1, "processes": 1, "versions": {"monai": "1.6.1"},
        "changed": {name: {"value": value, "default": 1} for name, value in changed.items()},
    }  # fmt: skip
    records = [
        {"epoch": e, "train_loss": 1 / e, "val_loss": 1.1 / e, "val_dice": 1 - 1 / e} for e in range(1, epochs + 1)
    ]
    summary = {"epochs": epochs, "monitor": "val_dice", "best_epoch": epochs, "best_value": records[-1]["val_dice"],
               "seconds": 65.0, "seconds_per_epoch": 2.5}  # fmt: skip
    files = {
        "config/environment.json": environment,
        "metrics/metrics.json": {"epochs": records, "summary": summary, "hints": ["it <overfits>"]},
        "config/split.json": {
            "parts": {"train": [{"patient": "a", "source": "images"}, {"patient": "a", "source": "images"}]}
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    evaluation = Evaluation(columns(n), NAMES, {"class_threshold": 0.5}, bootstrap=200)
    evaluation.write_metrics(folder / "metrics/val_metrics", {})
    evaluation.write_predictions(folder / "predictions", "val")
    evaluation.write_plots(folder / "plots")
    noise = np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), dtype=np.uint8)
    for number in (1, 2):
        Image.fromarray(noise).save(folder / f"plots/worst_dice_{number}.png")
    return folder


def test_a_run(tmp_path):
    run = a_run(tmp_path / "runs/study/run_20260101_120000", lr="<i>1e-3</i>")
    text = checked(write_page([run], tmp_path / "page.html"))
    scores = json.loads((run / "metrics/val_metrics.json").read_text())["metrics"]
    dice, accuracy, constant = (scores[name] for name in ("dice", "acc", "acc_constant"))
    assert f"{dice['value']:.3f} [{dice['low']:.3f}, {dice['high']:.3f}]" in text
    row = text[text.index("Accuracy<") :]
    row = row[: row.index("</tr>")]
    assert f"{accuracy['value']:.3f} [" in row
    assert f"{constant['value']:.3f} [" in row  # beside it
    assert "study/run_20260101_120000" in text
    assert "Training of brain." in text
    assert "3 epochs; the best one by Dice (validation) is 3 (0.667)." in text
    told = "Loss over 3 epochs, the best one is 3: loss (training) 1 in epoch 1, 0.333 in epoch 3; loss (validation)"
    assert f'alt="{told} 1.1 in epoch 1, 0.367 in epoch 3"' in text  # for those who cannot see the curves
    assert "python -m monai.bundle run --class_names &#34;[&#39;a&#39;,&#39;b&#39;]&#34;" in text
    assert "it &lt;overfits&gt;" in text
    assert "&lt;i&gt;1e-3&lt;/i&gt;" in text
    assert "<i>" not in text
    assert "<b>" not in text  # of a class
    assert text.count("data:image/jpeg") == 2
    assert "<td>2</td><td>1</td><td>images</td>" in text  # two images of one patient are trained on


def test_the_worst_and_the_best_cases(tmp_path):
    run = a_run(tmp_path / "study/run_20260101_120000")
    text = checked(write_page([run], tmp_path / "page.html"))
    dice = columns(40)["dice"]
    order = [f"name_{i}" for i in np.argsort(dice)]
    worst, best = (
        re.search(rf"<caption><span>{title} cases by Dice.*?</table>", text, re.DOTALL)[0]
        for title in ("Worst", "Best")
    )
    assert re.findall(r'<th scope="row">(\w+)', worst) == order[:5]
    assert re.findall(r'<th scope="row">(\w+)', best) == order[:-6:-1]


def test_several_runs_show_where_they_differ(tmp_path):
    runs = [a_run(tmp_path / f"study/run_20260101_12000{i}", lr=lr, seed=7) for i, lr in enumerate((0.1, 0.2))]
    text = checked(write_page(runs, tmp_path / "page.html"))
    table = re.search(r"<caption><span>Settings in which they differ</span></caption>(.*?)</table>", text, re.DOTALL)[1]
    assert '<th scope="row">lr</th><td>0.1</td><td>0.2</td>' in table
    assert "seed" not in table  # the same in both
    assert "2 runs side by side" in text
    assert 'href="#run-2"' in text
    assert "ROC curves of 2 runs" in text


def test_a_cross_validation(tmp_path):
    folder = tmp_path / "study/kfold"
    folder.mkdir(parents=True)
    evaluation = Evaluation(columns(40), NAMES, bootstrap=200)
    about = {
        "bundle": "grading", "command": "python -m tools kfold x", "settings": {"folds": 2}, "synthetic": True,
        "class_names": list(NAMES), "n_cases": 40, "n_patients": 40, "out_of_fold": evaluation.metrics["all"],
        "folds": {"0": {"auc": 0.25}, "1": {"auc": 0.75}},
        "over_folds": {"auc": {"mean": 0.5, "std": 0.1, "low": None, "high": None}}, "errors": evaluation.errors(),
    }  # fmt: skip
    (folder / "kfold.json").write_text(json.dumps(about, default=float))
    lines = [f"name_{i},p_{i},{NAMES[i % 2]},{NAMES[1]},0.25,0.75" for i in range(40)]
    header = f"name,patient,label,predicted,prob_{NAMES[0]},prob_{NAMES[1]}"
    (folder / "oof_predictions.csv").write_text("\n".join([header, *lines]))
    text = checked(write_page([folder.parent], tmp_path / "page.html"))
    assert "Cross-validation of grading." in text
    assert "Out of fold, each case by the model that has not seen it" in text
    (folder / "kfold.json").write_text(json.dumps(about | {"settings": {"selection": "held_out"}}, default=float))
    assert "these figures flatter" in checked(write_page([folder.parent], tmp_path / "flattering.html"))
    assert "SYNTHETIC DATA" in text
    assert "<td>0.500 ± 0.100</td><td>0.250</td><td>0.750</td>" in text
    assert "40 of true class &lt;b&gt;grade 3" not in text
    assert "20 of true class grade 2 predicted as &lt;b&gt;grade 3&lt;/b&gt;" in text


def test_many_epochs_and_cases_stay_small(tmp_path):
    run = a_run(tmp_path / "study/run_20260101_120000", n=2000, epochs=300)
    assert write_page([run], tmp_path / "page.html").stat().st_size < 5_000_000


def test_what_is_no_run_is_refused_with_what_is_there(tmp_path, capsys):
    run = a_run(tmp_path / "study/run_20260101_120000")
    with pytest.raises(DataError, match=r"study: is no run's folder .* There is .*run_20260101_120000"):
        read_run(tmp_path / "study")
    (run / "metrics/val_metrics.json").write_text("{")
    assert main(["report", str(run)]) == 1
    assert "val_metrics.json: cannot be read as JSON" in capsys.readouterr().err
    assert not (run / "report.html").exists()


def test_the_verb_takes_one_run_or_several(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [str(a_run(tmp_path / f"study/run_20260101_12000{i}")) for i in range(2)]
    assert main(["report", runs[0]]) == 0
    assert "Training of brain." in checked(Path(runs[0]) / "report.html")
    assert main(["report", *runs, "--out", "both.html"]) == 0
    assert "2 runs side by side" in checked(Path("both.html"))
    assert main(["report", *runs, "--out", "both.html"]) == 1
    assert "--overwrite True" in capsys.readouterr().err
    assert main(["report", *runs, "--out", f"{runs[0]}/metrics/metrics.json", "--overwrite", "True"]) == 1
    assert "must end in .html" in capsys.readouterr().err
    assert main(["report", *runs]) == 0
    assert main(["report", *runs]) == 1  # report.html is there
    assert main(["report"]) == 1
    assert "runs" in capsys.readouterr().err
    assert main(["report", runs[0], "--outt", "x"]) == 1
    assert "did you mean --out?" in capsys.readouterr().err


def test_an_evaluation_has_no_curves(tmp_path):
    run = a_run(tmp_path / "study/evaluation/run_20260101_120000")
    (run / "metrics/metrics.json").unlink()
    (run / "metrics/val_metrics.json").rename(run / "metrics/test_metrics.json")
    text = checked(write_page([run], tmp_path / "page.html"))
    assert "Evaluation of brain." in text
    assert "study/evaluation/run_20260101_120000" in text
    assert ">Curves</h" not in text
    assert "Test part" in text


def test_a_run_that_ended_at_once_and_other_parts_are_called_what_they_are(tmp_path):
    run = a_run(tmp_path / "study/run_20260101_120000")
    file = run / "metrics/val_metrics.json"
    about = json.loads(file.read_text())
    file.unlink()
    (run / "metrics/metrics.json").unlink()
    assert "Training of brain." in (text := checked(write_page([run], tmp_path / "page.html")))
    assert "before its first epoch" in text
    (run / "metrics/test_metrics.json").write_text(json.dumps(about | {"part": "all"}))
    text = checked(write_page([run], tmp_path / "page.html"))
    assert "All images" in text
    assert "Test part" not in text


def test_pictures_that_are_none_of_the_run_are_left_out_and_named(tmp_path):
    run = a_run(tmp_path / "study/run_20260101_120000")
    outside = tmp_path / "private.png"
    Image.fromarray(np.full((9, 9, 3), 200, np.uint8)).save(outside)
    (run / "plots/linked.png").symlink_to(outside)
    (run / "plots/broken.png").write_bytes(b"no picture")
    os.mkfifo(run / "plots/pipe.png")
    Image.new("1", (8000, 8000)).save(run / "plots/huge.png")
    text = checked(write_page([run], tmp_path / "page.html"))
    assert text.count("data:image/jpeg") == 2
    assert "not readable): broken.png, huge.png, linked.png, pipe.png." in text


def test_of_a_run_that_has_not_kept_its_settings_nothing_is_said(tmp_path):
    runs = [a_run(tmp_path / f"study/run_20260101_12000{i}", lr=0.1) for i in range(2)]
    file = runs[0] / "config/environment.json"
    environment = json.loads(file.read_text())
    del environment["changed"]
    file.write_text(json.dumps(environment))
    text = checked(write_page(runs, tmp_path / "page.html"))
    assert "<td>not kept</td>" in text
    assert "<td>default</td>" not in text


def test_a_class_whose_name_ends_as_anothers_keeps_its_own():
    each = {"value": 0.5, "low": None, "high": None}
    metrics = dict.fromkeys(("dice", "dice_tumour", "dice_enhancing_tumour", "dice_constant_enhancing_tumour"), each)
    scored = Scored("Test part", "", metrics, {"channel_names": ["tumour", "enhancing_tumour"]}, {})
    found = {row["score"]: row["baselines"] for row in score_table(scored)["rows"]}
    assert found == {"Dice": [""], "Dice, tumour": [""], "Dice, enhancing_tumour": ["0.500"]}


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("metrics/val_metrics.json", '{"metrics": {"dice": 0.5}}', "metrics#dice: 0.5 is not of type 'object'"),
        ("metrics/metrics.json", '{"epochs": [{"epoch": "one"}], "summary": {"epochs": 1}}', "epochs#0#epoch"),
        ("config/environment.json", '{"command": "python"}', "command: 'python' is not of type 'array'"),
        ("config/split.json", '{"parts": {"train": [{"patient": "a"}]}}', "'source' is a required property"),
        ("predictions/predictions.csv", "a,b\n1,2\n", "predictions.csv: is no table of predictions"),
        ("predictions/predictions.csv", "name,label\nx,oops\n", "invalid literal"),
        ("predictions/predictions.csv", "name,patient,prob_a,prob_b\nx,x,0.5,0.5\n", "lacks the column 'label'"),
    ],
)
def test_a_broken_file_is_named_with_what_is_wrong(tmp_path, file, content, said):
    run = a_run(tmp_path / "study/run_20260101_120000")
    (run / file).write_text(content)
    with pytest.raises(DataError, match=re.escape(said)) as caught:
        write_page([run], tmp_path / "page.html")
    assert str(run / file) in str(caught.value)


@pytest.mark.parametrize(
    "file",
    ["metrics/val_metrics.json", "metrics/metrics.json", "config/split.json", "config/environment.json",
     "predictions/predictions.csv"],
)  # fmt: skip
def test_a_link_out_of_the_run_is_refused(tmp_path, file):
    run = a_run(tmp_path / "study/run_20260101_120000")
    (run / file).rename(tmp_path / "private")
    (run / file).symlink_to(tmp_path / "private")
    with pytest.raises(DataError, match="a link out of it"):
        write_page([run], tmp_path / "page.html")


def test_the_same_run_twice_is_refused(tmp_path):
    run = a_run(tmp_path / "study/run_20260101_120000")
    with pytest.raises(DataError, match="given twice"):
        write_page([run, run / "../run_20260101_120000"], tmp_path / "page.html")


def test_cases_are_shown_only_of_the_part_that_they_belong_to(tmp_path):
    run = a_run(tmp_path / "study/run_20260101_120000")
    about = json.loads((run / "metrics/val_metrics.json").read_text())
    (run / "metrics/test_metrics.json").write_text(json.dumps(about))
    (run / "predictions/test_names.json").write_text(json.dumps(["another"]))
    test, val = read_run(run).scored
    assert (len(test.columns), len(val.columns) > 0) == (0, True)
    assert "of another part" in test.left
    (run / "metrics/test_metrics.json").unlink()
    (run / "metrics/val_metrics.json").write_text(json.dumps(about | {"n_images": 7}))
    text = checked(write_page([run], tmp_path / "page.html"))
    assert "predictions.csv has 40 rows and the scores are of 7 images" in text
    assert "cases by Dice" not in text


def test_few_cases_stand_in_one_table_and_more_wrong_classes_are_told(tmp_path):
    few = a_run(tmp_path / "study/run_20260101_120000", n=8)
    text = checked(write_page([few], tmp_path / "page.html"))
    assert "All cases by Dice, the worst first" in text
    assert "Best cases" not in text
    many = a_run(tmp_path / "study/run_20260101_120001", n=300)
    assert re.search(
        r"The 10 surest of \d+ wrong classes; .*grade 3.* from a probability of 0.500 on",
        checked(write_page([many], tmp_path / "page.html")),
    )


def test_runs_of_one_name_keep_a_curve_each_and_first_lines_name_masks_and_classes(tmp_path):
    runs = [a_run(tmp_path / place / "study/run_20260101_120000", epochs=1) for place in ("a", "b")]
    text = checked(write_page(runs, tmp_path / "page.html"))
    assert "Dice, validation, of 2 runs" in text
    assert "b/study/run_20260101_120000" in text
    assert re.search(r"at the best epoch|Validation part: Dice .*, accuracy .*, AUC .*", text)
    assert "val_dice" not in re.sub("<pre>.*?</pre>", "", text)


def test_many_runs_stay_small(tmp_path):
    runs = [a_run(tmp_path / f"study/run_20260101_12000{i}", n=2000, epochs=300) for i in range(5)]
    for run in runs:
        for kind in "abcd":
            (run / f"plots/{kind}_1.png").write_bytes((run / "plots/worst_dice_1.png").read_bytes())
    path = write_page(runs, tmp_path / "page.html")
    assert path.stat().st_size < 5_000_000
    assert "that are left out (further ones of a kind, no room" in path.read_text()


def test_an_evaluation_shows_its_weights(tmp_path):
    run = a_run(tmp_path / "study/evaluation/run_20260101_120000", class_names=["a", "b"])
    (run / "metrics/metrics.json").unlink()
    file = run / "metrics/val_metrics.json"
    about = json.loads(file.read_text()) | {
        "checkpoint": "models/x.pt",
        "checkpoint_id": "sha256:1",
        "dataset_dir": "/d",
    }
    (run / "metrics/test_metrics.json").write_text(json.dumps(about))
    file.unlink()
    (run / "predictions/val_names.json").rename(run / "predictions/test_names.json")
    text = checked(write_page([run], tmp_path / "page.html"))
    for row in ("models/x.pt", "sha256:1", "/d", "40 images of 40 patients"):
        assert f"<td>{row}</td>" in text


def test_classes_that_are_called_as_baselines_and_patches_have_rows_of_their_own():
    each = {"value": 0.5, "low": None, "high": None}
    names = ("constant", "pca")
    meaning = {"dice": "Dice; mean over the channels"} | {f"dice_{name}": f"Dice; channel {name}" for name in names}
    metrics = dict.fromkeys(("dice", "dice_constant", "dice_pca", "l1_patch", "hd95", "psnr"), each)
    scored = Scored("Test part", "", metrics, {"channel_names": list(names), "meaning": meaning}, {})
    table = score_table(scored)
    assert table["baselines"] == []
    assert [row["score"] for row in table["rows"]] == [
        "Dice", "Dice, constant", "Dice, pca", "L1, centre patch", "95th percentile Hausdorff distance", "PSNR",
    ]  # fmt: skip
    assert [row["value"] for row in table["rows"]][-2:] == ["0.500", "0.50 dB"]
    for unit in ("mm", "pixels"):  # of pictures
        scored.about["length_unit"] = unit
        assert score_table(scored)["rows"][-2]["value"] == f"0.50 {unit}"


def test_a_training_that_is_not_finished_says_so(tmp_path):
    run = a_run(tmp_path / "study/run_20260101_120000")
    (run / "config/config.json").write_text('{"epochs": 3}')
    assert "It is not finished" not in checked(write_page([run], tmp_path / "page.html"))
    (run / "config/config.json").write_text('{"epochs": 40}')
    (run / "metrics/val_metrics.json").unlink()
    text = checked(write_page([run], tmp_path / "page.html"))
    assert "It is not finished: 3 of 40 epochs are done." in text


def test_false_alarms_are_listed_although_they_have_no_dice():
    names, nan = np.array(["a", "b", "c"]), np.nan
    columns = {
        "name": names,
        "patient": names,
        "fp_area_x": np.array([nan, 0.25, 0]),
        "fp_area_y": np.array([0, 0, 0.5]),
    }
    ((title, table),) = best_and_worst(Scored("Test part", "", {}, {}, columns)).items()
    assert title == "False alarms: in 2 images something is marked that is not there"
    assert table["header"] == ["image", "patient", "share of the image, x", "share of the image, y"]
    assert table["rows"] == [["c", "c", "", "0.5000"], ["b", "b", "0.2500", ""]]
    del columns["fp_area_x"], columns["fp_area_y"]
    assert best_and_worst(Scored("Test part", "", {}, {}, columns)) == {}
