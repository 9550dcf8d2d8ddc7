"""The report of an evaluation, from one row per item."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.metrics.patient_bootstrap import (
    AreaUnderCurve,
    ClassificationScore,
    PatientBootstrap,
    PatientDice,
    WeightedMean,
)
from medbundles.runs import figures
from medbundles.runs.files import replace_atomic, write_json_atomic, write_text_atomic
from medbundles.runs.pictures import overlay

CLASSIFICATION = ("acc", "sensitivity", "specificity", "auc", "f1")
MEANING = {
    "dice": "Dice per image, mean over images whose true mask is not empty",
    "dice_patient": "Dice over all slices of a patient together, mean over patients with tumour",
    "iou": "intersection over union per image, mean over images whose true mask is not empty",
    "fp_area": "share of the image wrongly marked as tumour, mean over images whose true mask is empty (0 is best)",
    "acc": "share of images with the right class",
    "sensitivity": "share of positive images found (more than two classes: mean over classes)",
    "specificity": "share of negative images left alone (more than two classes: mean over classes)",
    "auc": "area under the ROC curve (more than two classes: mean over classes)",
    "f1": "F1 of the positive class (more than two classes: mean over classes)",
}
NO_EMPTY, NO_TUMOUR = "no image with a mask is free of tumour", "no image has tumour in its mask"


class Evaluation:
    """Metrics of an evaluation with 95 % bootstrap intervals over patients, and what is drawn of it.

    Segmentation counts images that have a mask, on the network's square. Classification counts all images, and then
    each source alone: where the classes are not spread alike over the sources, the pooled figures flatter.

    Args:
        rows: per item: name, patient, source, file, has_mask, label, predicted (class), prob (N,), and the pixels:
            pixels, overlap, predicted_pixels, true_pixels.
        class_names: names of the N classes.
        thresholds: mask_threshold and class_threshold, if known.
        bootstrap: how often patients are drawn.
        seed: seed of the drawing.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        class_names: Sequence[str],
        thresholds: Mapping[str, float] | None = None,
        bootstrap: int = 2000,
        seed: int = 0,
    ):
        self.rows, self.class_names, self.thresholds = list(rows), list(class_names), dict(thresholds or {})
        self.bootstrap, self.seed = bootstrap, seed
        self.label = np.array([row["label"] for row in rows], dtype=int)
        self.predicted = np.array([row["predicted"] for row in rows], dtype=int)
        self.prob = np.array([row["prob"] for row in rows], dtype=np.float64).reshape(-1, len(class_names))
        self.patient = np.array([row["patient"] for row in rows], dtype=str)
        self.source = np.array([row["source"] for row in rows], dtype=str)
        self.sources = sorted(set(self.source))
        self.metrics = self._measure()

    def _measure(self) -> dict[str, dict[str, dict[str, Any]]]:
        """group ("all" or a source) -> metric -> value, low, high, n_images, n_patients, reason."""
        if not self.rows:
            return {"all": {}}
        everything = np.ones(len(self.rows), dtype=bool)
        groups = {"all": self._segmentation() | self._classification(everything)}
        if len(self.sources) > 1:
            groups |= {source: self._classification(self.source == source) for source in self.sources}
        return groups

    def _segmentation(self) -> dict[str, dict[str, Any]]:
        overlap, found, truth, pixels = (
            np.array([row[key] if row["has_mask"] else np.nan for row in self.rows], dtype=float)
            for key in ("overlap", "predicted_pixels", "true_pixels", "pixels")
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
        label, predicted, classes = self.label[part], self.predicted[part], len(self.class_names)
        draw = PatientBootstrap(self.patient[part], self.bootstrap, self.seed)
        scores = {
            name: AreaUnderCurve(label, self.prob[part]) if name == "auc"
            else ClassificationScore(name, label, predicted, classes) for name in CLASSIFICATION
        }  # fmt: skip
        return {name: draw.measure(score) for name, score in scores.items()}

    def table(self) -> str:
        """The metrics as text: a line each with value, interval and numbers."""
        lines = [f"{'metric':<24}{'value':>8}   {'95 % interval':<18}{'images':>7}{'patients':>10}"]
        for group, metrics in self.metrics.items():
            for name, m in metrics.items():
                value = "-" if m["value"] is None else f"{m['value']:.4f}"
                interval = f"{m['low']:.4f} to {m['high']:.4f}" if m["low"] is not None else "-"
                full = name if group == "all" else f"{name} ({group})"
                line = f"{full:<24}{value:>8}   {interval:<18}{m['n_images']:>7}{m['n_patients']:>10}"
                lines.append(f"{line}  {m['reason']}".rstrip())
        return "\n".join(lines)

    def write_metrics(self, path: Path, about: Mapping[str, Any]) -> None:
        """Write `path`.json and `path`.csv."""
        patients = len(set(self.patient))
        content = {
            **about,
            **self.thresholds,
            "n_images": len(self.rows), "n_patients": patients, "class_names": self.class_names,
            "interval": {
                "level": 0.95, "method": "percentile bootstrap over patients",
                "samples": self.bootstrap, "seed": self.seed,
            },
            "meaning": MEANING,
            "metrics": self.metrics["all"],
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
        keys = ["name", "patient", "source", "file", "has_mask", "label", "predicted"]
        prob = [f"prob_{name}" for name in self.class_names]
        lines = []
        for row in self.rows:
            masked, true, found = row["has_mask"], row["true_pixels"], row["predicted_pixels"]
            dice = 2 * row["overlap"] / (true + found) if masked and true else ""
            iou = row["overlap"] / (true + found - row["overlap"]) if masked and true else ""
            area = found / row["pixels"] if masked and not true else ""
            lines.append([*(row[key] for key in keys), *row["prob"], dice, iou, area])
        header = [*keys, *prob, "dice", "iou", "fp_area"]
        write_text_atomic(folder / "predictions.csv", _csv(header, lines))
        write_json_atomic(folder / f"{prefix}_names.json", [row["name"] for row in self.rows])
        for name, array in {"probs": self.prob, "preds": self.predicted, "labels": self.label}.items():
            with replace_atomic(folder / f"{prefix}_{name}.npy") as temporary:
                np.save(temporary, array)

    def write_plots(self, folder: Path, suffix: str = "", title: str = "") -> list[Path]:
        """Write the confusion matrix and, where both classes are there, ROC and precision-recall curves."""
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


def _area_text(auc: Mapping[str, Any] | None) -> str:
    if not auc or auc["value"] is None:
        return ""
    return f"AUC {auc['value']:.3f}" + (f" [{auc['low']:.3f}, {auc['high']:.3f}]" if auc["low"] is not None else "")


def _csv(header: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    return text.getvalue()
