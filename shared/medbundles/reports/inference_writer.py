"""Writes what inference finds: masks in the input's geometry, tables of probabilities, overlays and heat maps."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from PIL import Image

from medbundles.atomic_files import replace_atomic
from medbundles.data.reading.images import read_image
from medbundles.data.reading.volumes import open_volume, write_volume
from medbundles.errors import ConfigError, DataError
from medbundles.metrics.measures import class_indices
from medbundles.metrics.volumes import TOP, volume_probability
from medbundles.reports.pictures import heat_map, overlay
from medbundles.reports.planes import sides_across
from medbundles.reports.result_writer import ResultWriter
from medbundles.transforms.geometry import to_original

RULE = (
    f"prob of a volume: mean over its {TOP} slices with the highest probability, each class for itself; with two "
    "classes that of the tumour, the other one is 1 minus it. prob_max: the highest of any slice. Empty slices (one "
    "value only) have no probability. positive_slices: slices of the tumour's class. Of two classes a volume has the "
    "second one from volume_threshold on, which is chosen on volumes; where that is not known, because the validation "
    "part had no healthy volumes, it has none."
)


@dataclass
class _Slices:
    """What is known of an input until its last slice has come; a picture has one, its number is -1."""

    masks: dict[int, np.ndarray] = field(default_factory=dict)  # class indices, uint8
    channels: int = 1  # of the network's masks
    probs: dict[int, list[float] | None] = field(default_factory=dict)
    shown: int = -1  # the slice for the pictures, and what Grad-CAM needs of it
    rank: tuple[float, float] = (-2.0, -2.0)
    image: torch.Tensor = field(default_factory=torch.Tensor)
    crop: torch.Tensor = field(default_factory=torch.Tensor)
    sides: str = ""  # of the patient, on the left and on the right of a slice


class InferenceWriter(ResultWriter):
    """Writes the results of every input when it is complete; each file is whole or not there.

        <output>/masks/<name>_mask.png      0/255, as large as the picture (several masks: as in volumes)
        <output>/masks/<name>_mask.nii.gz   0/1 uint8 with the volume's axes, affine and voxel size; of K masks 1 to K,
                                            where they overlap the last one
        <output>/overlays/<name>.png        outline of the mask; of a volume the slice with the largest mask
        <output>/gradcam/<name>.png         where the class probability comes from, on the same slice
        <output>/predictions.{json,csv}     see `ResultWriter`

    The mask of an input is written after its pictures: where it is, the input is done.

    Without masks (a network that only classifies) the pictures have no outline, and an input is done when it has a row.

    Args:
        *args: those of `ResultWriter`, likewise by name.
        overlays: whether to write overlays.

    Raises:
        ConfigError: under torchrun; when the results to be kept come from other weights or thresholds; or when the
            preprocessing does not end with `ResizeSquare`.

    Example::

        {"_target_": "medbundles.reports.InferenceWriter", "output": "@output", "predictions": "@postprocessing",
         "class_names": "@class_names", "checkpoint": "@checkpoint", "grad_cam": "@grad_cam", "existing": "@existing"}
    """

    fields = (
        "file", "name", "kind", "slice", "class", "prob", "prob_max", "mask_area", "mask_area_unit", "mask",
        "overlay", "grad_cam", "mask_threshold", "class_threshold", "volume_threshold", "positive_slices", "checkpoint",
    )  # fmt: skip
    class_key = "class"
    threshold_names = ("class_threshold", "mask_threshold", "volume_threshold")

    def __init__(self, *args: Any, overlays: bool = True, **options: Any):
        super().__init__(*args, **options)
        self.overlays = overlays

    def about(self) -> dict[str, Any]:
        """Also how the probability of a volume follows from those of its slices."""
        return {**super().about(), "rule_for_volumes": RULE}

    def start(self, engine: Engine) -> None:
        """Forget the inputs of a run that broke off."""
        super().start(engine)
        self.unfinished: dict[str, _Slices] = {}

    def write(self, batch: Any, output: Any, i: int, prob: list[float] | None) -> None:
        """Keep a slice; write the results of its volume, or of a picture, when it is the last one."""
        if "crop" not in batch:
            raise ConfigError(
                "preprocessing: nothing says how results come back to the picture's size; its last step must be "
                "medbundles.transforms.ResizeSquare, which notes it"
            )
        name, z, empty = batch["name"][i], int(batch["slice"][i]), bool(batch["empty"][i])
        crop, size, pred = batch["crop"][i], batch["original_size"][i], output["pred"]
        found = self.unfinished.setdefault(name, _Slices())
        found.probs[z] = None if empty else prob
        area = 0.0
        if "mask_prob" in pred:
            masks = self.predictions.masks(to_original(pred["mask_prob"][i].cpu(), crop, size)[None])[0]
            found.channels = len(masks)
            found.masks[z] = class_indices(masks).numpy().astype(np.uint8) * (not empty)
            area = float((found.masks[z] > 0).sum())
        rank = (area, -1.0 if empty else self._tumour(prob) if prob else 0.0)
        if rank > found.rank:
            found.rank, found.shown, found.image, found.crop = rank, z, output["image"][i], crop
        if len(found.probs) == int(batch["slices"][i]):
            finish = self._finish_picture if z < 0 else self._finish_volume
            finish(batch["image_path"][i], name, self.unfinished.pop(name), size)

    def _tumour(self, prob: list[float]) -> float:
        """The probability of what is looked for: of the tumour's of two classes, of any but the first of several."""
        return prob[self.predictions.tumour_class] if len(prob) == 2 else 1 - prob[0]

    def _finish_picture(self, path: str, name: str, found: _Slices, size: torch.Tensor) -> None:
        prob, mask = found.probs[-1], found.masks.get(-1)
        row = {"file": path, "name": name, "kind": "picture", **self.classified(prob)}
        row |= {} if mask is None else {"mask_area": int((mask > 0).sum()), "mask_area_unit": "pixels"}
        pixels = read_image(path, _channels(path))
        self._pictures(row, pixels, found, size, name)
        if mask is not None:
            row["mask"] = f"masks/{name}_mask.png"
            with replace_atomic(self.output / row["mask"]) as temporary:
                Image.fromarray(mask if found.channels > 1 else 255 * mask).save(temporary, format="PNG")
        self.add(row)

    def _finish_volume(self, path: str, name: str, found: _Slices, size: torch.Tensor) -> None:
        if found.rank[1] < 0:
            raise DataError(f"{path}: every slice of it is constant")
        source, numbers = open_volume(path), range(len(found.probs))
        found.sides = sides_across(source.axis)
        row: dict[str, Any] = {"file": path, "name": name, "kind": "volume"}
        slices: list[dict[str, Any]] = [
            {"slice": z, **({"class": "", "prob": None} | self.classified(found.probs[z]))} for z in numbers
        ]
        known = [prob for prob in found.probs.values() if prob is not None]
        if known:
            prob, highest = volume_probability(known, self.predictions.tumour_class)
            row |= {"prob": prob, "prob_max": highest}
            row |= self._volume_class(prob, known)
        if found.masks:
            masks = np.stack([found.masks[z] for z in numbers])
            row |= {"mask_area": float((masks > 0).sum() * source.voxel_volume), "mask_area_unit": "mm3"}
            for z in numbers:
                slices[z] |= {"mask_area": float((masks[z] > 0).sum() * source.pixel_area), "mask_area_unit": "mm2"}
        row |= {"shown_slice": found.shown, "slices": slices}
        shown = f"{name}, slice {found.shown} of 0 to {len(numbers) - 1}"
        self._pictures(row, source.slices[found.shown], found, size, shown)
        if found.masks:
            row["mask"] = f"masks/{name}_mask.nii.gz"
            with replace_atomic(self.output / row["mask"]) as temporary:
                write_volume(temporary, source.whole(masks), source.info)
        self.add(row)

    def _volume_class(self, prob: list[float], of_slices: Sequence[list[float]]) -> dict[str, Any]:
        """The class of a volume, as far as it is known, and how many slices have the second of two classes."""
        if len(prob) != 2:
            return {self.class_key: self.class_names[int(np.argmax(prob))]}
        found: dict[str, Any] = {
            "positive_slices": sum(self._class(one) == self.predictions.tumour_class for one in of_slices)
        }
        limit = self.thresholds["volume_threshold"]
        return found if limit is None else {**found, self.class_key: self.class_names[int(prob[1] >= limit)]}

    def _pictures(
        self, row: dict[str, Any], pixels: np.ndarray, found: _Slices, size: torch.Tensor, shown: str
    ) -> None:
        """The overlay and the heat map of the shown slice, pixels (H, W) or (C, H, W), with the slice's own class."""
        name, mask, prob = row["name"], found.masks.get(found.shown), found.probs[found.shown]
        said = {**row, **self.classified(prob)}
        if self.overlays and mask is not None:
            row["overlay"] = f"overlays/{name}.png"
            limit = self.thresholds["mask_threshold"]
            about = f"mask {row['mask_area']:.0f} {row['mask_area_unit']}"
            about += "" if limit is None else f", from probability {limit:.2f} on"
            overlay(
                pixels,
                self.output / row["overlay"],
                predicted=mask,
                caption=self.caption(shown, said, about),
                sides=found.sides,
            )
        heat = self.heat(found.image, prob)
        if heat is not None:
            row["grad_cam"] = f"gradcam/{name}.png"
            whole = to_original(heat, found.crop, size).numpy()
            heat_map(
                pixels,
                whole,
                self.output / row["grad_cam"],
                predicted=mask,
                caption=self.caption(shown, said),
                sides=found.sides,
            )


def _channels(path: str) -> int:
    """Channels in which a picture is shown: those of a .npy file, else one."""
    shape: tuple[int, ...] = np.load(path, mmap_mode="r").shape if path.lower().endswith(".npy") else ()
    return shape[0] if len(shape) == 3 else 1
