"""From a cropped volume of any shape to the network's input."""

from collections.abc import Sequence

import numpy as np
import torch
from monai.networks.layers import gaussian_1d
from monai.transforms import Transform
from monai.utils import ensure_tuple_rep
from torch.nn.functional import interpolate

from medbundles.transforms.geometry import padded
from medbundles.transforms.normalise import VOLUME_BACKGROUND

# What a batch is made of; the rest (crop box, lists of paths) would not collate.
KEPT = ("image", "label", "name", "patient", "source", "image_path", "outside")


class ResizeVolume(Transform):
    """Pads a volume with background to the network's aspect and resizes it, so that the head keeps its proportions.

    Trilinear, after MONAI's antialiasing when shrinking: a Gaussian of (factor - 1) / 2 voxels. Reads "image"
    (C, X, Y, Z); writes it as a plain float32 tensor (C, *spatial_size), and drops what is not in `KEPT`.

    Args:
        spatial_size: [X, Y, Z] in voxels, or one number for all three.
        background: what is padded with.
    """

    def __init__(self, spatial_size: int | Sequence[int] = 128, background: float = VOLUME_BACKGROUND):
        self.spatial_size, self.background = ensure_tuple_rep(spatial_size, 3), background

    def __call__(self, data: dict) -> dict:
        item = {key: data[key] for key in KEPT if key in data}
        image = torch.as_tensor(np.asarray(item["image"], dtype=np.float32)) - self.background  # from 0: it stays exact
        factor = max(n / wanted for n, wanted in zip(image.shape[1:], self.spatial_size, strict=True))
        smooth = _antialiased(padded(image, self.spatial_size).numpy(), factor)
        resized = interpolate(torch.from_numpy(smooth)[None], self.spatial_size, mode="trilinear")[0]
        item["image"] = resized + self.background
        return item


def _antialiased(image: np.ndarray, factor: float) -> np.ndarray:
    """Image (C, X, Y, Z) smoothed as MONAI's Resize(anti_aliasing=True) does it before shrinking by `factor`.

    With scipy, because the sums of torch's convolution depend on the number of threads, and it takes a third.
    """
    from scipy import ndimage

    if factor <= 1:
        return image
    kernel = gaussian_1d(torch.tensor((factor - 1) / 2), truncated=4.0).numpy()
    for axis in (1, 2, 3):
        image = ndimage.correlate1d(image, kernel, axis=axis, mode="constant")
    return image
