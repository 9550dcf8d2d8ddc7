"""The report of a cross-validation: mean over the folds, out-of-fold figures with intervals, and what was missed."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medbundles.atomic_files import write_json_atomic, write_text_atomic
from medbundles.errors import DataError
from medbundles.metrics.cases import as_columns, as_rows
from medbundles.reports import figures
from medbundles.reports.evaluation import Evaluation
from medbundles.reports.predictions_table import read_predictions
from medbundles.reports.tables import csv_text, markdown_table, number, with_interval

SCORES = ("auc", "balanced_acc", "sensitivity", "specificity", "acc", "f1_macro", "brier", "ece")
TITLES = {
    "auc": "AUC", "balanced_acc": "balanced accuracy", "sensitivity": "sensitivity", "specificity": "specificity",
    "acc": "accuracy", "f1_macro": "F1 (macro)", "brier": "Brier score (0 is best)",
    "ece": "calibration error (0 is best)",
}  # fmt: skip
SYNTHETIC = "**SYNTHETIC DATA: these numbers say nothing about any disease.**"
CHOSEN = {
    "inner": (
        "Each fold was tested by weights whose epoch and decision threshold another fold chose: no choice has seen the "
        "cases it is judged by."
    ),
    "held_out": (
        "**Each fold's epoch and decision threshold were chosen on the very cases they are judged by: these figures "
        "flatter.** Use --selection inner for figures that do not."
    ),
}
ALL = "all, out of fold"


def write_report(evaluations: Mapping[int, Path], folder: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """Write kfold.json, kfold.md, oof_predictions.csv and the pictures, and print the report.

    Args:
        evaluations: fold -> run directory of its evaluation.
        folder: where to write.
        about: what was run; needs `settings` with `selection`, `folds`, `synthetic`, `command`.

    Returns:
        What kfold.json holds.

    Raises:
        DataError: a case was tested twice.
    """
    tests = {fold: json.loads((run / "metrics/test_metrics.json").read_text()) for fold, run in evaluations.items()}
    class_names = next(iter(tests.values()))["class_names"]
    rows = [
        {**row, "fold": fold}
        for fold, run in evaluations.items()
        for row in as_rows(read_predictions(run / "predictions/predictions.csv"))
    ]
    names = [row["name"] for row in rows]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"kfold: tested in more than one fold: {', '.join(twice[:8])}")
    whole = Evaluation(as_columns(rows), class_names, scores=SCORES)
    folds = {
        fold: Evaluation(
            as_columns([row for row in rows if row["fold"] == fold]), class_names, scores=SCORES, bootstrap=1
        )
        for fold in evaluations
    }
    report = {
        **about,
        "evaluations": {str(fold): str(run) for fold, run in evaluations.items()},
        "class_names": class_names,
        "n_cases": len(rows),
        "n_patients": len({row["patient"] for row in rows}),
        "thresholds": {str(fold): test.get("class_threshold") for fold, test in tests.items()},
        "folds": {str(f): {name: e.metrics["all"][name]["value"] for name in SCORES} for f, e in folds.items()},
        "over_folds": {name: _mean([e.metrics["all"][name]["value"] for e in folds.values()]) for name in SCORES},
        "out_of_fold": whole.metrics["all"],
        **whole.classes(),
        "errors": _errors(whole, {row["name"]: row["fold"] for row in rows}, tests),
    }
    _write_pictures(whole, folds, folder, " (SYNTHETIC data)" if about["synthetic"] else "")
    write_json_atomic(folder / "kfold.json", report)
    write_text_atomic(folder / "oof_predictions.csv", _table(rows, class_names))
    text = in_markdown(report)
    write_text_atomic(folder / "kfold.md", text)
    print(f"\n{text}\nwritten to {folder}")
    return report


def _mean(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean and standard deviation (n - 1) over the folds where the value is defined."""
    known = [value for value in values if value is not None]
    return {
        "mean": statistics.mean(known) if known else None,
        "std": statistics.stdev(known) if len(known) > 1 else None,
        "n": len(known),
    }


def _errors(whole: Evaluation, folds: Mapping[str, int], tests: Mapping[int, Mapping[str, Any]]) -> list[dict]:
    """The wrong cases, each with the fold that tested it and the threshold it was judged by."""
    found = []
    for error in whole.errors():
        fold = folds[error["name"]]
        found.append({**error, "fold": fold, "class_threshold": tests[fold].get("class_threshold")})
    return found


