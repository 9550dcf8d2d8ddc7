"""What an evaluation found: scores with intervals, tables, figures and files, all from one column per quantity."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.atomic_files import replace_atomic, write_json_atomic, write_text_atomic
from medbundles.errors import ConfigError
from medbundles.lines import wrapped
from medbundles.metrics.cases import as_rows
from medbundles.metrics.classification import class_report, confusion_counts
from medbundles.metrics.overlap import with_case_scores
from medbundles.metrics.patient_bootstrap import PatientBootstrap
from medbundles.metrics.scores import SCORES, channel_count, check_scores, class_count, score, scores_of
from medbundles.metrics.surface_scores import empty_masks
from medbundles.reports import figures
from medbundles.reports.against_baselines import against_baselines
from medbundles.reports.predictions_table import write_predictions
from medbundles.reports.tables import csv_text, number, probability, with_interval

LISTED = 10  # wrong images listed in the table
FIELDS = ("value", "low", "high", "n_images", "n_patients", "reason")


class Evaluation:
    """Scores of an evaluation with 95 % intervals over patients, and what is drawn of it.

    Which scores, files and figures there are follows from the columns. Segmentation counts images that have a mask, on
    the network's square. Classification counts all images, and then each source alone: where the classes are not
    spread alike over the sources, the pooled figures flatter.

    Args:
        columns: name, patient, source, file (n,), and what `medbundles.metrics.measures` measure.
        class_names: names of the N classes, where there are classes.
        thresholds: mask_threshold and class_threshold, if known.
        bootstrap: how often patients are drawn.
        seed: seed of the drawing.
        scores: names in the order of the report; None: those of `IN_REPORTS` that the columns give.
        channel_names: names of the K channels of the masks; empty: their numbers.

    Attributes:
        metrics: group ("all" or a source) -> metric -> value, low, high, n_images, n_patients, reason.
        counts: confusion matrix (N, N) with true classes as rows, where there are classes.

    Raises:
        ConfigError: an unknown score, one that the columns do not give, or not as many names as classes or channels.
    """

    def __init__(
        self,
        columns: Mapping[str, np.ndarray],
        class_names: Sequence[str] = (),
        thresholds: Mapping[str, float] | None = None,
        bootstrap: int = 2000,
        seed: int = 0,
        scores: Sequence[str] | None = None,
        channel_names: Sequence[str] = (),
    ):
        self.columns, self.class_names, self.thresholds = with_case_scores(columns), list(class_names), thresholds or {}
        self.bootstrap, self.seed, self.n = bootstrap, seed, len(columns.get("name", ()))
        self.scores = scores_of(self.columns) if scores is None else list(check_scores(scores))
        self.has_classes, self.channels = "prob" in columns, channel_count(self.columns)
        self.channel_names = list(channel_names) or [str(c + 1) for c in range(self.channels)]
        if len(self.channel_names) != self.channels and "dice" in self.columns:
            raise ConfigError(f"channel_names has {len(channel_names)} names, the masks have {self.channels} channels")
        if len({*self.channel_names, "patient"}) <= len(self.channel_names):  # dice_patient is another score
            raise ConfigError(f"channel_names: {', '.join(self.channel_names)}; each must differ, also from 'patient'")
        if self.has_classes:
            check_class_names(class_names, columns)
            self.label, self.predicted, self.prob = (self.columns[key] for key in ("label", "predicted", "prob"))
            self.counts = confusion_counts(self.label, self.predicted, len(self.class_names))
        self.sources = sorted(set(columns.get("source", ())))

    @functools.cached_property
    def metrics(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Measured when first asked for: the drawing takes time, and a plot may not need it."""
        if not self.n:
            return {"all": {}}
        groups = {"all": self._measured(self.scores, np.ones(self.n, dtype=bool))}
        of_source = [name for name in self.scores if "label" in SCORES[name].needs] or self.scores
        if len(self.sources) > 1:
            groups |= {s: self._measured(of_source, self.columns["source"] == s) for s in self.sources}
        return groups

    def _measured(self, names: Sequence[str], chosen: np.ndarray) -> dict[str, dict[str, Any]]:
        columns = {name: values[chosen] for name, values in self.columns.items()}
        draw = PatientBootstrap(columns["patient"], self.bootstrap, self.seed)
        return {full: draw.measure(score(name, columns, c)) for full, (name, c) in self._with_channels(names).items()}

    def _with_channels(self, names: Sequence[str]) -> dict[str, tuple[str, int | None]]:
        """Name in the report -> score and channel (None: all of them)."""
        found: dict[str, tuple[str, int | None]] = {}
        for name in names:
            found[name] = (name, None)
            if SCORES[name].per_channel and self.channels > 1:
                found |= {f"{name}_{channel}": (name, c) for c, channel in enumerate(self.channel_names)}
        return found

    def _classes(self) -> list[str]:
        """The channels whose mean a score over all of them is: without regions."""
        return self.channel_names[: class_count(self.columns)]

    def _meanings(self) -> dict[str, str]:
        meanings = {}
        for full, (name, channel) in self._with_channels(self.scores).items() if self.n else ():
            meanings[full] = SCORES[name].meaning
            if SCORES[name].per_channel and self.channels > 1:
                which = f"mean over the {'classes' if 'class_channels' in self.columns else 'channels'}"
                which = which if channel is None else f"channel {self.channel_names[channel]}"
                meanings[full] += f"; {which}"
        return meanings

    def classes(self) -> dict[str, Any]:
        """Precision, recall, F1 and support per class, and the confusion matrix [true][predicted]; {} without any."""
        if not self.has_classes:
            return {}
        report = class_report(self.label, self.predicted, self.class_names)
        return {"per_class": report, "confusion_matrix": self.counts.tolist()}

    def errors(self) -> list[dict[str, Any]]:
        """The wrong images: name, patient, true and predicted class, prob (N,); the surest of the wrong ones first.

        With two classes the false negatives stand before the false positives: what is missed is the worse error.
        """
        if not self.has_classes:
            return []
        wrong = (row for row in self.rows() if row["label"] != row["predicted"])
        return [
            {
                "name": row["name"], "patient": row["patient"], "true": self.class_names[row["label"]],
                "predicted": self.class_names[row["predicted"]], "prob": row["prob"],
            }
            for row in sorted(wrong, key=self._badness)
        ]  # fmt: skip

    def rows(self) -> list[dict[str, Any]]:
        """A dict of all columns per case."""
        return as_rows(self.columns)

    def _badness(self, row: Mapping[str, Any]) -> tuple[bool, float, str]:
        return len(self.class_names) == 2 and row["label"] == 0, row["prob"][row["label"]], row["name"]

    def table(self) -> str:
        """The metrics as text: a line each with value, interval and numbers; then what is wrong."""
        names = [n if g == "all" else f"{n} ({g})" for g, metrics in self.metrics.items() for n in metrics]
        width = max([23, *map(len, names)]) + 1
        lines = [f"{'metric':<{width}}{'value':>9}{'images':>8}{'patients':>10}   95 % interval"]
        for group, metrics in self.metrics.items():
            for name, m in metrics.items():
                interval = f"{number(m['low'])} to {number(m['high'])}" if m["low"] is not None else m["reason"] or "-"
                full = name if group == "all" else f"{name} ({group})"
                lines.append(
                    f"{full:<{width}}{number(m['value']):>9}{m['n_images']:>8}{m['n_patients']:>10}   {interval}"
                )
        sentences = [*self._empty_lines(), *self.against_baselines()]
        others = [line for text in sentences for line in wrapped(text)]
        return "\n".join([*lines, *others, *self._error_lines()])

    def empty_masks(self) -> dict[str, dict[str, int]]:
        """Channel -> how many images are missed, false_alarms and both_empty; {} without surface scores."""
        if not {"hd95", "predicted_pixels", "true_pixels"} <= set(self.columns):
            return {}
        counts = empty_masks(self.columns)
        return {
            channel: {kind: int(each[c]) for kind, each in counts.items()}
            for c, channel in enumerate(self.channel_names)
        }

    def _empty_lines(self) -> list[str]:
        each = [
            f"{f'{channel}: ' if self.channels > 1 else ''}{count['missed']} missed, {count['false_alarms']} false "
            f"alarms, {count['both_empty']} both empty"
            for channel, count in self.empty_masks().items()
        ]
        rule = "empty masks (one: hd95 is the image's diagonal and surface_dice 0; both: not counted): "
        return [rule + "; ".join(each)] if each else []

    def against_baselines(self) -> list[str]:
        """Whether a reconstruction is better than what costs nothing, a sentence each; none where that is unknown."""
        return against_baselines(self.metrics["all"])

    def _error_lines(self) -> list[str]:
        errors, names, lines = self.errors(), self.class_names, []
        if self.has_classes and len(names) == 2:
            kinds = [("false negatives", 1, 0), ("false positives", 0, 1)]
            limit = self.thresholds.get("class_threshold")
            decided = "" if limit is None else f" ({names[1]} from {probability(limit)} on)"
            for kind, true, said in kinds if self.n else []:
                of_kind = [e for e in errors if e["true"] == names[true]]
                total = self.counts[true].sum()
                lines.append(f"{kind}, {names[true]} taken for {names[said]}: {len(of_kind)} of {total}{decided}")
                lines += self._listed(of_kind)
        elif errors:
            lines = [f"wrong class: {len(errors)} of {self.n}", *self._listed(errors)]
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
        content: dict[str, Any] = {
            **about,
            **self.thresholds,
            "n_images": self.n, "n_patients": len(set(self.columns.get("patient", ()))),
            **({"class_names": self.class_names} if self.has_classes else {}),
            **({"channel_names": self.channel_names, "mean_over": self._classes()} if self.channels > 1 else {}),
            "interval": {
                "level": 0.95,
                "method": "standard error by a bootstrap over patients, in Wilson's or Student's interval",
                "samples": self.bootstrap, "seed": self.seed,
            },
            "meaning": self._meanings(),
            "metrics": self.metrics["all"],
            **({"empty_masks": empty} if (empty := self.empty_masks()) else {}),
            **({"against_baselines": sentences} if (sentences := self.against_baselines()) else {}),
            **self.classes(),
        }  # fmt: skip
        if self.has_classes and len(self.class_names) == 2:
            content |= {"false_negatives": int(self.counts[1, 0]), "false_positives": int(self.counts[0, 1])}
        if self.has_classes:
            content["errors"] = self.errors()
        content["by_source"] = {source: self.metrics[source] for source in self.metrics if source != "all"}
        write_json_atomic(path.with_suffix(".json"), content)
        lines = [
            [group, name, *(m[key] for key in FIELDS)]
            for group, metrics in self.metrics.items() for name, m in metrics.items()
        ]  # fmt: skip
        write_text_atomic(path.with_suffix(".csv"), csv_text(["images", "metric", *FIELDS], lines))

    def write_predictions(self, folder: Path, prefix: str) -> None:
        """Write a table of all cases, their names, and probabilities (n, N), predicted and true classes (n,)."""
        write_predictions(folder / "predictions.csv", self.columns, self.class_names, self.channel_names)
        write_json_atomic(folder / f"{prefix}_names.json", self.columns["name"].tolist())
        arrays = {"probs": self.prob, "preds": self.predicted, "labels": self.label} if self.has_classes else {}
        for name, array in arrays.items():
            with replace_atomic(folder / f"{prefix}_{name}.npy") as temporary:
                np.save(temporary, array)

    def write_plots(self, folder: Path, suffix: str = "", title: str = "", ending: str = ".png") -> list[Path]:
        """Write the confusion matrix and, where both classes are there, ROC and precision-recall curves.

        A report of the calibration error has a reliability diagram too. Without classes there is nothing to plot.
        The ending may be .svg.
        """
        if not self.n or not self.has_classes:
            return []
        start = f"{title}: " if title else ""
        path = folder / f"confusion_matrix{suffix}{ending}"
        figures.confusion_matrix(self.label, self.predicted, self.class_names, path, title=f"{start}confusion matrix")
        written, curves = [path], self._curves()
        if curves:
            threshold = self.thresholds.get("class_threshold") if len(self.class_names) == 2 else None
            areas = {name: area_text(self.metrics.get(name, {}).get("auc")) for name in curves}
            path = folder / f"roc_curve{suffix}{ending}"
            written.append(figures.roc_curve(curves, path, threshold=threshold, areas=areas, title=f"{start}ROC curve"))
            path = folder / f"pr_curve{suffix}{ending}"
            written.append(figures.pr_curve(curves, path, threshold=threshold, title=f"{start}precision-recall curve"))
        if "ece" in self.scores and len(self.class_names) == 2:
            path, name = folder / f"reliability{suffix}{ending}", self.class_names[1]
            written.append(
                figures.reliability(self.label, self.prob[:, 1], path, positive=name, title=f"{start}reliability")
            )
        return written

    def _curves(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Name of a curve -> (label 0/1, probability): all and each source, or each class against the others."""
        if len(self.class_names) == 2:
            groups = {"all": np.ones(self.n, dtype=bool)}
            groups |= {source: self.columns["source"] == source for source in self.sources if len(self.sources) > 1}
            found = {name: (self.label[chosen], self.prob[chosen, 1]) for name, chosen in groups.items()}
        else:
            found = {name: ((self.label == c).astype(int), self.prob[:, c]) for c, name in enumerate(self.class_names)}
        return {name: (label, prob) for name, (label, prob) in found.items() if 0 < label.sum() < len(label)}


def check_class_names(class_names: Sequence[str], columns: Mapping[str, Any]) -> None:
    """Refuse another number of names than of classes.

    Raises:
        ConfigError: with both numbers.
    """
    given = columns["prob"].shape[1] if "prob" in columns else len(class_names)
    if given != len(class_names):
        raise ConfigError(f"class_names has {len(class_names)} names, the network gives {given} classes")


def area_text(auc: Mapping[str, Any] | None) -> str:
    """ "AUC value [low, high]" for a legend; empty where it is not defined."""
    return "" if not auc or auc["value"] is None else f"AUC {with_interval(auc, 3)}"
