"""The report of a cross-validation: mean over the folds, out-of-fold figures with intervals, and what was missed."""

import json
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.atomic_files import write_json_atomic, write_text_atomic
from medbundles.errors import DataError
from medbundles.reports import figures
from medbundles.reports.evaluation import Evaluation, area_text
from medbundles.reports.predictions_table import read_predictions
from medbundles.reports.tables import csv_text, markdown_table, number, with_interval

from .kfold_masks import mask_columns, mask_scores, write_mask_report
from .kfold_over import over_folds
from .staging import WARNING

FREE = {"acc_constant": "constant", "acc_logistic": "logistic", "auc_logistic": "logistic"}  # score -> its column
SCORES = ("auc", "balanced_acc", "sensitivity", "specificity", "acc", "f1_macro", "brier", "ece", *FREE)
TITLES = {
    "auc": "AUC", "balanced_acc": "balanced accuracy", "sensitivity": "sensitivity", "specificity": "specificity",
    "acc": "accuracy", "f1_macro": "F1 (macro)", "brier": "Brier score (0 is best)",
    "ece": "calibration error (0 is best)", "acc_constant": "accuracy of always the most frequent class",
    "acc_logistic": "accuracy of a logistic regression on mean, spread and size",
    "auc_logistic": "AUC of that regression",
}  # fmt: skip
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
ALL = "all, pooled"
COLUMNS = ("name", "patient", "source", "file", "label", "predicted", "prob")
POOLED = (
    "Mean over folds [95 % interval, patients drawn within each fold]. Pooled: all cases together; for the AUC that "
    "ranks the probabilities of different networks among each other, so it may be far from the folds' own."
)


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
    of_fold = {fold: read_predictions(run / "predictions" / "predictions.csv") for fold, run in evaluations.items()}
    names = [name for columns in of_fold.values() for name in columns["name"].tolist()]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"kfold: tested in more than one fold: {', '.join(twice[:8])}")
    about = {**about, "evaluations": {str(fold): str(run) for fold, run in evaluations.items()}}
    about |= {key: tests[min(tests)][key] for key in ("length_unit",) if key in tests[min(tests)]}
    if not all("prob" in columns for columns in of_fold.values()):
        return write_mask_report(tests, of_fold, folder, about)
    class_names = next(iter(tests.values()))["class_names"]
    free = [c for c in ("constant", "logistic") if all(c in columns for columns in of_fold.values())]
    scores = [name for name in SCORES if FREE.get(name, "prob") in (*COLUMNS, *free)]
    channels = next(iter(tests.values())).get("channel_names") or ["1"]
    several = channels if len(channels) > 1 else ()
    # a network that answers with masks as well has both kinds of columns
    masks = {fold: mask_columns(columns, several) for fold, columns in of_fold.items()}
    shared = [c for c in next(iter(masks.values())) if c not in COLUMNS and all(c in m for m in masks.values())]
    if "dice" in shared:
        of_fold = {fold: {**columns, **masks[fold]} for fold, columns in of_fold.items()}
    kept = (*COLUMNS, *free, *(shared if "dice" in shared else ()))
    cases = {key: np.concatenate([columns[key] for columns in of_fold.values()]) for key in kept}
    scores += mask_scores(cases)
    cases["fold"] = np.repeat(list(of_fold), [len(columns["name"]) for columns in of_fold.values()])
    whole = Evaluation(cases, class_names, scores=scores, channel_names=several)
    folds = {
        fold: Evaluation(columns, class_names, scores=scores, bootstrap=1, channel_names=several)
        for fold, columns in of_fold.items()
    }
    report = {
        **about,
        "class_names": class_names,
        "n_cases": whole.n,
        "n_patients": len(set(cases["patient"])),
        "thresholds": {str(fold): test.get("class_threshold") for fold, test in tests.items()},
        "folds": {str(f): {name: e.metrics["all"][name]["value"] for name in scores} for f, e in folds.items()},
        "over_folds": {name: over_folds(name, cases) for name in scores},
        "out_of_fold": whole.metrics["all"],
        **whole.classes(),
        "errors": _errors(whole, dict(zip(names, cases["fold"].tolist(), strict=True)), tests),
    }
    _write_pictures(whole, folds, folder, " (SYNTHETIC data)" if about["synthetic"] else "")
    write_json_atomic(folder / "kfold.json", report)
    write_text_atomic(folder / "oof_predictions.csv", _table(whole))
    text = in_markdown(report)
    write_text_atomic(folder / "kfold.md", text)
    print(f"\n{text}\nwritten to {folder}")
    return report


