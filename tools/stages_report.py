"""The comparison of the three training stages: scores, success criteria, patients."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.data.reading.files import stem
from medbundles.errors import DataError
from medbundles.metrics.interval import LEAST, LEAST_OF_CHANGES
from medbundles.metrics.patient_bootstrap import PatientBootstrap
from medbundles.metrics.scores import score
from medbundles.metrics.weighted import WeightedMean, mean_of_defined
from medbundles.reports.predictions_table import read_predictions
from medbundles.reports.tables import markdown_table, number, with_interval

from .staging import WARNING

SEG, CLS, JOINT = "2.1", "2.2", "2.3"  # the stages' keys in stages.json
TITLES = {
    SEG: "stage 1, segmentation warm-up",
    CLS: "stage 2, classification head",
    JOINT: "stage 3, joint training",
}
SCORES = {
    "dice": "Dice per image",
    "dice_patient": "Dice per patient",
    "acc": "accuracy",
    "auc": "AUC",
    "combined": "combined",
}
# what costs nothing -> score -> the joint evaluation's metric
CONSTANT = "always the most frequent class"
FREE = {
    CONSTANT: {"acc": "acc_constant"},
    "logistic regression on mean, spread and size": {"acc": "acc_logistic", "auc": "auc_logistic"},
}
EXPLAINED = (
    "Value [95 % interval over patients, where there are enough for one]; combined = (Dice per image + accuracy) / 2. "
    "The head of stage 1 is untrained; in stage 2 encoder and decoder are frozen, so that its Dice is that of stage 1. "
    "The last two rows cost nothing: they are fitted on the training set, and the combined score of the first takes "
    "the masks of stage 3."
)
FLATTERED = " Best epochs and thresholds were chosen on this set, which flatters its figures."
COMBINED_GOAL = 0.75
Measure = Mapping[str, Any]  # value, low, high


@dataclass(frozen=True)
class Result:
    """What one evaluation found.

    Args:
        metrics: metric -> value, low, high (see `medbundles.reports.evaluation`).
        columns: of its predictions, see `medbundles.reports.predictions_table`.
    """

    metrics: dict[str, Measure]
    columns: dict[str, np.ndarray]

    @property
    def dice(self) -> np.ndarray:
        """Dice of each image (n,), of several classes the mean over those that are there."""
        return mean_of_defined(list(np.atleast_2d(self.columns["dice"].T)))

    def right(self) -> np.ndarray:
        """Whether the class is right, as 0 or 1 (n,)."""
        return (self.columns["label"] == self.columns["predicted"]).astype(float)

    def cases(self) -> list[tuple[str, str]]:
        """Source and name of each."""
        return list(zip(self.columns["source"], self.columns["name"], strict=True))


def read_evaluation(run: Path) -> Result:
    """Metrics and predictions of an evaluation's run directory; with several classes the Dice is (n, K)."""
    content = json.loads((run / "metrics" / "test_metrics.json").read_text(encoding="utf-8"))
    columns = read_predictions(run / "predictions" / "predictions.csv")
    if each := [columns[f"dice_{name}"] for name in content.get("mean_over", ())]:
        columns["dice"] = np.stack(each, axis=1)
    return Result(content["metrics"], columns)


def compare(runs: Mapping[str, Path], evaluations: Mapping[str, Mapping[str, Path]]) -> dict[str, Any]:
    """Everything that stages.json says of the stages.

    Args:
        runs: stage -> its training's run directory.
        evaluations: set -> stage -> run directory of the evaluation.

    Raises:
        DataError: the stages were evaluated on different images.
    """
    training = {stage: _training(run) for stage, run in runs.items()}
    parts = {
        name: compare_on_set({stage: read_evaluation(run) for stage, run in of_set.items()})
        for name, of_set in evaluations.items()
    }
    return {"training": training, "seconds": sum(t["seconds"] for t in training.values()), "parts": parts}


