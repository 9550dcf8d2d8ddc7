"""Writes what inference finds: masks in the input's geometry, tables of probabilities, overlays and heat maps."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from PIL import Image

from medbundles.data.inference_inputs import open_volume
from medbundles.data.reading import read_image
from medbundles.data.samplers import rank_and_world
from medbundles.data.volumes import write_volume
from medbundles.errors import ConfigError, DataError
from medbundles.handlers.inference_tables import PredictionTables, class_of, volume_probability
from medbundles.runs.files import replace_atomic
from medbundles.runs.pictures import heat_map, overlay
from medbundles.transforms.geometry import to_original
from medbundles.transforms.predictions import threshold_value

logger = logging.getLogger("medbundles")


@dataclass
class _Slices:
    """What is known of a volume until its last slice has come."""

    masks: dict[int, np.ndarray] = field(default_factory=dict)
    probs: dict[int, list[float] | None] = field(default_factory=dict)
    shown: int = -1  # the slice for the pictures, and what Grad-CAM needs of it
    rank: tuple[float, float] = (-1.0, -1.0)
    image: torch.Tensor | None = None
    crop: torch.Tensor | None = None


class InferenceWriter:
    """Writes the results of every input when it is complete; each file is whole or not there.

        <output>/masks/<name>_mask.png      0/255, as large as the picture
        <output>/masks/<name>_mask.nii.gz   0/1 uint8 with the volume's axes, affine and voxel size
        <output>/overlays/<name>.png        outline of the mask; of a volume the slice with the largest mask
        <output>/gradcam/<name>.png         where the class probability comes from, on the same slice
        <output>/predictions.{json,csv}     see `PredictionTables`

    The mask of an input is written after its pictures: where it is, the input is done. The tables are written every
    half minute, at the end, and when the run breaks off, so that `existing: "skip"` can go on from there.

    Args:
        output: folder to write to, made when the first result is there.
        predictions: the engine's postprocessing (`medbundles.transforms.Predictions`): its thresholds count.
        class_names: names of the N classes.
        checkpoint: file whose weights are used, told in the tables.
        overlays: whether to write overlays.
        grad_cam: a `GradCam`, or None for no heat maps.
        existing: what `inference_datalist` does with inputs that have results; "skip" keeps their rows.

    Raises:
        ConfigError: under torchrun; or when the results to be kept come from other weights or thresholds.

    Example::

        {"_target_": "medbundles.handlers.InferenceWriter", "output": "@output", "predictions": "@postprocessing",
         "class_names": "@class_names", "checkpoint": "@checkpoint", "grad_cam": "@grad_cam", "existing": "@existing"}
    """

    def __init__(
        self,
        output: str | Path,
        predictions: Any,
        class_names: Sequence[str],
        checkpoint: str | Path = "",
        overlays: bool = True,
        grad_cam: Any = None,
        existing: str = "overwrite",
    ):
        self.output, self.predictions, self.class_names = Path(output), predictions, list(class_names)
        self.checkpoint, self.overlays, self.grad_cam, self.existing = str(checkpoint), overlays, grad_cam, existing
        self.volumes: dict[str, _Slices] = {}
        self.done = 0

    def attach(self, engine: Engine) -> None:
        """Wire it to the evaluator that runs the inference."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.break_off)

    def start(self, engine: Engine) -> None:
        """Take the thresholds, and the earlier rows that stay."""
        if rank_and_world()[1] > 1:
            raise ConfigError("inference runs in one process: start it without torchrun, on a part of the files each")
        self.mask_threshold = threshold_value("mask_threshold", self.predictions.mask_threshold)
        class_threshold = threshold_value("class_threshold", self.predictions.class_threshold)
        self.tables = PredictionTables(
            self.output, self.class_names, self.checkpoint, self.mask_threshold, class_threshold
        )
        if self.existing == "skip":
            self.tables.keep_earlier()
        self.volumes, self.done, self.saved = {}, 0, time.monotonic()
        logger.info("results go to %s; inputs that have results there: %s", self.output, self.existing)

    def __call__(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        output: Any = engine.state.output
        images, pred = output["image"], output["pred"]
        classes = len(self.class_names)
        if pred["prob"].shape[1] != classes:
            raise ConfigError(f"class_names has {classes} names, the network gives {pred['prob'].shape[1]} classes")
        prob = pred["prob"].cpu().tolist()
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
        if time.monotonic() - self.saved > 30:
            self.tables.save()
            self.saved = time.monotonic()

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
        self._add(row)

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
        self._add(row)

    # --- tables

    def _add(self, row: dict[str, Any]) -> None:
        self.tables.add(row)
        self.done += 1

    def finish(self, engine: Engine) -> None:
        """Write the tables and say where all is."""
        self.tables.save()
        positive = self.tables.count()
        found = ", ".join(f"{name} {n}" for name, n in positive.items())
        logger.info("inputs done: %d (all: %s); results in %s", self.done, found, self.output)

    def break_off(self, engine: Engine, error: BaseException) -> None:
        """Keep the rows of what is complete; the error goes on."""
        if self.done:
            self.tables.save()
            logger.warning("broken off after %d inputs; existing 'skip' goes on from there", self.done)
        raise error


def _channels(path: str) -> int:
    """Channels of a .npy picture."""
    shape = np.load(path, mmap_mode="r").shape
    return 1 if len(shape) == 2 else shape[0]
