"""Writes what inference finds: masks in the input's geometry, tables of probabilities, overlays and heat maps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from PIL import Image

from medbundles.atomic_files import replace_atomic
from medbundles.data.reading.files import paths_of
from medbundles.data.reading.image_form import note_of_picture, with_note
from medbundles.data.reading.images import read_image, shown_channels
from medbundles.data.reading.volumes import SlicedVolume, open_volume, write_volume
from medbundles.errors import ConfigError, DataError
from medbundles.metrics.measures import class_indices
from medbundles.metrics.volumes import TOP, volume_probability
from medbundles.reports.pictures import heat_map, overlay
from medbundles.reports.planes import sides_across
from medbundles.reports.result_writer import ResultWriter, mask_names
from medbundles.transforms.geometry import to_original
from medbundles.transforms.head import LEAST_HEAD, head_shares

RULE = (
    f"prob of a volume: mean over its {TOP} slices with the highest probability, each class for itself; with two "
    "classes that of the tumour, the other one is 1 minus it. prob_max: the highest of any slice. Slices of one value "
    "only, and those with less head than min_head, have neither probability nor mask. positive_slices: slices of the "
    "tumour's class. Of two classes a volume has the second one from volume_threshold on, which is chosen on volumes; "
    "where that is not known, because the validation part had no healthy volumes, it has none."
)
SIDE = 300  # pixels that a panel's longer side has at least; larger ones take longer than the network
NOT_LOOKED_AT = "less than {:.2g} % head: not looked at, because the training's slices have more (min_head)"


@dataclass
class _Slices:
    """What is known of an input until its last slice has come; a picture has one, its number is -1."""

    unseen: set[int]  # slices of which nothing is said
    masks: dict[int, np.ndarray] = field(default_factory=dict)  # uint8 (K, H, W), see `InferenceWriter.labels`
    highest: int = 1  # label that they may hold
    probs: dict[int, list[float] | None] = field(default_factory=dict)
    shown: int = -1  # the slice for the pictures, with its heat map and what brings that onto the slice
    rank: tuple[float, float] = (-2.0, -2.0)
    heat: torch.Tensor | None = None
    crop: torch.Tensor = field(default_factory=torch.Tensor)
    sides: str = ""  # of the patient, on the left and on the right of a slice


class InferenceWriter(ResultWriter):
    """Writes the results of every input when it is complete; each file is whole or not there.

        <output>/masks/<name>_mask.png      0/255, as large as the picture
        <output>/masks/<name>_mask.nii.gz   0/1 uint8 with the volume's axes, affine and voxel size
        <output>/overlays/<name>.jpg        outline of the mask; of a volume the slice with the largest mask
        <output>/gradcam/<name>.jpg         where the class probability comes from, on the same slice
        <output>/predictions.{json,csv}     see `ResultWriter`

    Of a network with several foreground channels the masks hold labels, 1 for the first of them and so on: with the
    mask_rule "classes" those of the most probable classes, with "foreground" that of the strongest foreground channel
    within the mask. Regions (mask_rule "regions") may overlap: each has a file of its own, <name>_mask_1 and so on.

    The mask of an input is written after its pictures: where it is, the input is done.

    Without masks (a network that only classifies) the pictures have no outline, and an input is done when it has a row.

    Args:
        *args: those of `ResultWriter`, likewise by name.
        overlays: whether to write overlays.
        min_head: share of a slice of a volume that the head must fill to be looked at; 0: all are.

    Raises:
        ConfigError: when the results to be kept come from other weights or thresholds; or when the preprocessing does
            not end with `ResizeSquare`.

    Example::

        {"_target_": "medbundles.reports.InferenceWriter", "output": "@output", "predictions": "@postprocessing",
         "class_names": "@class_names", "checkpoint": "@checkpoint", "grad_cam": "@grad_cam", "existing": "@existing"}
    """

    fields = (
        "file", "name", "kind", "slice", "class", "prob", "prob_max", "mask_area", "mask_area_unit", "mask",
        "overlay", "grad_cam", "mask_threshold", "class_threshold", "volume_threshold", "positive_slices", "checkpoint",
        "note", "outside",
    )  # fmt: skip
    class_key = "class"
    threshold_names = ("class_threshold", "mask_threshold", "volume_threshold")

    def __init__(self, *args: Any, overlays: bool = True, min_head: float = LEAST_HEAD, **options: Any):
        super().__init__(*args, **options)
        self.overlays, self.min_head = overlays, min_head
        self._not_looked_at = NOT_LOOKED_AT.format(100 * min_head)

    def about(self) -> dict[str, Any]:
        """Also how the probability of a volume follows from those of its slices."""
        return {**super().about(), "rule_for_volumes": RULE}

    def start(self, engine: Engine) -> None:
        """Forget the inputs of a run that broke off."""
        super().start(engine)
        self.unfinished: dict[str, _Slices] = {}

    def write(self, batch: Any, output: Any, i: int, prob: list[float] | None, heat: torch.Tensor | None) -> None:
        """Keep a slice; write the results of its volume, or of a picture, when it is the last one."""
        if "crop" not in batch:
            raise ConfigError(
                "preprocessing: nothing says how results come back to the picture's size; its last step must be "
                "medbundles.transforms.ResizeSquare, which notes it"
            )
        path, name, z = batch["image_path"][i], batch["name"][i], int(batch["slice"][i])
        crop, size = batch["crop"][i], batch["original_size"][i]
        if name not in self.unfinished:
            self.unfinished[name] = _Slices(set() if z < 0 else _unseen(path, self.min_head))
        found = self.unfinished[name]
        unseen = bool(batch["empty"][i]) or z in found.unseen
        found.unseen |= {z} if unseen else set()
        found.probs[z] = None if unseen else prob
        area = 0.0
        if "mask_prob" in output["pred"]:
            labels, found.highest = self.labels(output["pred"], i, crop, size)
            found.masks[z] = labels * np.uint8(not unseen)
            area = float((found.masks[z] > 0).any(axis=0).sum())
        rank = (area, -1.0 if unseen else self._tumour(prob) if prob else 0.0)
        if rank > found.rank:
            found.rank, found.shown, found.heat, found.crop = rank, z, None if unseen else heat, crop
        if len(found.probs) == int(batch["slices"][i]):
            self.unfinished.pop(name)
            finish = self._finish_picture if z < 0 else self._finish_volume
            pictures = self.is_shown(batch, i)
            self.later(path, lambda: finish(path, name, found, size, pictures))

    def labels(
        self, pred: dict[str, torch.Tensor], i: int, crop: torch.Tensor, size: torch.Tensor
    ) -> tuple[np.ndarray, int]:
        """Labels of an item's pixels in the picture, uint8 (1, H, W), or 0/1 of each region (K, H, W), which may
        overlap; and the highest label that there may be."""
        masks = self.predictions.masks(to_original(pred["mask_prob"][i].cpu(), crop, size)[None])[0]
        rule, foreground = self.predictions.mask_rule, pred["seg"].shape[1] - 1
        if rule == "regions":
            return masks.numpy().astype(np.uint8), 1
        if rule == "foreground" and foreground > 1:
            strongest = to_original(pred["seg"][i, 1:].float().cpu(), crop, size).argmax(dim=0)
            return (masks * (strongest + 1)).numpy().astype(np.uint8), foreground
        return class_indices(masks)[None].numpy().astype(np.uint8), len(masks)

    def _tumour(self, prob: list[float]) -> float:
        """The probability of what is looked for: of the tumour's of two classes, of any but the first of several."""
        return prob[self.predictions.tumour_class] if len(prob) == 2 else 1 - prob[0]

    def _finish_picture(self, path: str, name: str, found: _Slices, size: torch.Tensor, pictures: bool) -> None:
        prob, masks = found.probs[-1], found.masks.get(-1)
        row = {"file": path, "name": name, "kind": "picture", **self.classified(prob)}
        if masks is not None:
            row |= self._areas(masks[:, None], found.highest, 1, "pixels") | self._note(prob, masks)
            row["mask_area"] = int(row["mask_area"])
        if pictures:
            self._pictures(row, read_image(path, shown_channels(path)), found, size, name)
        if masks is not None:
            gray_levels = masks if found.highest > 1 else 255 * masks
            row["mask"] = mask_names(f"masks/{name}_mask", ".png", len(masks))
            for file, levels in zip(paths_of(row["mask"]), gray_levels, strict=True):
                with replace_atomic(self.output / file) as temporary:
                    Image.fromarray(levels).save(temporary, format="PNG", **note_of_picture(".png", self.note()))
        self.add(row)

    def _finish_volume(self, path: str, name: str, found: _Slices, size: torch.Tensor, pictures: bool) -> None:
        if found.rank[1] < 0:
            raise DataError(f"{path}: every slice of it is constant, or has {self._not_looked_at}")
        source, numbers = open_volume(path), range(len(found.probs))
        found.sides = sides_across(source.axis)
        row: dict[str, Any] = {"file": path, "name": name, "kind": "volume"}
        slices: list[dict[str, Any]] = [
            {"slice": z, **({"class": "", "prob": None} | self.classified(found.probs[z]))} for z in numbers
        ]
        for z in found.unseen:
            slices[z]["note"] = self._not_looked_at
        known = [prob for prob in found.probs.values() if prob is not None]
        if known:
            prob, highest = volume_probability(known, self.predictions.tumour_class)
            row |= {"prob": prob, "prob_max": highest}
            row |= self._volume_class(prob, known)
        if found.masks:
            masks = np.stack([found.masks[z] for z in numbers], axis=1)
            row |= self._areas(masks, found.highest, source.voxel_volume, "mm3")
            for z in numbers:
                slices[z] |= self._areas(masks[:, z : z + 1], found.highest, source.pixel_area, "mm2")
                slices[z] |= self._note(found.probs[z], masks[:, z])
        row |= {"shown_slice": found.shown, "slices": slices}
        if pictures:
            shown = f"{name}, slice {found.shown} of 0 to {len(numbers) - 1}"
            self._pictures(row, source.slices[found.shown], found, size, shown)
        if found.masks:
            row["mask"] = mask_names(f"masks/{name}_mask", ".nii.gz", len(masks))
            for file, volume in zip(paths_of(row["mask"]), masks, strict=True):
                self._write_volume(file, volume, source)
        self.add(row)

    def _write_volume(self, file: str, slices: np.ndarray, source: SlicedVolume) -> None:
        with replace_atomic(self.output / file) as temporary:
            write_volume(temporary, source.whole(slices), with_note(source.info, self.note()))

    def _areas(self, masks: np.ndarray, highest: int, one: float, unit: str) -> dict[str, Any]:
        """Entries of a row: the area or volume of masks (K, Z, H, W), and where there are several labels, of each."""
        found = {"mask_area": float((masks > 0).any(axis=0).sum() * one), "mask_area_unit": unit}
        if len(masks) == highest == 1:
            return found
        each = [masks == label for label in range(1, highest + 1)] if len(masks) == 1 else list(masks)
        return {**found, "mask_areas": [float((mask > 0).sum() * one) for mask in each]}

    def _note(self, prob: list[float] | None, masks: np.ndarray) -> dict[str, str]:
        """An entry of a row, where mask and class disagree: of two classes the tumour's is the one with a mask."""
        if prob is None or len(prob) != 2:
            return {}
        if bool(masks.any()) == (self.class_of(prob) == self.predictions.tumour_class):
            return {}
        return {"note": f"mask and class disagree: {'a' if masks.any() else 'no'} mask, but class {self._name(prob)!r}"}

    def _name(self, prob: list[float]) -> str:
        return self.class_names[self.class_of(prob)]

    def _volume_class(self, prob: list[float], of_slices: Sequence[list[float]]) -> dict[str, Any]:
        """The class of a volume, as far as it is known, and of two classes how many slices have the tumour's."""
        if len(prob) != 2:
            return {self.class_key: self.class_names[int(np.argmax(prob))]}
        found: dict[str, Any] = {
            "positive_slices": sum(self.class_of(one) == self.predictions.tumour_class for one in of_slices)
        }
        limit = self.thresholds["volume_threshold"]
        return found if limit is None else {**found, self.class_key: self.class_names[int(prob[1] >= limit)]}

    def _pictures(
        self, row: dict[str, Any], pixels: np.ndarray, found: _Slices, size: torch.Tensor, shown: str
    ) -> None:
        """The overlay and the heat map of the shown slice, pixels (H, W) or (C, H, W), with the slice's own class."""
        name, masks, prob = row["name"], found.masks.get(found.shown), found.probs[found.shown]
        mask = None if masks is None else class_indices(torch.from_numpy(masks)).numpy()
        said = {**row, **self.classified(prob)}
        if self.overlays and masks is not None:
            row["overlay"] = f"overlays/{name}.jpg"
            limit = self.thresholds["mask_threshold"]
            about = f"mask {row['mask_area']:.0f} {row['mask_area_unit']}"
            about += "" if limit is None else f", from probability {limit:.2f} on"
            about = "\n".join([about, *self._note(prob, masks).values()])
            self._draw(overlay, row["overlay"], pixels, mask, self.caption(shown, said, about), found)
        if found.heat is not None:
            row["grad_cam"] = f"gradcam/{name}.jpg"
            whole = to_original(found.heat, found.crop, size).numpy()
            heated = partial(heat_map, heat=whole)
            self._draw(heated, row["grad_cam"], pixels, mask, self.caption(shown, said), found)

    def _draw(
        self, draw: Callable, file: str, pixels: np.ndarray, mask: np.ndarray | None, caption: str, found: _Slices
    ) -> None:
        draw(pixels, path=self.output / file, predicted=mask, caption=caption, sides=found.sides, side=SIDE)


def _unseen(path: str, min_head: float) -> set[int]:
    """Slices of a volume of which the head fills a smaller share."""
    return set(np.flatnonzero(head_shares(open_volume(path).slices) < min_head).tolist()) if min_head else set()
