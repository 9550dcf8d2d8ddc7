"""Collects every item of an evaluation and writes its report."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events

from medbundles.errors import ConfigError
from medbundles.metrics.named_scores import check_scores
from medbundles.ranks import gathered, is_rank_0
from medbundles.reports.evaluation import CLASSIFICATION, Evaluation
from medbundles.transforms.predictions import threshold_value

logger = logging.getLogger("medbundles")

TITLES = {"test": "Test", "val": "Validation"}


class EvaluationReport:
    """Attached to an evaluator (decollate=False), keeps a row per item and writes, at the end and on rank 0,

        metrics/<prefix>_metrics.json, .csv   value, 95 % interval over patients, number of images and patients
        plots/confusion_matrix.png, roc_curve.png, pr_curve.png, worst_dice_<n>.png, worst_class_<n>.png
        predictions/predictions.csv, <prefix>_probs.npy, _preds.npy, _labels.npy, _names.json

    in the run directory. See `medbundles.reports.evaluation.Evaluation` for what is measured. A network without masks
    (no "mask" in the prediction) has no segmentation metrics and no pictures of the worst cases.

    Args:
        run_dir: has `path` and `folder(name)`, as a `RunDirectory`; must have been started when the report is written.
        class_names: names of the N classes.
        prefix: "test" or "val".
        predictions: the postprocessing (`medbundles.transforms.Predictions`), whose thresholds are told; or None.
        worst: how many pictures of the worst Dice, and as many of the most confidently wrong classes; 0: none.
        bootstrap: how often patients are drawn for the intervals.
        seed: seed of the drawing.
        on_completed: write when the evaluator is done; False: only when `write` is called (by all ranks).
        about: further entries for the metrics file, such as the checkpoint.
        scores: of the classification, see `medbundles.metrics.named_scores.SCORES`.

    Raises:
        ConfigError: for an unknown prefix or score.

    Example::

        {"_target_": "medbundles.reports.EvaluationReport", "run_dir": "@run_dir", "class_names": "@class_names",
         "prefix": "test", "predictions": "@validate#postprocessing", "about": {"checkpoint": "@checkpoint"}}
    """

    phase = "end"

    def __init__(
        self,
        run_dir: Any,
        class_names: Sequence[str],
        prefix: str = "test",
        predictions: Any = None,
        worst: int = 8,
        bootstrap: int = 2000,
        seed: int = 0,
        on_completed: bool = True,
        about: dict[str, Any] | None = None,
        scores: Sequence[str] = CLASSIFICATION,
    ):
        if prefix not in ("test", "val"):
            raise ConfigError(f"prefix: {prefix!r} is unknown; use 'test' or 'val'")
        self.run_dir, self.class_names, self.prefix, self.predictions = run_dir, list(class_names), prefix, predictions
        self.worst, self.bootstrap, self.seed, self.on_completed = worst, bootstrap, seed, on_completed
        self.about, self.scores = about or {}, check_scores(scores)
        self.rows: list[dict[str, Any]] = []
        self.kept: dict[str, list[dict[str, Any]]] = {"dice": [], "class": []}

    def attach(self, engine: Engine) -> None:
        """Wire it to the evaluator, after the handler that opens the run directory."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        if self.on_completed:
            engine.add_event_handler(Events.COMPLETED, self.write)

    def start(self, engine: Engine) -> None:
        """Forget the last evaluation."""
        self.rows, self.kept = [], {"dice": [], "class": []}

    def __call__(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        output: Any = engine.state.output
        pred, target = output["pred"], output["label"]
        prob, chosen, label = (t.cpu().tolist() for t in (pred["prob"], pred["class"], target["cls"]))
        masks = _mask_columns(pred["mask"], target) if "mask" in pred else [{}] * len(label)
        if len(prob[0]) != len(self.class_names):
            raise ConfigError(
                f"class_names has {len(self.class_names)} names, the network gives {len(prob[0])} classes"
            )
        for i, columns in enumerate(masks):
            row = {
                "name": batch["name"][i], "patient": batch["patient"][i], "source": batch["source"][i],
                "file": batch["image_path"][i] if "image_path" in batch else "",
                "label": int(label[i]), "predicted": int(chosen[i]), "prob": prob[i], **columns,
            }  # fmt: skip
            self.rows.append(row)
            if not columns:
                continue  # nothing to draw
            if row["has_mask"] and row["true_pixels"] > 0:
                dice = 2 * row["overlap"] / (row["predicted_pixels"] + row["true_pixels"])
                self._keep("dice", dice, row, output, i)
            if row["label"] != row["predicted"]:
                self._keep("class", prob[i][row["label"]], row, output, i)

    def _keep(self, kind: str, badness: float, row: dict[str, Any], output: dict, i: int) -> None:
        """Keep an item's pictures while it is among the worst (lowest) so far."""
        kept = self.kept[kind]
        if self.worst <= 0 or (len(kept) >= self.worst and badness >= kept[-1]["value"]):
            return
        image, mask = output["image"][i].float().cpu().numpy(), output["pred"]["mask"][i, 0].cpu().numpy() > 0
        truth = output["label"]["mask"][i, 0].cpu().numpy() > 0
        kept.append({"value": badness, "row": row, "image": image, "mask": mask, "truth": truth})
        kept.sort(key=_badness)
        del kept[self.worst :]

    def write(self, engine: Engine, suffix: str = "") -> Evaluation | None:
        """Write the report; all ranks must call it, rank 0 writes.

        Args:
            engine: the evaluator.
            suffix: for the names of the plots, such as "_epoch_3".

        Returns:
            What was measured, on rank 0.
        """
        rows, kept = self.gathered()
        return self.write_rows(rows, kept, suffix)

    def write_rows(
        self,
        rows: list[dict[str, Any]],
        kept: dict[str, list[dict[str, Any]]],
        suffix: str = "",
        about: dict[str, Any] | None = None,
    ) -> Evaluation | None:
        """Write the report of given rows (see `gathered`), on rank 0."""
        if not is_rank_0():
            return None
        evaluation = self.evaluation(rows)
        folder = {name: self.run_dir.folder(name) for name in ("metrics", "plots", "predictions")}
        evaluation.write_metrics(folder["metrics"] / f"{self.prefix}_metrics", self.about | (about or {}))
        evaluation.write_predictions(folder["predictions"], self.prefix)
        evaluation.write_plots(folder["plots"], suffix, TITLES[self.prefix])
        evaluation.write_worst(folder["plots"], kept)
        logger.info("%s", evaluation.table())
        return evaluation

    def write_plots(self, rows: list[dict[str, Any]], epoch: int) -> None:
        """Write the plots of given rows, with _epoch_<epoch> in their names, on rank 0."""
        if is_rank_0():
            suffix, title = f"_epoch_{epoch}", f"{TITLES[self.prefix]}, epoch {epoch}"
            self.evaluation(rows, ["auc"]).write_plots(self.run_dir.folder("plots"), suffix, title)

    def evaluation(self, rows: list[dict[str, Any]], scores: Sequence[str] | None = None) -> Evaluation:
        """What is measured of given rows."""
        thresholds = {}
        if self.predictions is not None:
            masks = not rows or "has_mask" in rows[0]
            names = ("mask_threshold", "class_threshold") if masks else ("class_threshold",)
            thresholds = {name: threshold_value(name, getattr(self.predictions, name)) for name in names}
        return Evaluation(rows, self.class_names, thresholds, self.bootstrap, self.seed, scores or self.scores)

    def gathered(self) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
        """Rows of all ranks, sorted by name, and the worst of them."""
        parts = gathered((self.rows, self.kept))
        kept = {
            kind: sorted((case for part in parts for case in part[1][kind]), key=_badness)[: self.worst]
            for kind in self.kept
        }
        return sorted((row for part in parts for row in part[0]), key=_name), kept


def _mask_columns(mask: torch.Tensor, target: dict[str, torch.Tensor]) -> list[dict[str, Any]]:
    """What a row holds of the masks of each of B images."""
    found, truth = mask.flatten(1) > 0, target["mask"].flatten(1) > 0
    sums = torch.stack([(found & truth).sum(1), found.sum(1), truth.sum(1)], dim=1).cpu().tolist()
    return [
        {
            "has_mask": bool(has_mask), "pixels": found.shape[1],
            "overlap": overlap, "predicted_pixels": predicted, "true_pixels": true,
        }
        for has_mask, (overlap, predicted, true) in zip(target["has_mask"].cpu().tolist(), sums, strict=True)
    ]  # fmt: skip


def _badness(case: dict[str, Any]) -> float:
    return case["value"]


def _name(row: dict[str, Any]) -> tuple[str, str]:
    return row["source"], row["name"]