def _errors(whole: Evaluation, folds: Mapping[str, int], tests: Mapping[int, Mapping[str, Any]]) -> list[dict]:
    """The wrong cases, each with the fold that tested it and the threshold it was judged by."""
    found = []
    for error in whole.errors():
        fold = folds[error["name"]]
        decided = {name: tests[fold].get(name) for name in ("class_threshold", "class_logit_threshold")}
        found.append({**error, "fold": fold, **decided})
    return found


def _write_pictures(whole: Evaluation, folds: Mapping[int, Evaluation], folder: Path, note: str) -> None:
    figures.confusion_matrix(
        whole.label, whole.predicted, whole.class_names, folder / "confusion_matrix.png", title=f"Out of fold{note}"
    )
    if len(whole.class_names) != 2:
        return
    groups = {f"fold {fold}": (e.label, e.prob[:, 1]) for fold, e in folds.items() if len(set(e.label)) == 2}
    groups[ALL] = (whole.label, whole.prob[:, 1])
    areas = {ALL: area_text(whole.metrics["all"]["auc"])}
    figures.roc_curve(groups, folder / "roc_curve.png", areas=areas, strong=ALL, title=f"ROC of all folds{note}")
    figures.pr_curve(groups, folder / "pr_curve.png", strong=ALL, title=f"Precision and recall of all folds{note}")
    figures.reliability(
        whole.label, whole.prob[:, 1], folder / "reliability.png", title=f"Out of fold: calibration{note}"
    )


def _table(whole: Evaluation) -> str:
    """oof_predictions.csv, sorted by name."""
    names = whole.class_names
    header = ["name", "patient", "fold", "label", "predicted", *(f"prob_{name}" for name in names), "file"]
    lines = [
        [r["name"], r["patient"], r["fold"], names[r["label"]], names[r["predicted"]], *r["prob"], r["file"]]
        for r in whole.rows()
    ]
    return csv_text(header, sorted(lines, key=itemgetter(0)))


def _with_interval(measure: Mapping[str, Any]) -> str:
    return f"undefined ({measure['reason']})" if measure["value"] is None else with_interval(measure)


def in_markdown(report: Mapping[str, Any]) -> str:
    """kfold.md: what was run, the scores, what was missed."""
    names = report["class_names"]
    lines = [f"# Cross-validation of {report['bundle']}", ""]
    if report["synthetic"]:
        lines += [WARNING, ""]
    count = len(report["folds"])
    lines += [
        f"{report['n_cases']} cases of {report['n_patients']} patients in {count} folds. "
        f"{CHOSEN[report['settings']['selection']]}", "", f"    {report['command']}", "",
    ]  # fmt: skip
    header = ["score", "mean over folds", "std over folds", "pooled"]
    rows = []
    for name, mean in report["over_folds"].items():
        over = _with_interval({**mean, "value": mean["mean"]}) + (f" ({mean['n']} folds)" if mean["n"] < count else "")
        each = [_short(fold[name]) for fold in report["folds"].values()]
        rows.append(
            [TITLES.get(name, name), over, number(mean["std"]), _with_interval(report["out_of_fold"][name]), *each]
        )
    lines += [POOLED, ""]
    lines += markdown_table([*header, *(f"fold {fold}" for fold in report["folds"])], rows)
    classes = [
        [name, *(number(rates[k]) for k in ("precision", "recall", "f1")), rates["support"]]
        for name, rates in report["per_class"].items()
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
    lines = [[e["name"], e["patient"], e["fold"], e["true"], e["predicted"], *map(_short, e["prob"])] for e in errors]
    if len(names) == 2:
        titles += [f"threshold of p({names[1]})", "its log-odds"]
        keys = ("class_threshold", "class_logit_threshold")
        lines = [[*line, *(_short(e.get(key)) for key in keys)] for line, e in zip(lines, errors, strict=True)]
    return markdown_table(titles, lines)


def _short(value: float | None) -> str:
    return number(value, 3)