def _training(run: Path) -> dict[str, Any]:
    summary = json.loads((run / "metrics" / "metrics.json").read_text(encoding="utf-8"))["summary"]
    keys = ("epochs", "seconds", "seconds_per_epoch", "monitor", "best_epoch", "best_value")
    return {"run": str(run), **{key: summary[key] for key in keys}}


def compare_on_set(results: Mapping[str, Result]) -> dict[str, Any]:
    """Scores, change by joint training, criteria and patients on the validation or the test set.

    Stage 1 has no accuracy, as its head was not trained; in stage 2 encoder and decoder are frozen, so its Dice is that
    of stage 1.

    Args:
        results: stage -> what its evaluation found.
    """
    seg, cls, joint = results[SEG], results[CLS], results[JOINT]
    if not seg.cases() == cls.cases() == joint.cases():
        raise DataError("stages: they were not evaluated on the same images")
    draw = PatientBootstrap(seg.columns["patient"])
    dice: dict[str, Measure | None] = {name: seg.metrics[name] for name in ("dice", "dice_patient")}
    scores: dict[str, dict[str, Measure | None]] = {
        SEG: {**dice, "acc": None, "auc": None, "combined": None},
        CLS: {**dice, **{name: cls.metrics[name] for name in ("acc", "auc")}},
        JOINT: {name: joint.metrics[name] for name in ("dice", "dice_patient", "acc", "auc")},
    }
    for stage, columns in ((CLS, {**cls.columns, "dice": seg.columns["dice"]}), (JOINT, joint.columns)):
        scores[stage]["combined"] = draw.measure(score("combined", columns))
    differences = {"dice": joint.dice - seg.dice, "acc": joint.right() - cls.right()}
    of_changes = {"dice": LEAST_OF_CHANGES, "acc": LEAST}
    change = {
        name: draw.measure(WeightedMean(values, bounds=(-1.0, 1.0), least=of_changes[name]))
        for name, values in differences.items()
    }
    free: dict[str, dict[str, Measure | None]] = {
        title: {name: joint.metrics.get(metrics.get(name, "")) for name in SCORES} for title, metrics in FREE.items()
    }
    if "constant" in joint.columns:  # no evaluation reports this one, as it takes the network's masks
        free[CONSTANT]["combined"] = draw.measure(score("combined_constant", joint.columns))
    return {
        "phases": scores, "free": free, "change": change, "criteria": criteria(scores),
        "patients": patients(seg, joint),
    }  # fmt: skip


def criteria(scores: Mapping[str, Mapping[str, Measure | None]]) -> list[dict[str, Any]]:
    """The five success criteria of a training in stages; `met` is None where a score does not exist on these data."""
    dice, before_dice = _value(scores[JOINT]["dice"]), _value(scores[SEG]["dice"])
    acc, before_acc = _value(scores[JOINT]["acc"]), _value(scores[CLS]["acc"])
    combined = _value(scores[JOINT]["combined"])
    better = [a > b for a, b in ((dice, before_dice), (acc, before_acc)) if not np.isnan(a - b)]
    return [
        {"text": "training completes without errors", "met": True, "why": ""},
        _criterion("joint Dice >= that of stage 1", dice, before_dice, float.__ge__),
        _criterion("joint accuracy >= that of stage 2", acc, before_acc, float.__ge__),
        {"text": "at least one of the two improves", "met": any(better) if better else None, "why": ""},
        _criterion(f"joint combined score > {COMBINED_GOAL}", combined, COMBINED_GOAL, float.__gt__),
    ]


def _criterion(text: str, value: float, goal: float, holds: Callable[[float, float], bool]) -> dict[str, Any]:
    if np.isnan(value - goal):
        return {"text": text, "met": None, "why": "not defined on these data"}
    return {"text": text, "met": bool(holds(value, goal)), "why": f"{value:.4f} against {goal:.4f}"}


def _value(measure: Measure | None) -> float:
    return float("nan") if measure is None or measure["value"] is None else float(measure["value"])


