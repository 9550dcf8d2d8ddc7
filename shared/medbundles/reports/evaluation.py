"""The report of an evaluation, from one row per item."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.atomic_files import replace_atomic, write_json_atomic, write_text_atomic
from medbundles.metrics.classification import class_report, confusion_counts
from medbundles.metrics.named_scores import SCORES, check_scores, named_score
from medbundles.metrics.patient_bootstrap import PatientBootstrap, PatientDice, WeightedMean
from medbundles.reports import figures
from medbundles.reports.pictures import overlay

CLASSIFICATION = ("acc", "sensitivity", "specificity", "auc", "f1")
MEANING = {
    "dice": "Dice per image, mean over images whose true mask is not empty",
    "dice_patient": "Dice over all slices of a patient together, mean over patients with tumour",
    "iou": "intersection over union per image, mean over images whose true mask is not empty",
    "fp_area": "share of the image wrongly marked as tumour, mean over images whose true mask is empty (0 is best)",
    **SCORES,
}
MASK_KEYS = ("overlap", "predicted_pixels", "true_pixels", "pixels")
LISTED = 10  # wrong images told in the table
NO_EMPTY, NO_TUMOUR = "no image with a mask is free of tumour", "no image has tumour in its mask"


class Evaluation:
    """Metrics of an evaluation with 95 % bootstrap intervals over patients, and what is drawn of it.

    Segmentation counts images that have a mask, on the network's square. Classification counts all images, and then
    each source alone: where the classes are not spread alike over the sources, the pooled figures flatter.

    Args:
        rows: per item: name, patient, source, file, label, predicted (class), prob (N,); and of a network that gives
            masks has_mask, pixels, overlap, predicted_pixels, true_pixels.
        class_names: names of the N classes.
        thresholds: mask_threshold and class_threshold, if known.
        bootstrap: how often patients are drawn.
        seed: seed of the drawing.
        scores: of the classification, in the order of the report; see `medbundles.metrics.named_scores.SCORES`.

    Attributes:
        metrics: group ("all" or a source) -> metric -> value, low, high, n_images, n_patients, reason.
        counts: confusion matrix (N, N) with true classes as rows.

    Raises:
        ConfigError: for an unknown score.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        class_names: Sequence[str],
        thresholds: Mapping[str, float] | None = None,
        bootstrap: int = 2000,
        seed: int = 0,
        scores: Sequence[str] = CLASSIFICATION,
    ):
        self.rows, self.class_names, self.thresholds = list(rows), list(class_names), dict(thresholds or {})
        self.bootstrap, self.seed, self.scores = bootstrap, seed, check_scores(scores)
        self.has_masks = all("has_mask" in row for row in rows)
        self.label = np.array([row["label"] for row in rows], dtype=int)
        self.predicted = np.array([row["predicted"] for row in rows], dtype=int)
        self.prob = np.array([row["prob"] for row in rows], dtype=np.float64).reshape(-1, len(class_names))
        self.patient = np.array([row["patient"] for row in rows], dtype=str)
        self.source = np.array([row["source"] for row in rows], dtype=str)
        self.sources = sorted(set(self.source))
        self.counts = confusion_counts(self.label, self.predicted, len(self.class_names))

    @functools.cached_property
    def metrics(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Measured when first asked for: the drawing takes time, and a plot may not need it."""
        if not self.rows:
            return {"all": {}}
        everything = np.ones(len(self.rows), dtype=bool)
        groups = {"all": (self._segmentation() if self.has_masks else {}) | self._classification(everything)}
        if len(self.sources) > 1:
            groups |= {source: self._classification(self.source == source) for source in self.sources}
        return groups

    def _segmentation(self) -> dict[str, dict[str, Any]]:
        overlap, found, truth, pixels = (
            np.array([row[key] if row["has_mask"] else np.nan for row in self.rows], dtype=float) for key in MASK_KEYS
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            tumour, empty = truth > 0, truth == 0
            dice = np.where(tumour, 2 * overlap / (found + truth), np.nan)
            iou = np.where(tumour, overlap / (found + truth - overlap), np.nan)
            area = np.where(empty, found / pixels, np.nan)
        draw = PatientBootstrap(self.patient, self.bootstrap, self.seed)
        return {
            "dice": draw.measure(WeightedMean(dice, NO_TUMOUR)),
            "dice_patient": draw.measure(PatientDice(self.patient, overlap, found, truth)),
            "iou": draw.measure(WeightedMean(iou, NO_TUMOUR)),
            "fp_area": draw.measure(WeightedMean(area, NO_EMPTY)),
        }

    def _classification(self, part: np.ndarray) -> dict[str, dict[str, Any]]:
        draw = PatientBootstrap(self.patient[part], self.bootstrap, self.seed)
        label, predicted, prob = self.label[part], self.predicted[part], self.prob[part]
        return {name: draw.measure(named_score(name, label, predicted, prob)) for name in self.scores}

    def classes(self) -> dict[str, Any]:
        """Precision, recall, F1 and support per class, and the confusion matrix [true][predicted]."""
        return {
            "per_class": class_report(self.counts, self.class_names),
            "confusion_matrix": self.counts.tolist(),
        }

    def errors(self) -> list[dict[str, Any]]:
        """The wrong images: name, patient, true and predicted class, prob (N,); the surest of the wrong ones first.

        With two classes the false negatives stand before the false positives: what is missed is the worse error.
        """
        wrong = [row for row in self.rows if row["label"] != row["predicted"]]
        wrong.sort(key=self._badness)
        return [
            {
                "name": row["name"], "patient": row["patient"], "true": self.class_names[row["label"]],
                "predicted": self.class_names[row["predicted"]], "prob": list(row["prob"]),
            }
            for row in wrong
        ]  # fmt: skip

    def _badness(self, row: Mapping[str, Any]) -> tuple[bool, float, str]:
        return len(self.class_names) == 2 and row["label"] == 0, row["prob"][row["label"]], row["name"]

    def table(self) -> str:
        """The metrics as text: a line each with value, interval and numbers; then what is wrong."""
        lines = [f"{'metric':<24}{'value':>8}   {'95 % interval':<18}{'images':>7}{'patients':>10}"]
        for group, metrics in self.metrics.items():
            for name, m in metrics.items():
                value = "-" if m["value"] is None else f"{m['value']:.4f}"
                interval = f"{m['low']:.4f} to {m['high']:.4f}" if m["low"] is not None else "-"
                full = name if group == "all" else f"{name} ({group})"
                line = f"{full:<24}{value:>8}   {interval:<18}{m['n_images']:>7}{m['n_patients']:>10}"
                lines.append(f"{line}  {m['reason']}".rstrip())
        return "\n".join([*lines, *self._error_lines()])

    def _error_lines(self) -> list[str]:
        errors, names, lines = self.errors(), self.class_names, []
        if len(names) == 2:
            kinds = [("false negatives", 1, 0), ("false positives", 0, 1)]
            for kind, true, said in kinds if self.rows else []:
                of_kind = [e for e in errors if e["true"] == names[true]]
                total = self.counts[true].sum()
                lines.append(f"{kind}, {names[true]} taken for {names[said]}: {len(of_kind)} of {total}")
                lines += self._listed(of_kind)
        elif errors:
            lines = [f"wrong class: {len(errors)} of {len(self.rows)}", *self._listed(errors)]
        return lines

    def _listed(self, errors: Sequence[Mapping[str, Any]]) -> list[str]:
        lines = []
        for e in errors[:LISTED]:
            prob = ", ".join(f"{name} {p:.3f}" for name, p in zip(self.class_names, e["prob"], strict=True))
            lines.append(f"  {e['name']} (patient {e['patient']}): {e['true']} taken for {e['predicted']} ({prob})")
        more = len(errors) - LISTED
        return [*lines, f"  ... and {more} more (all are in the .json file)"] if more > 0 else lines

    def write_metrics(self, path: Path, about: Mapping[str, Any]) -> None:
        """Write `path`.json and `path`.csv."""
        patients, counts = len(set(self.patient)), self.counts
        missed = {"false_negatives": int(counts[1, 0]), "false_positives": int(counts[0, 1])}
        content = {
            **about,
            **self.thresholds,
            "n_images": len(self.rows), "n_patients": patients, "class_names": self.class_names,
            "interval": {
                "level": 0.95, "method": "percentile bootstrap over patients",
                "samples": self.bootstrap, "seed": self.seed,
            },
            "meaning": {name: MEANING[name] for name in self.metrics["all"]},
            "metrics": self.metrics["all"],
            **self.classes(),
            **(missed if len(self.class_names) == 2 else {}),
            "errors": self.errors(),
            "by_source": {source: self.metrics[source] for source in self.metrics if source != "all"},
        }  # fmt: skip
        write_json_atomic(path.with_suffix(".json"), content)
        fields = ("value", "low", "high", "n_images", "n_patients", "reason")
        lines = [
            [group, name, *("" if m[key] is None else m[key] for key in fields)]
            for group, metrics in self.metrics.items() for name, m in metrics.items()
        ]  # fmt: skip
        write_text_atomic(path.with_suffix(".csv"), _csv(["images", "metric", *fields], lines))

    def write_predictions(self, folder: Path, prefix: str) -> None:
        """Write a table of all items, and probabilities (n, N), predicted and true classes (n,) and names as arrays."""
        keys = ["name", "patient", "source", "file", *(["has_mask"] if self.has_masks else []), "label", "predicted"]
        prob = [f"prob_{name}" for name in self.class_names]
        lines = [
            [*(row[key] for key in keys), *row["prob"], *(_overlaps(row) if self.has_masks else [])]
            for row in self.rows
        ]
        header = [*keys, *prob, *(["dice", "iou", "fp_area"] if self.has_masks else [])]
        write_text_atomic(folder / "predictions.csv", _csv(header, lines))
        write_json_atomic(folder / f"{prefix}_names.json", [row["name"] for row in self.rows])
        for name, array in {"probs": self.prob, "preds": self.predicted, "labels": self.label}.items():
            with replace_atomic(folder / f"{prefix}_{name}.npy") as temporary:
                np.save(temporary, array)

    def write_plots(self, folder: Path, suffix: str = "", title: str = "") -> list[Path]:
        """Write the confusion matrix and, where both classes are there, ROC and precision-recall curves.

        A report of the calibration error has a reliability diagram too.
        """
        if not self.rows:
            return []
        start = f"{title}: " if title else ""
        path = folder / f"confusion_matrix{suffix}.png"
        written = [
            figures.confusion_matrix(
                self.label, self.predicted, self.class_names, path, title=f"{start}confusion matrix"
            )
        ]
        curves = self._curves()
        if curves:
            threshold = self.thresholds.get("class_threshold") if len(self.class_names) == 2 else None
            areas = {name: _area_text(self.metrics.get(name, {}).get("auc")) for name in curves}
            path = folder / f"roc_curve{suffix}.png"
            written.append(figures.roc_curve(curves, path, threshold=threshold, areas=areas, title=f"{start}ROC curve"))
            path = folder / f"pr_curve{suffix}.png"
            written.append(figures.pr_curve(curves, path, threshold=threshold, title=f"{start}precision-recall curve"))
        if "ece" in self.scores and len(self.class_names) == 2:
            path, name = folder / f"reliability{suffix}.png", self.class_names[1]
            written.append(
                figures.reliability(self.label, self.prob[:, 1], path, positive=name, title=f"{start}reliability")
            )
        return written

    def _curves(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Name of a curve -> (label 0/1, probability): all and each source, or each class against the others."""
        if len(self.class_names) == 2:
            parts = {"all": np.ones(len(self.rows), dtype=bool)}
            parts |= {source: self.source == source for source in self.sources if len(self.sources) > 1}
            found = {name: (self.label[part], self.prob[part, 1]) for name, part in parts.items()}
        else:
            found = {name: ((self.label == c).astype(int), self.prob[:, c]) for c, name in enumerate(self.class_names)}
        return {name: (label, prob) for name, (label, prob) in found.items() if 0 < label.sum() < len(label)}

    def write_worst(self, folder: Path, kept: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Path]:
        """Write the worst cases as pictures, in place of those of an earlier report.

        Args:
            folder: where they go.
            kept: "dice" and "class" -> cases, worst first: value, row, image (C, H, W), mask and truth (H, W).
        """
        written = []
        for kind, cases in kept.items():
            for number, case in enumerate(cases, start=1):
                row = case["row"]
                outlined = case["truth"] if row["has_mask"] else None
                prob = ", ".join(f"{name} {p:.3f}" for name, p in zip(self.class_names, row["prob"], strict=True))
                dice = f"Dice {case['value']:.3f}; " if kind == "dice" else ""
                truth, said = self.class_names[row["label"]], self.class_names[row["predicted"]]
                caption = f"{row['name']} ({row['source']})\n{dice}true class {truth}, predicted {said} ({prob})"
                path = folder / f"worst_{kind}_{number}.png"
                written.append(overlay(case["image"], path, predicted=case["mask"], truth=outlined, caption=caption))
        for old in set(folder.glob("worst_*_*.png")) - set(written):
            old.unlink()
        return written


def _overlaps(row: Mapping[str, Any]) -> list[Any]:
    """Dice, IoU and false-positive area of an image, empty where it has none."""
    masked, true, found, overlap = row["has_mask"], row["true_pixels"], row["predicted_pixels"], row["overlap"]
    if not masked:
        return ["", "", ""]
    return (
        [2 * overlap / (true + found), overlap / (true + found - overlap), ""]
        if true
        else ["", "", found / row["pixels"]]
    )


def _area_text(auc: Mapping[str, Any] | None) -> str:
    if not auc or auc["value"] is None:
        return ""
    return f"AUC {auc['value']:.3f}" + (f" [{auc['low']:.3f}, {auc['high']:.3f}]" if auc["low"] is not None else "")


def _csv(header: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    return text.getvalue()
