"""Writes what inference finds: masks in the input's geometry, tables of probabilities, overlays and heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from PIL import Image

from medbundles.atomic_files import replace_atomic
from medbundles.data.reading.images import read_image
from medbundles.data.reading.volumes import open_volume, write_volume
from medbundles.errors import DataError
from medbundles.reports.inference_tables import PredictionTables, class_of, volume_probability
from medbundles.reports.pictures import heat_map, overlay
from medbundles.reports.result_writer import ResultWriter
from medbundles.transforms.geometry import to_original
from medbundles.transforms.predictions import threshold_value


@dataclass
class _Slices:
    """What is known of a volume until its last slice has come."""

    masks: dict[int, np.ndarray] = field(default_factory=dict)
    probs: dict[int, list[float] | None] = field(default_factory=dict)
    shown: int = -1  # the slice for the pictures, and what Grad-CAM needs of it
    rank: tuple[float, float] = (-1.0, -1.0)
    image: torch.Tensor | None = None
    crop: torch.Tensor | None = None


class InferenceWriter(ResultWriter):
    """Writes the results of every input when it is complete; each file is whole or not there.

        <output>/masks/<name>_mask.png      0/255, as large as the picture
        <output>/masks/<name>_mask.nii.gz   0/1 uint8 with the volume's axes, affine and voxel size
        <output>/overlays/<name>.png        outline of the mask; of a volume the slice with the largest mask
        <output>/gradcam/<name>.png         where the class probability comes from, on the same slice
        <output>/predictions.{json,csv}     see `PredictionTables`

    The mask of an input is written after its pictures: where it is, the input is done.

    Args:
        output: folder to write to, made when the first result is there.
        predictions: the engine's postprocessing (`medbundles.transforms.Predictions`): its thresholds count.
        class_names: names of the N classes.
        checkpoint: file whose weights are used, told in the tables.
        grad_cam: a `GradCam`, or None for no heat maps.
        existing: what `inference_datalist` does with inputs that have results; "skip" keeps their rows.
        overlays: whether to write overlays.

    Raises:
        ConfigError: under torchrun; or when the results to be kept come from other weights or thresholds.

    Example::

        {"_target_": "medbundles.reports.InferenceWriter", "output": "@output", "predictions": "@postprocessing",
         "class_names": "@class_names", "checkpoint": "@checkpoint", "grad_cam": "@grad_cam", "existing": "@existing"}
    """

    def __init__(
        self,
        output: str | Path,
        predictions: Any,
        class_names: Sequence[str],
        checkpoint: str | Path = "",
        grad_cam: Any = None,
        existing: str = "overwrite",
        overlays: bool = True,
    ):
        super().__init__(output, predictions, class_names, checkpoint, grad_cam, existing)
        self.overlays = overlays
        self.volumes: dict[str, _Slices] = {}

    def make_tables(self, class_threshold: float) -> PredictionTables:
        """Tables with a line per slice."""
        self.mask_threshold = threshold_value("mask_threshold", self.predictions.mask_threshold)
        return PredictionTables(self.output, self.class_names, self.checkpoint, self.mask_threshold, class_threshold)

    def start(self, engine: Engine) -> None:
        """Forget the volumes of a run that broke off."""
        super().start(engine)
        self.volumes = {}

    def __call__(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        output: Any = engine.state.output
        images, pred = output["image"], output["pred"]
        prob = self.probabilities(pred)
        pictures = [i for i, z in enumerate(batch["slice"]) if int(z) < 0]
        heat = self._heat(images, prob, pictures)
        for i, path in enumerate(batch["image_path"]):
            whole = to_original(pred["mask_prob"][i, 0].cpu(), batch["crop"][i], batch["original_size"][i])
            mask = (whole >= self.mask_threshold).numpy()
            if i in heat:
                self._finish_picture(path, batch["name"][i], mask, prob[i], self._back(heat[i], batch, i))
            elif i in pictures:
                self._finish_picture(path, batch["name"][i], mask, prob[i], None)
            else:
                self._add_slice(batch, i, mask, prob[i], images[i])
        self.save_sometimes()

    def _heat(self, images: torch.Tensor, prob: list[list[float]], chosen: list[int]) -> dict[int, torch.Tensor]:
        """Heat maps (S, S) of some images of the batch, each for its own class."""
        if self.grad_cam is None or not chosen:
            return {}
        classes = [class_of(prob[i], self.tables.class_threshold) for i in chosen]
        return dict(zip(chosen, self.grad_cam(images[chosen], classes).cpu(), strict=True))

    @staticmethod
    def _back(heat: torch.Tensor, batch: dict, i: int) -> np.ndarray:
        return to_original(heat, batch["crop"][i], batch["original_size"][i]).numpy()

    # --- pictures

    def _finish_picture(
        self, path: str, name: str, mask: np.ndarray, prob: list[float], heat: np.ndarray | None
    ) -> None:
        pixels = read_image(path, 1 if not path.lower().endswith(".npy") else _channels(path))
        row = self._row(path, name, "picture", prob, {"mask_area": int(mask.sum()), "mask_area_unit": "pixels"})
        self._pictures(row, pixels, mask, heat, name)
        row["mask"] = f"masks/{name}_mask.png"
        with replace_atomic(self.output / row["mask"]) as temporary:
            Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(temporary, format="PNG")
        self.add(row)

    def _row(self, path: str, name: str, kind: str, prob: list[float], more: dict[str, Any]) -> dict[str, Any]:
        chosen = class_of(prob, self.tables.class_threshold)
        return {"file": path, "name": name, "kind": kind, "class": self.class_names[chosen], "prob": prob, **more}

    def _pictures(
        self, row: dict[str, Any], pixels: np.ndarray, mask: np.ndarray, heat: np.ndarray | None, shown: str
    ) -> None:
        name, known = row["name"], ", ".join(f"{c} {p:.3f}" for c, p in zip(self.class_names, row["prob"], strict=True))
        area = f"{row['mask_area']:.0f} {row['mask_area_unit']}"
        if self.overlays:
            row["overlay"] = f"overlays/{name}.png"
            text = f"{shown}: {row['class']} ({known})\nmask {area}, from probability {self.mask_threshold:.2f} on"
            overlay(pixels, self.output / row["overlay"], predicted=mask, caption=text)
        if heat is not None:
            row["grad_cam"] = f"gradcam/{name}.png"
            text = f"{shown}: {row['class']} ({known})\nheat: what speaks for {row['class']!r}"
            heat_map(pixels, heat, self.output / row["grad_cam"], predicted=mask, caption=text)

    # --- volumes

    def _add_slice(self, batch: dict, i: int, mask: np.ndarray, prob: list[float], image: torch.Tensor) -> None:
        name, z, empty = batch["name"][i], int(batch["slice"][i]), bool(batch["empty"][i])
        volume = self.volumes.setdefault(name, _Slices())
        volume.masks[z] = np.zeros_like(mask) if empty else mask
        volume.probs[z] = None if empty else prob
        rank = (float(volume.masks[z].sum()), -1.0 if empty else 1 - prob[0])
        if rank > volume.rank or volume.shown < 0:
            volume.rank, volume.shown, volume.image, volume.crop = rank, z, image, batch["crop"][i]
        if len(volume.masks) == int(batch["slices"][i]):
            self._finish_volume(batch["image_path"][i], name, self.volumes.pop(name), batch["original_size"][i])

    def _finish_volume(self, path: str, name: str, found: _Slices, size: torch.Tensor) -> None:
        source = open_volume(path)
        masks = np.stack([found.masks[z] for z in range(len(found.masks))])
        known = [prob for prob in found.probs.values() if prob is not None]
        if not known:
            raise DataError(f"{path}: every slice of it is constant")
        top, highest = volume_probability(known)
        area = {"mask_area": float(masks.sum() * source.voxel_volume), "mask_area_unit": "mm3"}
        row = self._row(path, name, "volume", top, {"prob_max": highest, **area, "shown_slice": found.shown})
        row["slices"] = [
            {
                "slice": z,
                "class": "" if prob is None else self.class_names[class_of(prob, self.tables.class_threshold)],
                "prob": prob,
                "mask_area": float(masks[z].sum() * source.pixel_area),
                "mask_area_unit": "mm2",
            }
            for z, prob in sorted(found.probs.items())
        ]
        heat, assigned = None, class_of(top, self.tables.class_threshold)
        if self.grad_cam is not None and found.image is not None and found.crop is not None:
            small = self.grad_cam(found.image[None], [assigned])[0].cpu()
            heat = to_original(small, found.crop, size).numpy()
        shown = f"{name}, slice {found.shown} of 0 to {len(masks) - 1}"
        self._pictures(row, source.slices[found.shown], masks[found.shown], heat, shown)
        row["mask"] = f"masks/{name}_mask.nii.gz"
        with replace_atomic(self.output / row["mask"]) as temporary:
            write_volume(temporary, source.whole(masks).astype(np.uint8), source.info)
        self.add(row)


def _channels(path: str) -> int:
    """Channels of a .npy picture."""
    shape = np.load(path, mmap_mode="r").shape
    return 1 if len(shape) == 2 else shape[0]
