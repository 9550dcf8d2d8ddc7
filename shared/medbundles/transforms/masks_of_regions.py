"""From labels to regions that may overlap, a channel each."""

from collections.abc import Sequence

import torch
from monai.transforms import Transform


class MasksOfRegions(Transform):
    """Makes of a mask's labels a channel for each region, 1 where a pixel is in it; without regions it does nothing.

    It stands behind what resizes, cuts and moves masks, which need one label for each pixel, and before what looks at
    the regions. (MONAI's ConvertToMultiChannelBasedOnBratsClasses has BraTS's labels fixed, and knows no ignore label.)

    Reads "mask" uint8 (1, ...), where there is one; writes it (K, ...), one channel for each region.

    Args:
        regions: the labels of each region; None or empty: masks hold classes.
        ignore_label: value of pixels that are not labelled, which they keep in every channel; None or False: none are.

    Example:
        >>> MasksOfRegions([[1, 2, 4], [1, 4], [4]])({"mask": torch.tensor([[0, 1, 2, 4]])})["mask"].tolist()
        [[0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]]
    """

    def __init__(self, regions: Sequence[Sequence[int]] | None = None, ignore_label: int | bool | None = None):
        self.regions, self.ignore_label = [list(region) for region in regions or ()], ignore_label or None

    def __call__(self, data: dict) -> dict:
        if not self.regions or "mask" not in data:
            return data
        mask = torch.as_tensor(data["mask"])
        each = torch.cat([torch.isin(mask, torch.tensor(region, dtype=mask.dtype)) for region in self.regions])
        made = each.to(mask.dtype)
        if self.ignore_label is not None:
            made = torch.where(mask == self.ignore_label, mask, made)
        return {**data, "mask": made}