def _write_pictures(whole: Evaluation, folds: Mapping[int, Evaluation], folder: Path, note: str) -> None:
    figures.confusion_matrix(
        whole.label, whole.predicted, whole.class_names, folder / "confusion_matrix.png", title=f"Out of fold{note}"
    )
    if len(whole.class_names) != 2:
        return
    groups = {f"fold {fold}": (e.label, e.prob[:, 1]) for fold, e in folds.items() if len(set(e.label)) == 2}
    groups[ALL] = (whole.label, whole.prob[:, 1])
    auc = whole.metrics["all"]["auc"]
    areas = {ALL: f"AUC {with_interval(auc, 3)}"} if auc["value"] is not None else None
    figures.roc_curve(groups, folder / "roc_curve.png", areas=areas, strong=ALL, title=f"ROC of all folds{note}")
    figures.pr_curve(groups, folder / "pr_curve.png", strong=ALL, title=f"Precision and recall of all folds{note}")
    figures.reliability(
        whole.label, whole.prob[:, 1], folder / "reliability.png", title=f"Out of fold: calibration{note}"
    )


def _table(rows: Sequence[Mapping[str, Any]], class_names: Sequence[str]) -> str:
    lines = []
    for row in sorted(rows, key=_name):
        classes = (class_names[row["label"]], class_names[row["predicted"]])
        lines.append([row["name"], row["patient"], row["fold"], *classes, *row["prob"], row["file"]])
    probs = (f"prob_{name}" for name in class_names)
    return csv_text(["name", "patient", "fold", "label", "predicted", *probs, "file"], lines)


def _name(row: Mapping[str, Any]) -> str:
    return row["name"]


def _score(measure: Mapping[str, Any]) -> str:
    return f"undefined ({measure['reason']})" if measure["value"] is None else with_interval(measure)


def in_markdown(report: Mapping[str, Any]) -> str:
    """kfold.md: what was run, the scores, what was missed."""
    names = report["class_names"]
    lines = [f"# Cross-validation of {report['bundle']}", ""]
    if report["synthetic"]:
        lines += [SYNTHETIC, ""]
    count = len(report["folds"])
    lines += [
        f"{report['n_cases']} cases of {report['n_patients']} patients in {count} folds. "
        f"{CHOSEN[report['settings']['selection']]}", "", f"    {report['command']}", "",
    ]  # fmt: skip
    scores = []
    for name in SCORES:
        mean, std, defined = (report["over_folds"][name][key] for key in ("mean", "std", "n"))
        over = "undefined" if mean is None else number(mean) + ("" if std is None else f" ± {std:.4f}")
        over += f" ({defined} folds)" if defined < count else ""
        each = [number(fold[name], 3) for fold in report["folds"].values()]
        scores.append([TITLES[name], over, _score(report["out_of_fold"][name]), *each])
    interval = "out of fold [95 % interval, patients resampled]"
    lines += markdown_table(
        ["score", "mean ± std over folds", interval, *(f"fold {fold}" for fold in report["folds"])], scores
    )
    classes = [
        [name, *(number(found[key]) for key in ("precision", "recall", "f1")), found["support"]]
        for name, found in report["per_class"].items()
    ]
    lines += ["", *markdown_table(["class", "precision", "recall", "F1", "cases"], classes)]
    missed = [e for e in report["errors"] if len(names) == 2 and e["true"] == names[1]]
    others = [e for e in report["errors"] if e not in missed]
    if len(names) == 2:
        lines += ["", f"## Missed {names[1]} ({len(missed)} of {report['per_class'][names[1]]['support']})", ""]
        lines += [*_error_lines(missed, names), "", f"## Wrongly called {names[1]} ({len(others)})", ""]
    else:
        lines += ["", f"## Wrong ({len(others)})", ""]
    return "\n".join([*lines, *_error_lines(others, names), ""])


def _error_lines(errors: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    if not errors:
        return ["none"]
    titles = ["case", "patient", "fold", "true", "predicted", *(f"p({name})" for name in names)]
    lines = []
    for e in errors:
        probs = [number(prob, 3) for prob in e["prob"]]
        lines.append([e["name"], e["patient"], e["fold"], e["true"], e["predicted"], *probs])
        if len(names) == 2:
            lines[-1].append(number(e["class_threshold"], 3))
    return markdown_table([*titles, f"threshold of p({names[1]})"] if len(names) == 2 else titles, lines)
