"""The report of a cross-validation of masks: mean over the folds and out-of-fold figures, for each class."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.atomic_files import write_json_atomic, write_text_atomic
from medbundles.metrics.scores import CASE_SCORES, MASK_BASELINE_SCORES, SCORES, channel_count, of_channel
from medbundles.reports.evaluation import Evaluation
from medbundles.reports.predictions_table import ITEM, with_channels, write_predictions
from medbundles.reports.tables import markdown_table, number, with_interval

from .kfold_over import over_folds
from .staging import WARNING

CHOSEN = {
    "inner": "Each fold was tested by weights whose epoch another fold chose: no choice has seen what it is judged by.",
    "held_out": "**Each fold's epoch was chosen on the very cases it is judged by: these figures flatter.**",
}
SHOWN = ("dice", *MASK_BASELINE_SCORES, "iou", "mask_precision", "mask_recall", "pixel_accuracy", "fp_area", "hd95",
         "surface_dice")  # fmt: skip


def mask_columns(cases: Mapping[str, np.ndarray], channels: Sequence[str]) -> dict[str, np.ndarray]:
    """Those of the columns of a predictions.csv that say something of masks, of several channels (n, K)."""
    found = with_channels(cases, channels)
    return {name: found[name] for name in (*ITEM, "has_mask", *CASE_SCORES) if name in found}


def mask_scores(cases: Mapping[str, np.ndarray]) -> list[str]:
    """The scores of masks that the columns give."""
    known = {name for name in CASE_SCORES if name in cases and not np.isnan(cases[name].astype(float)).all()}
    return [name for name in SHOWN if known.issuperset(SCORES[name].needs)]


def write_mask_report(
    tests: Mapping[int, Mapping[str, Any]],
    of_fold: Mapping[int, Mapping[str, np.ndarray]],
    folder: Path,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Write kfold.json, kfold.md and oof_predictions.csv, and print the report.

    Args:
        tests: fold -> what its test_metrics.json holds.
        of_fold: fold -> its predictions.
        folder: where to write.
        about: see `tools.kfold_report.write_report`.

    Returns:
        What kfold.json holds.
    """
    channels = next(iter(tests.values())).get("channel_names") or ["1"]
    several = channels if len(channels) > 1 else ()
    each = {fold: mask_columns(columns, several) for fold, columns in of_fold.items()}
    cases = {name: np.concatenate([columns[name] for columns in each.values()]) for name in next(iter(each.values()))}
    cases["fold"] = np.repeat(list(each), [len(columns["name"]) for columns in each.values()])
    scores = mask_scores(cases)
    whole = Evaluation(cases, scores=scores, channel_names=several)
    folds = {f: Evaluation(columns, scores=scores, bootstrap=1, channel_names=several) for f, columns in each.items()}
    over = {name: over_folds(name, cases) for name in scores}
    for name in scores:
        for c, channel in enumerate(several) if SCORES[name].per_channel and channel_count(cases) > 1 else ():
            over[f"{name}_{channel}"] = over_folds(name, of_channel(cases, c))
    report = {
        **about,
        "channel_names": list(channels),
        "n_cases": whole.n,
        "n_patients": len(set(cases["patient"])),
        "meaning": {name: SCORES[name].meaning for name in scores},
        "folds": {str(f): {name: e.metrics["all"][name]["value"] for name in over} for f, e in folds.items()},
        "over_folds": over,
        "out_of_fold": {name: whole.metrics["all"][name] for name in over},
    }
    write_json_atomic(folder / "kfold.json", report)
    write_predictions(folder / "oof_predictions.csv", cases, (), channels)
    text = in_markdown(report)
    write_text_atomic(folder / "kfold.md", text)
    print(f"\n{text}\nwritten to {folder}")
    return report


def in_markdown(report: Mapping[str, Any]) -> str:
    """kfold.md: what was run, and the scores."""
    count = len(report["folds"])
    lines = [f"# Cross-validation of {report['bundle']}", "", *([WARNING, ""] if report["synthetic"] else [])]
    lines += [
        f"{report['n_cases']} cases of {report['n_patients']} patients in {count} folds. "
        f"{CHOSEN[report['settings']['selection']]}", "", f"    {report['command']}", "",
    ]  # fmt: skip
    rows = []
    for name, mean in report["over_folds"].items():
        pooled = report["out_of_fold"][name]
        values = [number(fold[name], 3) for fold in report["folds"].values()]
        rows.append([name, _shown({**mean, "value": mean["mean"]}), number(mean["std"]), _shown(pooled), *values])
    header = [
        "score",
        "mean over folds",
        "std over folds",
        "out of fold",
        *(f"fold {fold}" for fold in report["folds"]),
    ]
    lines += [
        "Mean over folds and out of fold (all cases together) with 95 % intervals over patients, where one is known.",
        "",
    ]
    lines += markdown_table(header, rows)
    return "\n".join([*lines, "", *(f"- {name}: {text}" for name, text in report["meaning"].items()), ""])


def _shown(measure: Mapping[str, Any]) -> str:
    if measure["value"] is None:
        return f"undefined ({measure['reason']})"
    return number(measure["value"]) if measure["low"] is None else with_interval(measure)
