"""Reads an image and its map of classes."""

from collections.abc import Sequence

import torch
from monai.transforms import Transform

from medbundles.data.reading.channels import read_channels
from medbundles.data.reading.files import paths_of
from medbundles.data.reading.images import Colour
from medbundles.data.reading.label_maps import LabelRule, read_label_map
from medbundles.errors import DataError
from medbundles.rules import AUTO, has_rules
from medbundles.transforms.loading import COLOUR_COUNTS


@has_rules(*COLOUR_COUNTS)
class LoadLabelled(Transform):
    """Pixels of a picture, or voxels of a volume, and the class of each.

    Reads "image" (path, or a list of one per channel) and "mask" (path; "" or left out: there is none). Writes "image"
    float32 (C, H, W) or (C, X, Y, Z) with canonical axes, "mask" uint8 (1, ...), "image_path" (the first file),
    "original_size" int64 tensor, and of volumes "spacing" float64 tensor, in mm.

    Args:
        spatial_dims: 2 or 3.
        channels: C.
        out_channels: classes, see `LabelRule`.
        label_threshold: likewise.
        ignore_label: likewise.
        regions: likewise; the mask holds their labels, see `MasksOfRegions`.
        colour_channel: see `read_image`.

    Raises:
        DataError: a file cannot be read, holds what is no class, or has colours of which `colour_channel` says nothing;
            image and mask differ in size.
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        channels: int = 1,
        out_channels: int = 2,
        label_threshold: float | bool | None = None,
        ignore_label: int | bool | None = None,
        regions: Sequence[Sequence[int]] | None = None,
        colour_channel: Colour = AUTO,
    ):
        self.spatial_dims, self.channels, self.colour_channel = spatial_dims, channels, colour_channel
        self.rule = LabelRule(out_channels, label_threshold or None, ignore_label or None, regions=regions or ())

    def __call__(self, data: dict) -> dict:
        paths = paths_of(data["image"])
        item = {**data, "image_path": paths[0]}
        image, info = read_channels(paths, self.spatial_dims, self.channels, self.colour_channel)
        if info:
            item["spacing"] = torch.tensor(info.spacing).double()
        item |= {"image": torch.from_numpy(image), "original_size": torch.tensor(image.shape[1:])}
        if not item.pop("mask", ""):
            return item
        held = read_label_map(data["mask"])
        if wrong := self.rule.problem(self.rule.counted(held)):
            raise DataError(f"{data['mask']}: {wrong}")
        if held.shape != image.shape[1:]:
            sizes = ["x".join(map(str, shape)) for shape in (held.shape, image.shape[1:])]
            raise DataError(f"{data['mask']}: the mask is {sizes[0]}, its image {paths[0]} is {sizes[1]}")
        return item | {"mask": torch.from_numpy(self.rule.classes(held))[None]}
