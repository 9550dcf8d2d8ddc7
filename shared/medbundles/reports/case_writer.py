"""Writes what inference on whole volumes finds: tables of probabilities and a heat map of each case."""

from typing import Any

import torch

from medbundles.reports.planes import on_black, three_planes
from medbundles.reports.result_writer import ResultWriter


class CaseWriter(ResultWriter):
    """Writes the results of every case; each file is whole or not there.

        <output>/gradcam/<name>.jpg       three planes through the hottest voxel of the network's input (cropped to
                                          the head and resized; of several channels the first)
        <output>/predictions.{json,csv}   file, name, grade and the probability of each class; see `ResultWriter`

    A case's picture is written before its row counts.

    The arguments are those of `ResultWriter`.

    Example::

        {"_target_": "medbundles.reports.CaseWriter", "output": "@output", "predictions": "@postprocessing",
         "class_names": "@class_names", "checkpoint": "@checkpoint", "grad_cam": "@heat_maps", "existing": "@existing"}
    """

    fields = ("file", "name", "grade", "prob", "class_threshold", "checkpoint", "grad_cam", "outside")
    class_key = "grade"

    def write(self, batch: Any, output: Any, i: int, prob: list[float] | None, heat: torch.Tensor | None) -> None:
        """Write a case's picture, then its row."""
        path, name = batch["image_path"][i], batch["name"][i]
        row = {"file": path, "name": name, "patient": batch["patient"][i], **self.classified(prob)}
        if heat is not None and self.is_shown(batch, i):
            row["grad_cam"] = f"gradcam/{name}.jpg"
        image = output["image"][i, 0].float().cpu() if "grad_cam" in row else None
        self.later(path, lambda: self._finish(row, image, heat))

    def _finish(self, row: dict[str, Any], image: torch.Tensor | None, heat: torch.Tensor | None) -> None:
        if image is not None and heat is not None:
            shown = on_black(image.numpy())
            three_planes(shown, heat.numpy(), self.output / row["grad_cam"], self.caption(row["name"], row))
        self.add(row)
