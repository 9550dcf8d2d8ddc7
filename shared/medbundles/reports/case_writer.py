"""Writes what inference on whole volumes finds: tables of probabilities and a heat map of each case."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ignite.engine import Engine

from medbundles.errors import DataError
from medbundles.reports.inference_tables import class_of
from medbundles.reports.planes import three_planes
from medbundles.reports.result_writer import ResultWriter
from medbundles.transforms.head import components_at
from medbundles.transforms.normalise import VOLUME_BACKGROUND


class CaseWriter(ResultWriter):
    """Writes the results of every case; each file is whole or not there.

        <output>/gradcam/<name>.png       three planes through the hottest voxel of the network's input (cropped to
                                          the head and resized; of several channels the first)
        <output>/predictions.{json,csv}   file, name, grade and the probability of each class; see `ResultTables`

    A case's picture is written before its row counts. The tables are written every half minute, at the end, and when
    the run breaks off, so that `existing: "skip"` can go on from there.

    Args:
        output: folder to write to, made when the first result is there.
        predictions: the engine's postprocessing (`medbundles.transforms.Predictions`): its class threshold counts.
        class_names: names of the N classes.
        checkpoint: file whose weights are used, told in the tables.
        grad_cam: a `GradCam`, or None for no heat maps.
        existing: what `inference_cases` does with cases that have results; "skip" keeps their rows.

    Raises:
        ConfigError: under torchrun; or when the rows to be kept come from other weights or thresholds.

    Example::

        {"_target_": "medbundles.reports.CaseWriter", "output": "@output", "predictions": "@postprocessing",
         "class_names": "@class_names", "checkpoint": "@checkpoint", "grad_cam": "@heat_maps", "existing": "@existing"}
    """

    def __call__(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        output: Any = engine.state.output
        for i, prob in enumerate(self.probabilities(output["pred"])):
            path, name = batch["image_path"][i], batch["name"][i]
            if not torch.isfinite(torch.tensor(prob)).all():  # NaN >= threshold is false: it would pass as class 0
                raise DataError(f"{path}: the network gives no number for it (NaN); its weights are broken")
            chosen = class_of(prob, self.tables.class_threshold)
            row = {"file": path, "name": name, "patient": batch["patient"][i], "grade": self.class_names[chosen]}
            row["prob"] = prob
            if self.grad_cam is not None:
                row["grad_cam"] = f"gradcam/{name}.png"
                self._picture(output["image"][i], chosen, row)
            self.add(row)
        self.save_sometimes()

    def _picture(self, image: torch.Tensor, chosen: int, row: dict[str, Any]) -> None:
        heat = self.grad_cam(image[None], [chosen])[0]  # one by one: a volume's graph is large
        known = ", ".join(f"{c} {p:.3f}" for c, p in zip(self.class_names, row["prob"], strict=True))
        if len(self.class_names) == 2:
            known += f"; {self.class_names[1]} from {self.tables.class_threshold:.3f} on"
        caption = f"{row['name']}: {row['grade']} ({known})\nheat: what speaks for {row['grade']!r}"
        shown = on_black(image[0].float().cpu().numpy())
        three_planes(shown, heat.cpu().numpy(), self.output / row["grad_cam"], caption)


def on_black(image: np.ndarray) -> np.ndarray:
    """A volume (X, Y, Z) as `ResizeVolume` leaves it, with black around the head instead of the head's median.

    The resizing leaves a rim of values near the median, up to two voxels wide, outside the head.
    """
    from scipy import ndimage

    faces = np.ones(image.shape, dtype=bool)
    faces[1:-1, 1:-1, 1:-1] = False
    outside = components_at(faces, image == VOLUME_BACKGROUND)
    return np.where(ndimage.binary_dilation(outside, iterations=2), image.min(), image)