def patients(seg: Result, joint: Result) -> list[dict[str, Any]]:
    """Per patient with tumour: mean Dice over the slices with tumour in stages 1 and 3; the greatest gain first."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for patient, before, after in zip(seg.columns["patient"].tolist(), seg.dice, joint.dice, strict=True):
        if not np.isnan(before):
            found[patient].append((before, after))
    table = []
    for patient, pairs in found.items():
        before, after = np.mean(pairs, axis=0)
        table.append({
            "patient": patient, "slices": len(pairs),
            "phase 2.1": float(before), "phase 2.3": float(after), "difference": float(after - before),
        })  # fmt: skip
    return sorted(table, key=itemgetter("difference"), reverse=True)


def in_markdown(report: Mapping[str, Any]) -> str:
    """stages.md."""
    loud = f"{WARNING}\n" if report["synthetic"] else ""
    lines = ["# Three training stages compared", "", loud, f"Bundle {report['bundle']}, data {report['dataset_dir']}."]
    lines += ["", "    " + report["command"], ""]
    lines += _table(
        ["stage", "epochs", "best epoch", "monitor", "best value", "seconds"],
        [
            [TITLES[stage], t["epochs"], t["best_epoch"], t["monitor"], number(t["best_value"]), f"{t['seconds']:.1f}"]
            for stage, t in report["training"].items()
        ],
    )
    lines += [f"Training took {report['seconds']:.1f} s in all.", ""]
    for name, content in report["parts"].items():
        lines += [f"## On the {name} set{' (SYNTHETIC)' if report['synthetic'] else ''}", "", *_on_set(name, content)]
    return "\n".join([*lines, loud]).strip() + "\n"


def _on_set(name: str, content: Mapping[str, Any]) -> list[str]:
    named = {**{TITLES[stage]: scores for stage, scores in content["phases"].items()}, **content["free"]}
    rows = [[title, *(_interval(scores[key]) for key in SCORES)] for title, scores in named.items()]
    lines = _table(["stage", *SCORES.values()], rows)
    lines += [
        EXPLAINED + (FLATTERED if name == "validation" else ""),
        "",
        f"Change by joint training, paired: Dice {_interval(content['change']['dice'], '+')}, "
        f"accuracy {_interval(content['change']['acc'], '+')}.",
        "",
    ]
    said = {True: "met", False: "not met", None: "not known"}
    lines += _table(["success criterion", "", ""], [[c["text"], said[c["met"]], c["why"]] for c in content["criteria"]])
    lines += ["Where joint training helps, and where it hurts (mean Dice over a patient's slices with tumour):", ""]
    return lines + _table(
        ["patient", "slices", "stage 1", "stage 3", "difference"],
        [
            [p["patient"], p["slices"], number(p["phase 2.1"]), number(p["phase 2.3"]), f"{p['difference']:+.4f}"]
            for p in content["patients"]
        ],
    )


def _table(header: list[str], rows: list[list[Any]]) -> list[str]:
    return [*markdown_table(header, rows, aligned=True), ""]


def _interval(measure: Measure | None, sign: str = "") -> str:
    return "N/A" if measure is None or measure["value"] is None else with_interval(measure, sign=sign)


def to_look_at(result: Result, overlays: Path, images: Path) -> list[tuple[Path, str]]:
    """The overlays of the slices with the best, the middle and the worst Dice, with the reason.

    Args:
        result: the evaluation of these weights.
        overlays: inference's folder of overlays.
        images: the folder that inference read.
    """
    dice, files = result.dice, result.columns["file"]
    known = np.flatnonzero(~np.isnan(dice))
    known = known[np.argsort(dice[known], kind="stable")]
    chosen = {"best Dice": known[-1:], "middle Dice": known[len(known) // 2 :][:1], "worst Dice": known[:1]}
    found = []
    for why, places in chosen.items():
        for i in places:
            place = Path(files[i]).relative_to(images)
            found.append((overlays / place.with_name(f"{stem(place)}.jpg"), f"{why} {dice[i]:.3f}"))
    return found
