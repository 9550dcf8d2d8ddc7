"""What a network finds of a host's image, in the axes of the host's array."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from medbundles.data.reading.held_images import HeldImage
from medbundles.data.reading.label_maps import regions_order
from medbundles.errors import ConfigError
from medbundles.metrics.measures import class_indices
from medbundles.transforms.grid import to_input_grid
from medbundles.transforms.held import HELD


class ResultToHost(MapTransform):
    """Base: the result of an image that `FromHost` took in.

    Args:
        keys: of what the network gave, "pred".
        image: the prepared image's key.
    """

    def __init__(self, keys: KeysCollection, image: str = "image"):
        super().__init__(keys)
        self.image = image

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        held: HeldImage = item[self.image].meta[HELD]
        for key in self.key_iterator(item):
            values = self.result(torch.as_tensor(item[key]).detach().float().cpu(), held)
            back = held.of_slices(values[:, None]) if values.ndim == 3 else held.of_volumes(values)
            item[key] = held.given_back(back)
        return item

    def result(self, values: torch.Tensor, held: HeldImage) -> np.ndarray:
        """What the network gave (K, ...) -> the result (K, H, W) or (K, X, Y, Z), as the image was read."""
        raise NotImplementedError


class LabelMapToHost(ResultToHost):
    """The map of labels, uint8 (1, ...), as `LabelMapWriter` writes it; reads logits (K, ...) on the network's grid.

    Args:
        keys: of the logits, "pred".
        predictions: what makes masks of them (`Predictions`, and perhaps `Components` behind it).
        regions: the labels of each region; None or empty: there are classes.
        image: the prepared image's key.

    Raises:
        ConfigError: regions of which no map of labels can be made.
    """

    def __init__(
        self,
        keys: KeysCollection,
        predictions: Callable[[dict], dict],
        regions: Sequence[Sequence[int]] | None = None,
        image: str = "image",
    ):
        super().__init__(keys, image)
        self.predictions, self.order = predictions, regions_order(regions) if regions else []
        if self.order is None:
            raise ConfigError(
                f"regions: {regions} overlap so that one map of labels cannot hold them; a host takes one"
            )

    def result(self, values: torch.Tensor, held: HeldImage) -> np.ndarray:
        """See the class."""
        sides = held.channels.shape[1:] if values.ndim == 4 else held.slices().shape[2:]
        spacing = {"label": {"spacing": torch.tensor([held.info.spacing])}} if held.info and values.ndim == 4 else {}
        pred = self.predictions({"pred": {"seg": to_input_grid(values, sides)[None]}, **spacing})["pred"]
        shown = class_indices(pred["mask"][0])[None].numpy().astype(np.uint8)
        return np.array([0, *self.order], dtype=np.uint8)[shown] if self.order else shown


class ReconstructionToHost(ResultToHost):
    """A reconstruction with the values of the host's image, float32 (C, ...); reads one from 0 to 1."""

    def result(self, values: torch.Tensor, held: HeldImage) -> np.ndarray:
        """See the class."""
        low, high = held.value_range
        return (values.clamp(0, 1) * (high - low) + low).numpy()
