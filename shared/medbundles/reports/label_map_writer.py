"""Writes what a segmentation finds: label maps in the input's geometry, a table of sizes, overlays."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medbundles.data.reading.files import is_volume, paths_of
from medbundles.data.reading.images import read_image, shown_channels
from medbundles.data.reading.label_maps import LabelRule, regions_order
from medbundles.data.reading.nifti import VolumeInfo, read_header
from medbundles.data.reading.volumes import from_axial_slices, plane_axis, read_series
from medbundles.metrics.measures import class_indices
from medbundles.reports.mask_files import write_mask, write_probabilities
from medbundles.reports.pictures import overlay
from medbundles.reports.planes import shown_plane, sides_of
from medbundles.reports.result_writer import ResultWriter, mask_names
from medbundles.transforms.grid import to_input_grid

SIDE = 300  # pixels that a panel's longer side has at least


class LabelMapWriter(ResultWriter):
    """Writes the results of every input when it is done; each file is whole or not there.

        <output>/masks/<name>_mask.png      the number of each pixel's class, uint8, as large as the picture
        <output>/masks/<name>_mask.nii.gz   the same, uint8 with the volume's axes, affine and voxel size
        <output>/masks/<name>_mask_<k>...   of regions that no label map can hold: 0/1, a file for each region k
        <output>/probabilities/<name>.npy   float32 (K, H, W) of a picture: the probability of each class but the
                                            background (K = 1: of the only one); only where wanted
        <output>/probabilities/<name>_<k>.nii.gz   the same of a volume, a file for each class k, with its geometry
        <output>/overlays/<name>.jpg        outlines of the classes; of a volume the slice that holds most of them
        <output>/predictions.{json,csv}     size of each class (pixels, or mm3); see `ResultWriter`

    Regions become a label map as nnU-Net makes one, each painted over those before it with its own label, which is the
    first that no later region has; where that would lose something (`regions_order`), each has a file. The sizes in the
    table are those of the regions before they are painted.

    The label map of an input is written after its overlay: where it is, the input is done.

    Args:
        output: folder to write to, made when the first result is there.
        predictions: what makes masks of logits: the engine's postprocessing (`medbundles.transforms.Predictions`), and
            perhaps `Components` behind it.
        label_names: of all classes, the background first, or of the regions; "auto": their numbers.
        out_channels: of the network.
        regions: the labels of each region; None or empty: there are classes.
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
        regions: Sequence[Sequence[int]] | None = None,
        overlays: bool = True,
        probabilities: bool = False,
        **options: Any,
    ):
        rule = LabelRule(out_channels, regions=regions or ())
        names = rule.class_names if isinstance(label_names, str) else list(label_names)
        shown = names if regions else names[1:]
        super().__init__(output, None, shown, **options)
        self.postprocessing, self.label_names = predictions, names
        self.order = regions_order(regions) if regions else rule.labels[1:]
        self.labels = dict(zip(self.order or range(1, len(shown) + 1), shown, strict=True))
        if not regions:
            self.labels = {0: names[0], **self.labels}
        self.overlays, self.probabilities = overlays, probabilities

    def about(self) -> dict[str, Any]:
        """Also which class or region each number in a label map, or in the names of files, is."""
        return {**super().about(), "labels": self.labels}

    def write(self, batch: Any, output: Any, i: int, prob: list[float] | None, heat: torch.Tensor | None) -> None:
        """Write the results of item `i` of a batch."""
        path, name, size = batch["image_path"][i], batch["name"][i], batch["original_size"][i].tolist()
        made = {key: values[i : i + 1].float().cpu() for key, values in output["pred"].items()}
        if (logits := to_input_grid(made["seg"][0], size)).shape != made["seg"].shape[1:]:
            made = {"seg": logits[None]}  # else the engine's own masks are those of the input
        of_input = {"label": {"spacing": batch["spacing"][i : i + 1]}} if "spacing" in batch else {}
        pred = self.postprocessing({"pred": made, **of_input})["pred"]
        masks = pred["mask"][0] > 0
        pixels, shown = masks.flatten(1).sum(1).tolist(), class_indices(masks).numpy().astype(np.uint8)
        prob = pred["mask_prob"][0].numpy() if self.probabilities else None
        maps = masks.numpy().astype(np.uint8)
        if self.order:  # of classes that exclude each other no order matters
            maps = np.array([0, *self.order], dtype=np.uint8)[shown][None]
        pictures = self.overlays and self.is_shown(batch, i)
        self.later(path, lambda: self._finish(path, name, maps, shown if pictures else None, pixels, prob))

    def _finish(
        self, path: str, name: str, maps: np.ndarray, shown: np.ndarray | None, pixels: list[int], prob: Any
    ) -> None:
        info, labels = read_header(path, None)[1] if is_volume(path) else None, maps[0]
        one = float(np.prod(info.spacing)) if info and labels.ndim == 3 else 1.0
        row: dict[str, Any] = {"file": path, "name": name, "kind": "volume" if labels.ndim == 3 else "picture"}
        row |= {"area": [float(count * one) for count in pixels], "area_unit": "pixels" if labels.ndim == 2 else "mm3"}
        if shown is not None:
            row["overlay"] = f"overlays/{name}.jpg"
            self._overlay(row, path, shown)
        if prob is not None:
            write_probabilities(
                self.output / "probabilities", name, prob, info if labels.ndim == 3 else None, self.note()
            )
        row["mask"] = mask_names(f"masks/{name}_mask", ".nii.gz" if info else ".png", len(maps))
        for file, labels in zip(paths_of(row["mask"]), maps, strict=True):
            write_mask(self.output / file, _volume(labels, info) if info else labels, info, self.note())
        self.add(row)

    def _overlay(self, row: dict[str, Any], path: str, labels: np.ndarray) -> None:
        image = read_series(path)[0][0] if labels.ndim == 3 else read_image(path, shown_channels(path)).mean(axis=0)
        plane, mask = shown_plane([torch.from_numpy(image), torch.from_numpy(labels)], [torch.from_numpy(labels)])
        sizes = zip(self.class_names, row["area"], strict=True)
        caption = "\n".join(
            [row["name"], ", ".join(f"{label}: {size:.0f} {row['area_unit']}" for label, size in sizes)]
        )
        sides = sides_of(path, labels.ndim)
        about = {"caption": caption, "sides": sides, "side": SIDE, "names": self.class_names}
        overlay(plane, self.output / row["overlay"], predicted=mask, **about)


def _volume(labels: np.ndarray, info: VolumeInfo) -> np.ndarray:
    """A label map as a canonical volume (X, Y, Z); that of a picture in a NIfTI file as its plane."""
    return labels if labels.ndim == 3 else np.moveaxis(from_axial_slices(labels[None]), 2, plane_axis(info))
