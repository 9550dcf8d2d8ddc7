"""Writes what a segmentation finds: label maps in the input's geometry, a table of sizes, overlays."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medbundles.data.reading.files import is_volume
from medbundles.data.reading.images import read_image, shown_channels
from medbundles.data.reading.nifti import VolumeInfo, read_header
from medbundles.data.reading.volumes import from_axial_slices, plane_axis, read_volume
from medbundles.metrics.measures import class_indices
from medbundles.reports.mask_files import write_mask, write_probabilities
from medbundles.reports.pictures import overlay
from medbundles.reports.planes import shown_plane, sides_of
from medbundles.reports.result_writer import ResultWriter
from medbundles.transforms.grid import to_input_grid

SIDE = 300  # pixels that a panel's longer side has at least


class LabelMapWriter(ResultWriter):
    """Writes the results of every input when it is done; each file is whole or not there.

        <output>/masks/<name>_mask.png      the number of each pixel's class, uint8, as large as the picture
        <output>/masks/<name>_mask.nii.gz   the same, uint8 with the volume's axes, affine and voxel size
        <output>/probabilities/<name>.npy   float32 (K, H, W) of a picture: the probability of each class but the
                                            background (K = 1: of the only one); only where wanted
        <output>/probabilities/<name>_<k>.nii.gz   the same of a volume, a file for each class k, with its geometry
        <output>/overlays/<name>.jpg        outlines of the classes; of a volume the slice that holds most of them
        <output>/predictions.{json,csv}     size of each class (pixels, or mm3); see `ResultWriter`

    The label map of an input is written after its overlay: where it is, the input is done.

    Args:
        output: folder to write to, made when the first result is there.
        predictions: what makes masks of logits: the engine's postprocessing (`medbundles.transforms.Predictions`), and
            perhaps `Components` behind it.
        label_names: of all classes, the background first; "auto": their numbers.
        out_channels: of the network.
        overlays: whether to write overlays.
        probabilities: whether to write them.
        **options: those of `ResultWriter`.

    Example::

        {"_target_": "medbundles.reports.LabelMapWriter", "output": "@output", "predictions": "@postprocessing",
         "label_names": "@label_names", "out_channels": "@out_channels", "checkpoint": "@checkpoint"}
    """

    fields = ("file", "name", "kind", "area", "area_unit", "mask", "overlay", "checkpoint", "outside")
    class_key = "mask"

    def __init__(
        self,
        output: str | Path,
        predictions: Any,
        label_names: Sequence[str] | str = "auto",
        out_channels: int = 2,
        overlays: bool = True,
        probabilities: bool = False,
        **options: Any,
    ):
        numbers = [str(label) for label in range(max(out_channels, 2))]
        names = numbers if isinstance(label_names, str) else list(label_names)
        super().__init__(output, None, names[1:], **options)
        self.postprocessing, self.label_names = predictions, names
        self.overlays, self.probabilities = overlays, probabilities

    def about(self) -> dict[str, Any]:
        """Also which class each number is."""
        return {**super().about(), "labels": dict(enumerate(self.label_names))}

    def write(self, batch: Any, output: Any, i: int, prob: list[float] | None, heat: torch.Tensor | None) -> None:
        """Write the results of item `i` of a batch."""
        path, name, size = batch["image_path"][i], batch["name"][i], batch["original_size"][i].tolist()
        made = {key: values[i : i + 1].float().cpu() for key, values in output["pred"].items()}
        if (logits := to_input_grid(made["seg"][0], size)).shape != made["seg"].shape[1:]:
            made = {"seg": logits[None]}  # else the engine's own masks are those of the input
        of_input = {"label": {"spacing": batch["spacing"][i : i + 1]}} if "spacing" in batch else {}
        pred = self.postprocessing({"pred": made, **of_input})["pred"]
        labels = class_indices(pred["mask"][0]).numpy().astype(np.uint8)
        prob = pred["mask_prob"][0].numpy() if self.probabilities else None
        pictures = self.overlays and self.is_shown(batch, i)
        self.later(path, lambda: self._finish(path, name, labels, prob, pictures))

    def _finish(self, path: str, name: str, labels: np.ndarray, prob: np.ndarray | None, pictures: bool) -> None:
        info = read_header(path)[1] if is_volume(path) else None
        one = float(np.prod(info.spacing)) if info and labels.ndim == 3 else 1.0
        counts = np.bincount(labels.ravel(), minlength=len(self.label_names))[1:]
        row: dict[str, Any] = {"file": path, "name": name, "kind": "volume" if labels.ndim == 3 else "picture"}
        row |= {"area": [float(count * one) for count in counts], "area_unit": "pixels" if labels.ndim == 2 else "mm3"}
        if pictures:
            row["overlay"] = f"overlays/{name}.jpg"
            self._overlay(row, path, labels)
        if prob is not None:
            whole = info if labels.ndim == 3 else None
            write_probabilities(self.output / "probabilities", name, prob, whole, self.note())
        row["mask"] = f"masks/{name}_mask{'.nii.gz' if info else '.png'}"
        write_mask(self.output / row["mask"], _volume(labels, info) if info else labels, info, self.note())
        self.add(row)

    def _overlay(self, row: dict[str, Any], path: str, labels: np.ndarray) -> None:
        image = read_volume(path)[0] if labels.ndim == 3 else read_image(path, shown_channels(path)).mean(axis=0)
        plane, mask = shown_plane([torch.from_numpy(image), torch.from_numpy(labels)], [torch.from_numpy(labels)])
        sizes = zip(self.label_names[1:], row["area"], strict=True)
        caption = "\n".join([row["name"], ", ".join(f"{label} {size:.0f} {row['area_unit']}" for label, size in sizes)])
        sides = sides_of(path, labels.ndim)
        overlay(plane, self.output / row["overlay"], predicted=mask, caption=caption, sides=sides, side=SIDE)


def _volume(labels: np.ndarray, info: VolumeInfo) -> np.ndarray:
    """A label map as a canonical volume (X, Y, Z); that of a picture in a NIfTI file as its plane."""
    return labels if labels.ndim == 3 else np.moveaxis(from_axial_slices(labels[None]), 2, plane_axis(info))
