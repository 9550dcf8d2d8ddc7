"""Writes what inference finds: masks in the input's geometry, tables of probabilities, overlays and heat maps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine

from medbundles.data.reading.files import paths_of
from medbundles.data.reading.images import read_image, shown_channels
from medbundles.data.reading.volumes import open_volume
from medbundles.errors import ConfigError, DataError
from medbundles.metrics.measures import class_indices
from medbundles.metrics.volumes import TOP, volume_probability
from medbundles.reports.mask_files import write_mask, write_probabilities
from medbundles.reports.pictures import heat_map, overlay
from medbundles.reports.planes import sides_across
from medbundles.reports.result_writer import ResultWriter, mask_names
from medbundles.transforms.components import Components
from medbundles.transforms.geometry import to_original
from medbundles.transforms.head import LEAST_HEAD, head_shares
from medbundles.transforms.masks_of_slice import masks_of_slice

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
    masks: dict[int, np.ndarray] = field(default_factory=dict)  # uint8 (K, H, W), 0/1 of each class or region
    mask_probs: dict[int, np.ndarray] = field(default_factory=dict)  # float32 (K, H, W), where they are written
    probs: dict[int, list[float] | None] = field(default_factory=dict)
    heats: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)  # and the crop they belong to
    sides: str = ""  # of the patient, on the left and on the right of a slice

    def in_order(self, of_slices: dict[int, np.ndarray]) -> np.ndarray:
        """Something (K, H, W) of each slice as (K, Z, H, W)."""
        return np.stack([of_slices[z] for z in sorted(of_slices)], axis=1)


class InferenceWriter(ResultWriter):
    """Writes the results of every input when it is complete; each file is whole or not there.

        <output>/masks/<name>_mask.png      0/255, as large as the picture
        <output>/masks/<name>_mask.nii.gz   0/1 uint8 with the volume's axes, affine and voxel size
        <output>/probabilities/<name>.npy, <name>_<k>.nii.gz   see `write_probabilities`; only where wanted
        <output>/overlays/<name>.jpg        outlines of the mask's classes; of a volume the slice with the largest mask
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
        probabilities: whether to write those of the masks.
        components: what cleans the masks of a picture, or of a whole volume (`medbundles.transforms.Components`);
            areas, notes and pictures are of what it keeps. None: they stay as they are.
        label_names: of several classes that exclude each other, the background first; empty: they have none.
        min_head: share of a slice of a volume that the head must fill to be looked at; 0: all are.

    Raises:
        ConfigError: when the results to be kept come from other weights or thresholds; or when the preprocessing does
            not end with `ResizeSquare`.

    Example::

        {"_target_": "medbundles.reports.InferenceWriter", "output": "@output", "predictions": "@postprocessing",
         "class_names": "@class_names", "checkpoint": "@checkpoint", "grad_cam": "@grad_cam", "existing": "@existing"}
    """

    fields = (
        "file", "name", "kind", "slice", "class", "prob", "prob_max", "mask_area", "mask_areas", "mask_area_unit",
        "mask", "overlay", "grad_cam", "mask_threshold", "class_threshold", "volume_threshold", "positive_slices",
        "checkpoint", "note", "outside",
    )  # fmt: skip
    class_key = "class"
    threshold_names = ("class_threshold", "mask_threshold", "volume_threshold")

    def __init__(
        self,
        *args: Any,
        overlays: bool = True,
        min_head: float = LEAST_HEAD,
        probabilities: bool = False,
        components: Components | None = None,
        label_names: Sequence[str] = (),
        **options: Any,
    ):
        super().__init__(*args, **options)
        self.overlays, self.min_head, self.probabilities = overlays, min_head, probabilities
        self.components, self.label_names = components or Components(), list(label_names)
        self._not_looked_at = NOT_LOOKED_AT.format(100 * min_head)

    def about(self) -> dict[str, Any]:
        """Also how the probability of a volume follows from those of its slices, and which class each number is."""
        labels = {"labels": dict(enumerate(self.label_names))} if self.label_names else {}
        return {**super().about(), **labels, "rule_for_volumes": RULE}

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
        if "mask_prob" in output["pred"]:
            prob_here, seg = output["pred"]["mask_prob"][i], output["pred"]["seg"][i]
            mask_prob, masks = masks_of_slice(self.predictions, prob_here, seg, crop, size)
            mask_prob, found.masks[z] = mask_prob * float(not unseen), masks * np.uint8(not unseen)
            found.mask_probs |= {z: mask_prob.numpy()} if self.probabilities else {}
        if heat is not None and not unseen:
            found.heats[z] = heat, crop
        if len(found.probs) == int(batch["slices"][i]):
            self.unfinished.pop(name)
            finish = self._finish_picture if z < 0 else self._finish_volume
            pictures = self.is_shown(batch, i)
            self.later(path, lambda: finish(path, name, found, size, pictures))

    def _cleaned(self, found: _Slices, spacing: Sequence[float] | None = None) -> np.ndarray | None:
        """The masks (K, Z, H, W) of all slices, without the components that are not wanted; None without masks."""
        if not found.masks:
            return None
        masks = torch.from_numpy(found.in_order(found.masks))[None]
        about = {} if spacing is None else {"label": {"spacing": torch.tensor([spacing], dtype=torch.float64)}}
        return self.components({"pred": {"mask": masks}, **about})["pred"]["mask"][0].numpy()

    def _map(self, masks: np.ndarray) -> np.ndarray:
        """Masks (K, ...) as what is written: numbers of classes (1, ...), or 0/1 of each region."""
        if self.predictions.mask_rule == "regions":
            return masks
        return class_indices(torch.from_numpy(masks))[None].numpy().astype(np.uint8)

    def _tumour(self, prob: list[float]) -> float:
        """The probability of what is looked for: of the tumour's of two classes, of any but the first of several."""
        return prob[self.predictions.tumour_class] if len(prob) == 2 else 1 - prob[0]

    def _finish_picture(self, path: str, name: str, found: _Slices, size: torch.Tensor, pictures: bool) -> None:
        prob, masks = found.probs[-1], self._cleaned(found)
        row = {"file": path, "name": name, "kind": "picture", **self.classified(prob)}
        if masks is not None:
            row |= self._areas(masks, 1, "pixels") | self._note(prob, masks)
            row["mask_area"] = int(row["mask_area"])
        if pictures:
            mask = None if masks is None else masks[:, 0]
            self._pictures(row, read_image(path, shown_channels(path)), found, -1, mask, size, name)
        if found.mask_probs:
            write_probabilities(self.output / "probabilities", name, found.mask_probs[-1], None, self.note())
        if masks is not None:
            levels = self._map(masks[:, 0])
            levels = levels if 1 == len(levels) < len(masks) else 255 * levels
            row["mask"] = mask_names(f"masks/{name}_mask", ".png", len(levels))
            for file, values in zip(paths_of(row["mask"]), levels, strict=True):
                write_mask(self.output / file, values, None, self.note())
        self.add(row)

    def _finish_volume(self, path: str, name: str, found: _Slices, size: torch.Tensor, pictures: bool) -> None:
        if len(found.unseen) == len(found.probs):
            raise DataError(f"{path}: every slice of it is constant, or has {self._not_looked_at}")
        source, numbers = open_volume(path), range(len(found.probs))
        masks = self._cleaned(found, source.info.spacing)
        shown = max(numbers, key=lambda z: self._rank(found, masks, z))
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
        if masks is not None:
            row |= self._areas(masks, source.voxel_volume, "mm3")
            for z in numbers:
                slices[z] |= self._areas(masks[:, z], source.pixel_area, "mm2")
                slices[z] |= self._note(found.probs[z], masks[:, z])
        row |= {"shown_slice": shown, "slices": slices}
        if pictures:
            mask, text = None if masks is None else masks[:, shown], f"{name}, slice {shown} of 0 to {len(numbers) - 1}"
            self._pictures(row, source.slices[shown], found, shown, mask, size, text)
        if found.mask_probs:
            whole = np.stack([source.whole(prob) for prob in found.in_order(found.mask_probs)])
            write_probabilities(self.output / "probabilities", name, whole, source.info, self.note())
        if masks is not None:
            levels = self._map(masks)
            row["mask"] = mask_names(f"masks/{name}_mask", ".nii.gz", len(levels))
            for file, volume in zip(paths_of(row["mask"]), levels, strict=True):
                write_mask(self.output / file, source.whole(volume), source.info, self.note())
        self.add(row)

    def _rank(self, found: _Slices, masks: np.ndarray | None, z: int) -> tuple[float, float]:
        """The slice with the highest is shown: that with the largest mask, of equal ones the surest."""
        area, prob = 0.0 if masks is None else float(masks[:, z].any(axis=0).sum()), found.probs[z]
        return area, -1.0 if z in found.unseen else self._tumour(prob) if prob else 0.0

    def _areas(self, masks: np.ndarray, one: float, unit: str) -> dict[str, Any]:
        """Entries of a row: the area or volume of masks (K, ...), and where there are several, of each."""
        found = {"mask_area": float(masks.any(axis=0).sum() * one), "mask_area_unit": unit}
        return found if len(masks) == 1 else {**found, "mask_areas": [float(mask.sum() * one) for mask in masks]}

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
        self,
        row: dict[str, Any],
        pixels: np.ndarray,
        found: _Slices,
        z: int,
        masks: np.ndarray | None,
        size: torch.Tensor,
        shown: str,
    ) -> None:
        """The overlay and the heat map of slice z, pixels (H, W) or (C, H, W), with its masks (K, H, W) and class."""
        name, prob = row["name"], found.probs[z]
        mask = None if masks is None else class_indices(torch.from_numpy(masks)).numpy()
        said = {**row, **self.classified(prob)}
        if self.overlays and masks is not None:
            row["overlay"] = f"overlays/{name}.jpg"
            limit = self.thresholds["mask_threshold"]
            about = f"mask {row['mask_area']:.0f} {row['mask_area_unit']}"
            about += "" if limit is None else f", from probability {limit:.2f} on"
            if "mask_areas" in row and self.label_names:
                each = zip(self.label_names[1:], row["mask_areas"], strict=True)
                about += f" ({', '.join(f'{label} {area:.0f}' for label, area in each)})"
            about = "\n".join([about, *self._note(prob, masks).values()])
            named = partial(overlay, names=self.label_names[1:])
            self._draw(named, row["overlay"], pixels, mask, self.caption(shown, said, about), found)
        if z in found.heats:
            row["grad_cam"] = f"gradcam/{name}.jpg"
            heat, crop = found.heats[z]
            whole = to_original(heat, crop, size).numpy()
            heated = partial(heat_map, heat=whole)
            self._draw(heated, row["grad_cam"], pixels, mask, self.caption(shown, said), found)

    def _draw(
        self, draw: Callable, file: str, pixels: np.ndarray, mask: np.ndarray | None, caption: str, found: _Slices
    ) -> None:
        draw(pixels, path=self.output / file, predicted=mask, caption=caption, sides=found.sides, side=SIDE)


def _unseen(path: str, min_head: float) -> set[int]:
    """Slices of a volume of which the head fills a smaller share."""
    return set(np.flatnonzero(head_shares(open_volume(path).slices) < min_head).tolist()) if min_head else set()
