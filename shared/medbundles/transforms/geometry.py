"""From a picture of any size to the network's square input, and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.transforms import Transform
from torch.nn.functional import interpolate, pad

from medbundles.errors import ConfigError
from medbundles.transforms.head import head_mask
from medbundles.transforms.normalise import BACKGROUND


class CropToHead(Transform):
    """Cuts image and mask to the box around the head.

    The whole picture is kept where the head fills it or none is found (a box under a twentieth of a side).
    Reads "image" (C, H, W), "mask" (1, H, W) where there is one, and the "head" that `HeadNormalise` left (found anew
    where it is missing). Writes both cropped and "crop": int64 tensor [top, left, height, width] in pixels of the
    original picture.

    Args:
        margin: what is kept around the box, as a fraction of its longer side.

    Raises:
        ConfigError: margin outside 0 .. 1.
    """

    def __init__(self, margin: float = 0.05):
        if not 0 <= margin <= 1:
            raise ConfigError(f"margin: {margin} is outside 0 to 1 (a fraction of the head's longer side)")
        self.margin = margin

    def __call__(self, data: dict) -> dict:
        item = dict(data)
        head = item.pop("head", None)
        if head is None:
            head = head_mask(np.asarray(item["image"], dtype=np.float32))
        top, left, height, width = head_box(head, self.margin)
        for key in ("image", "mask"):
            if key in item:
                item[key] = item[key][:, top : top + height, left : left + width]
        item["crop"] = torch.tensor([top, left, height, width])
        item.setdefault("original_size", torch.tensor(head.shape))
        return item


def head_box(head: np.ndarray, margin: float) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the True pixels of a (H, W) mask with a margin; see `CropToHead`."""
    rows, columns = np.flatnonzero(head.any(axis=1)), np.flatnonzero(head.any(axis=0))
    whole = (0, 0, *head.shape)
    if not rows.size or np.ptp(rows) + 1 < head.shape[0] / 20 or np.ptp(columns) + 1 < head.shape[1] / 20:
        return whole
    extra = round(margin * max(np.ptp(rows) + 1, np.ptp(columns) + 1))
    top, left = max(0, int(rows[0]) - extra), max(0, int(columns[0]) - extra)
    bottom, right = min(head.shape[0], int(rows[-1]) + 1 + extra), min(head.shape[1], int(columns[-1]) + 1 + extra)
    return top, left, bottom - top, right - left


class ResizeSquare(Transform):
    """Pads to a square with background and resizes it.

    The image is interpolated linearly with antialiasing, the mask takes the nearest pixel, so its indices survive.
    Reads "image" (C, H, W) and "mask" (1, H, W) where there is one. Writes them as plain tensors, float32 (C, S, S)
    and uint8 (1, S, S), and, where no earlier step did, "crop" and "original_size".

    Args:
        size: S in pixels.

    Raises:
        ConfigError: size is not a positive whole number.
    """

    def __init__(self, size: int = 256):
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ConfigError(f"size: {size!r} is not a positive whole number of pixels")
        self.size = size

    def __call__(self, data: dict) -> dict:
        item = dict(data)
        item.pop("head", None)
        image = torch.as_tensor(np.ascontiguousarray(item["image"]), dtype=torch.float32)
        height, width = image.shape[1:]
        item.setdefault("crop", torch.tensor([0, 0, height, width]))
        item.setdefault("original_size", torch.tensor([height, width]))
        square = pad(image - BACKGROUND, _padding(height, width))[None]  # from 0, so that background stays exact
        size = (self.size, self.size)
        item["image"] = interpolate(square, size, mode="bilinear", antialias=True)[0] + BACKGROUND
        if "mask" in item:
            mask = torch.as_tensor(np.ascontiguousarray(item["mask"]), dtype=torch.uint8)
            item["mask"] = interpolate(pad(mask, _padding(height, width))[None], size, mode="nearest-exact")[0]
        return item


def _padding(height: int, width: int) -> list[int]:
    """[left, right, top, bottom] that make (height, width) a square, as torch's `pad` takes it."""
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2
    return [left, side - width - left, top, side - height - top]


def to_original(
    values: torch.Tensor | np.ndarray, crop: Sequence[int] | torch.Tensor, original_size: Sequence[int] | torch.Tensor
) -> torch.Tensor:
    """Brings a prediction on the network's square back onto the original picture; the inverse of the resizing.

    Args:
        values: (..., S, S). Floats (probabilities) are interpolated linearly, whole numbers and booleans (masks) take
            the nearest pixel.
        crop: [top, left, height, width] of the item.
        original_size: [H, W] of the item.

    Returns:
        (..., H, W) of the same dtype; 0 outside the crop.
    """
    values = torch.as_tensor(values)
    top, left, height, width = (int(v) for v in crop)
    rows, columns = (int(v) for v in original_size)
    stack = values.reshape(1, -1, *values.shape[-2:])
    side = max(height, width)
    if values.is_floating_point():
        square = interpolate(stack.float(), (side, side), mode="bilinear", antialias=True)
    else:
        square = interpolate(stack.to(torch.uint8), (side, side), mode="nearest-exact")
    pad_left, _, pad_top, _ = _padding(height, width)
    whole = torch.zeros((stack.shape[1], rows, columns), dtype=values.dtype, device=values.device)
    box = square[0, :, pad_top : pad_top + height, pad_left : pad_left + width]
    whole[:, top : top + height, left : left + width] = box.to(values.dtype)
    return whole.reshape(*values.shape[:-2], rows, columns)
