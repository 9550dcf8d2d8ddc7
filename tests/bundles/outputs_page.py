"""Holds docs/outputs.md against what a training, an evaluation and an inference have written."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

from tests.bundles.ladder import BUNDLES

PAGE = (BUNDLES.parent / "docs/outputs.md").read_text()
SHORT = {
    "brain_tumor_multitask_unet": "brain",
    "glioma_grading_resnet50_3d": "grading",
    "dental_vae_autoencoder": "autoencoder",
    "medical_segmentation": "segmentation",
}
ANY = r"[^/]+"  # what a <word> of the page stands for


def rows(heading: str, bundle: str) -> dict[str, str]:
    """What a table of the page names of a bundle -> what it says of it."""
    _, _, after = PAGE.partition(f"{heading}\n")
    table = re.search(r"(^\|.*\n)+", after, re.M)
    assert table is not None, heading
    found = {}
    for line in table[0].splitlines()[2:]:
        names, of, *text = (cell.strip() for cell in line.strip("|").split("|"))
        if of == "all" or SHORT[bundle] in of.split(", "):
            found |= dict.fromkeys(re.findall("`(.+?)`", names), "|".join(text))
    return found


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern of the page, with <words> and *, is meant."""
    parts = re.split(r"(<.+?>|\*)", pattern)
    names = ".+" if "/<name>" in pattern else ANY
    regex = "".join(names if part.startswith(("<", "*")) else re.escape(part) for part in parts)
    return pattern == name or re.fullmatch(regex, name) is not None


def check(explained: dict[str, str], written: set[str], what: str) -> None:
    """Both ways: all that is written is explained, and all that is explained is written, unless only at times."""
    unknown = sorted(name for name in written if not any(matches(pattern, name) for pattern in explained))
    assert not unknown, f"{what}: written, but not explained in docs/outputs.md: {unknown}"
    missing = sorted(
        pattern
        for pattern, text in explained.items()
        if not text.startswith("Only ") and not any(matches(pattern, name) for name in written)
    )
    assert not missing, f"{what}: explained in docs/outputs.md, but not written: {missing}"


def files(folder: Path, root: Path | None = None) -> set[str]:
    """Files below a folder, but for locks."""
    every = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(root or folder).as_posix() for path in every}


def columns(*tables: Path) -> set[str]:
    """The names of the columns of CSV files."""
    found: set[str] = set()
    for table in tables:
        with table.open(newline="", encoding="utf-8") as file:
            found |= set(next(csv.reader(file)))
    return found


def the_runs(folder: Path) -> tuple[Path, Path]:
    """Folder of the training and of the evaluation."""
    every = [path.parents[1] for path in folder.glob("runs/**/config/config.json")]
    (training,) = [run for run in every if "evaluation" not in run.parts]
    (evaluation,) = [run for run in every if "evaluation" in run.parts]
    return training, evaluation


def check_files(bundle: str, folder: Path, results: Path) -> None:
    """Each file.

    Args:
        bundle: its name.
        folder: its folder, with one training and one evaluation in runs/.
        results: of an inference.
    """
    training, evaluation = the_runs(folder)
    written = files(training) | files(folder / "models", folder)
    if (training.parents[1] / "folds.json").is_file():
        written.add("<output_dir>/<experiment name>/folds.json")
    check(rows("## A training", bundle), written, "training")
    check(rows("## An evaluation", bundle), files(evaluation), "evaluation")
    check(rows("## An inference", bundle), files(results), "inference")


def check_columns(bundle: str, folder: Path, results: Path) -> None:
    """Each column; for the arguments see `check_files`."""
    training, evaluation = the_runs(folder)
    epochs = json.loads((training / "metrics/metrics.json").read_text())["epochs"]
    of_epochs = rows("Of `metrics/metrics.json`, in each entry of `epochs`:", bundle)
    rates = {"lr", "lr_encoder", "lr_rest"} - epochs[0].keys()  # one learning rate, or one for each group
    check({name: text for name, text in of_epochs.items() if name not in rates}, {*epochs[0]}, "epochs")
    scores = columns(training / "metrics/val_metrics.csv", evaluation / "metrics/test_metrics.csv")
    check(rows("Of `metrics/val_metrics.csv` and `metrics/test_metrics.csv`:", bundle), scores, "scores")
    cases = columns(*(run / "predictions/predictions.csv" for run in (training, evaluation)))
    check(rows("Of `predictions/predictions.csv`:", bundle), cases, "predictions")
    found = columns(*results.glob("*.csv"))
    explained = rows("Of an inference's `predictions.csv` and `reconstructions.csv`:", bundle)
    places = {"mask", "overlay", "grad_cam", "reconstruction", "latent"} - found  # each bundle has some of them
    check({name: text for name, text in explained.items() if name not in places}, found, "inference")


def check_scores(bundle: str, folder: Path) -> None:
    """Each score, in the report's own words."""
    meaning = json.loads((the_runs(folder)[1] / "metrics/test_metrics.json").read_text())["meaning"]
    assert rows("## Scores", bundle) == meaning
