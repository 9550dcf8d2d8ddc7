"""Images of a host, which holds them in memory (MONAI Deploy) or names their file (MONAI Label)."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_tensor

from medbundles.data.reading.held_images import HeldImage
from medbundles.data.reading.images import Colour
from medbundles.errors import DataError
from medbundles.rules import AUTO

HELD = "held"  # of the item while it is prepared, and of the prepared tensor's meta


class FromHost(MapTransform):
    """A host's image as our loaders leave one that they read from a file; what stands in their place.

    Reads a MetaTensor (H, W), or of a volume (X, Y, Z) with its affine, or the path of a file (see `HeldImage`). Writes
    "image" float32 (C, H, W), or (C, X, Y, Z) with canonical axes and their affine; "value_range" [low, high],
    "original_size" int64, of volumes "spacing" float64 in mm; and "held", which `ToHost` keeps for the way back.

    Args:
        keys: of the image, "image".
        spatial_dims: 2, where a volume must have a single plane, or 3.
        channels: C; one channel is repeated.
        scaled: bring `value_range` to 0 .. 1, as `LoadWholeImage` does.
        colour_channel: of a file, see `read_image`.

    Raises:
        DataError: it has other dimensions or channels; see `HeldImage.of`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        spatial_dims: int = 2,
        channels: int = 1,
        scaled: bool = False,
        colour_channel: Colour = AUTO,
    ):
        super().__init__(keys)
        self.spatial_dims, self.channels, self.scaled = spatial_dims, channels, scaled
        self.colour_channel = colour_channel

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            held = HeldImage.of(item[key], self.channels, self.colour_channel)
            pixels = self._flat(held) if self.spatial_dims == 2 else held.channels
            if pixels.ndim != 1 + self.spatial_dims:
                raise DataError(f"{key}: is a picture; a volume is wanted (spatial_dims {self.spatial_dims})")
            item[key] = MetaTensor(torch.from_numpy(with_channels(pixels, self.channels)))
            if held.info and self.spatial_dims == 3:
                item[key].affine = torch.from_numpy(held.info.canonical_affine)
                item["spacing"] = torch.tensor(held.info.spacing).double()
            low, high = item["value_range"] = held.value_range
            if self.scaled:
                item[key] = (item[key] - low) / (high - low)
            item["original_size"], item[HELD] = torch.tensor(pixels.shape[1:]), held
        return item

    @staticmethod
    def _flat(held: HeldImage) -> np.ndarray:
        slices = held.slices()
        if slices.shape[1] != 1:
            raise DataError(f"the image is a volume of {slices.shape[1]} slices; a picture is wanted (spatial_dims 2)")
        return np.ascontiguousarray(slices[:, 0])


def with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Pixels (1, ...) repeated, or (C, ...) as they are; another number is a DataError."""
    if len(pixels) not in (1, channels):
        raise DataError(f"the image has {len(pixels)} channel(s), {channels} are wanted")
    return np.repeat(pixels, channels // len(pixels), axis=0)


class ToHost(MapTransform):
    """The last step for a host: the prepared image with all that belongs to it as its meta, and nothing beside it.

    A host that holds the image hands whatever it finds beside it to the network. One that named a file gets back what
    else it said, as it needs it to write the result.

    Args:
        keys: of the image, "image".
    """

    def __init__(self, keys: KeysCollection):
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        held = data.get(HELD)
        made = {k: v for k, v in data.items() if held and held.is_file and k != HELD and not torch.is_tensor(v)}
        for key in self.key_iterator(data):  # type: ignore[arg-type]
            made[key] = MetaTensor(convert_to_tensor(data[key], track_meta=False))
            made[key].meta = {**(held.meta if held else {}), **made[key].meta, HELD: held}
        return made
