"""A host's picture or volume for a network of two dimensions: slice by slice, and back."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from medbundles.data.reading.held_images import HeldImage
from medbundles.data.reading.images import Colour
from medbundles.errors import DataError
from medbundles.metrics.measures import class_indices
from medbundles.rules import AUTO
from medbundles.transforms.components import Components
from medbundles.transforms.head import LEAST_HEAD, head_shares
from medbundles.transforms.held import HELD, with_channels
from medbundles.transforms.masks_of_slice import masks_of_slice
from medbundles.transforms.predictions import Predictions

CROPS = "crops"  # of a prepared tensor's meta: which slices it holds, and how each was cut


class SlicesFromHost(MapTransform):
    """A host's picture or volume as the slices that a network of two dimensions sees, prepared one by one.

    Reads a MetaTensor (H, W) or (X, Y, Z) with its affine, or the path of a file. Writes a MetaTensor (C, S, S, N) of
    the N slices that are looked at: as in `InferenceWriter` those of a volume that are not constant and have enough
    head. Its meta says how they lie, for `MasksToHost`.

    Args:
        keys: of the image, "image".
        prepare: the steps of one slice, {"image": (C, H, W)}, of which the last is `ResizeSquare`.
        channels: C; one channel is repeated.
        min_head: share of a slice of a volume that the head must fill to be looked at; 0: all are.
        colour_channel: of a file, see `read_image`.

    Raises:
        DataError: no slice is looked at; see `HeldImage.of`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        prepare: Callable[[dict], dict],
        channels: int = 1,
        min_head: float = LEAST_HEAD,
        colour_channel: Colour = AUTO,
    ):
        super().__init__(keys)
        self.prepare, self.channels, self.min_head = prepare, channels, min_head
        self.colour_channel = colour_channel

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            held = HeldImage.of(item[key], self.channels, self.colour_channel)
            slices = held.slices()
            seen = np.flatnonzero((slices != slices[:, :, :1, :1]).any(axis=(0, 2, 3)))
            if held.info and self.min_head:
                seen = np.intersect1d(seen, np.flatnonzero(head_shares(slices[0]) >= self.min_head))
            if not len(seen):
                raise DataError(f"{key}: every slice is constant, or has less than {100 * self.min_head:.2g} % head")
            made = [self.prepare({"image": with_channels(slices[:, z], self.channels)}) for z in seen]
            stack = MetaTensor(torch.stack([torch.as_tensor(one["image"]) for one in made], dim=-1))
            places = {int(z): one["crop"] for z, one in zip(seen, made, strict=True)}
            stack.meta = {**held.meta, **stack.meta, HELD: held, CROPS: places}
            item[key] = stack
        return item


class MasksToHost(MapTransform):
    """The map of classes that a network finds in the slices of `SlicesFromHost`, in the axes of the host's array.

    Reads logits (C, S, S, N) and the prepared image's meta. Writes a uint8 MetaTensor (1, ...): 0 where there is
    nothing, 1 and so on for the classes, as `InferenceWriter` writes them.

    Args:
        keys: of the logits, "pred".
        predictions: what makes masks of them.
        components: what cleans the masks.
        image: the prepared image's key.
    """

    def __init__(self, keys: KeysCollection, predictions: Predictions, components: Components, image: str = "image"):
        super().__init__(keys)
        self.predictions, self.components, self.image = predictions, components, image

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        about = item[self.image].meta
        held: HeldImage = about[HELD]
        _, count, *size = held.slices().shape
        for key in self.key_iterator(item):
            logits = torch.as_tensor(item[key]).float().cpu().movedim(-1, 0)
            prob = self.predictions({"pred": {"seg": logits}})["pred"]["mask_prob"]
            masks: dict[int, np.ndarray] = {}
            for (z, crop), prob_here, seg in zip(about[CROPS].items(), prob, logits, strict=True):
                _, masks[z] = masks_of_slice(self.predictions, prob_here, seg, crop, size)
            empty = np.zeros_like(next(iter(masks.values())))
            whole = torch.from_numpy(np.stack([masks.get(z, empty) for z in range(count)], axis=1))
            spacing = {"label": {"spacing": torch.tensor([held.info.spacing]).double()}} if held.info else {}
            clean = self.components({"pred": {"mask": whole[None]}, **spacing})["pred"]["mask"][0]
            labels = held.of_slices(class_indices(clean)[None].numpy().astype(np.uint8))
            item[key] = held.given_back(labels)
        return item
