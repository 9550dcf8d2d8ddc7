"""From a picture of any size to the network's square input, and back."""

from collections.abc import Sequence

import numpy as np
import torch
from monai.transforms import Transform
from monai.utils import ensure_tuple_rep
from torch.nn.functional import interpolate, pad

from medbundles.errors import in_range
from medbundles.transforms.head import head_mask
from medbundles.transforms.normalise import BACKGROUND


class CropToHead(Transform):
    """Cuts image and mask to the box around the head, in pictures and in volumes.

    The whole picture is kept where the head fills it or none is found (a box under a twentieth of a side). Not MONAI's
    CropForeground: it would look for the head once more, and its margin is in pixels.

    Reads "image" (C, H, W) or (C, X, Y, Z), "mask" (1, ...) where there is one, and the "head" that `HeadNormalise`
    left (found anew where it is missing). Writes both cropped and "crop": int64 tensor [top, left, height, width], for
    volumes [x, y, z, and the three lengths], in pixels of the original.

    Args:
        margin: what is kept around the box, as a fraction of its longest side.

    Raises:
        ConfigError: margin outside 0 .. 1.
    """

    def __init__(self, margin: float = 0.05):
        in_range("margin (a fraction of the head's longest side)", margin, minimum=0, maximum=1)
        self.margin = margin

    def __call__(self, data: dict) -> dict:
        item = dict(data)
        head = item.pop("head", None)
        if head is None:
            head = head_mask(np.asarray(item["image"], dtype=np.float32))
        box = head_box(head, self.margin)
        starts, lengths = box[: head.ndim], box[head.ndim :]
        inside = tuple(slice(start, start + length) for start, length in zip(starts, lengths, strict=True))
        for key in ("image", "mask"):
            if key in item:
                item[key] = item[key][(slice(None), *inside)]
        item["crop"] = torch.tensor(box)
        item.setdefault("original_size", torch.tensor(head.shape))
        return item


def head_box(head: np.ndarray, margin: float) -> tuple[int, ...]:
    """Starts, then lengths of the box around the True pixels of a mask (H, W) or (X, Y, Z); see `CropToHead`."""
    from scipy import ndimage

    found = ndimage.find_objects(head.astype(np.uint8))
    if not found or any(side.stop - side.start < n / 20 for side, n in zip(found[0], head.shape, strict=True)):
        return (*(0 for _ in head.shape), *head.shape)
    extra = round(margin * max(side.stop - side.start for side in found[0]))
    starts = [max(0, side.start - extra) for side in found[0]]
    stops = [min(n, side.stop + extra) for side, n in zip(found[0], head.shape, strict=True)]
    return (*starts, *(stop - start for start, stop in zip(starts, stops, strict=True)))


class ResizeSquare(Transform):
    """Pads to a square with background and resizes it.

    The image is interpolated linearly with antialiasing, the mask takes the nearest pixel, so its indices survive; a
    lesion that falls between the pixels keeps one.
    Reads "image" (C, H, W) and "mask" (1, H, W) where there is one. Writes them as plain tensors, float32 (C, S, S)
    and uint8 (1, S, S), and, where no earlier step did, "crop" and "original_size".

    Args:
        size: S in pixels.
    """

    def __init__(self, size: int = 256):
        self.size = ensure_tuple_rep(size, 2)

    def __call__(self, data: dict) -> dict:
        item = dict(data)
        item.pop("head", None)
        image = torch.as_tensor(np.ascontiguousarray(item["image"]), dtype=torch.float32)
        height, width = image.shape[1:]
        item.setdefault("crop", torch.tensor([0, 0, height, width]))
        item.setdefault("original_size", torch.tensor([height, width]))
        square = padded(image - BACKGROUND, self.size)[None]  # from 0, so that background stays exact
        item["image"] = interpolate(square, self.size, mode="bilinear", antialias=True)[0] + BACKGROUND
        if "mask" in item:
            mask = torch.as_tensor(np.ascontiguousarray(item["mask"]), dtype=torch.uint8)
            item["mask"] = shrunk(padded(mask, self.size), self.size)
        return item


def shrunk(mask: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Class indices (1, H, W) or (1, X, Y, Z) at another size; a class that falls between the pixels keeps the one it
    fills most."""
    made = interpolate(mask[None], size, mode="nearest-exact")[0]
    taken = torch.zeros(made.numel(), dtype=torch.bool)
    for index in sorted(set(mask.unique().tolist()) - set(made.unique().tolist()) - {0}):
        share = interpolate((mask == index).float()[None], size, mode="area").flatten().masked_fill(taken, -1)
        place = int(share.argmax())
        made.view(-1)[place], taken[place] = index, True
    return made


def padded(image: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Image (C, ...) with zeros around it, so that its aspect is that of `size`."""
    around = margins(image.shape[1:], size)
    return pad(image, [n for before_and_after in reversed(around) for n in before_and_after])


def margins(shape: Sequence[int], size: Sequence[int]) -> list[tuple[int, int]]:
    """Pixels to add before and after each axis of `shape`, so that its aspect is that of `size`."""
    factor = max(n / wanted for n, wanted in zip(shape, size, strict=True))
    missing = [max(0, round(factor * wanted) - n) for n, wanted in zip(shape, size, strict=True)]
    return [(n // 2, n - n // 2) for n in missing]


def to_original(
    values: torch.Tensor | np.ndarray, crop: Sequence[int] | torch.Tensor, original_size: Sequence[int] | torch.Tensor
) -> torch.Tensor:
    """Brings a prediction on the network's grid back onto the original picture; the inverse of the resizing.

    Args:
        values: (..., S, S), or sides that differ. Floats (probabilities) are interpolated linearly, whole numbers and
            booleans (masks) take the nearest pixel.
        crop: [top, left, height, width] of the item.
        original_size: [H, W] of the item.

    Returns:
        (..., H, W) of the same dtype; 0 outside the crop.
    """
    values = torch.as_tensor(values)
    top, left, height, width = (int(v) for v in crop)
    rows, columns = (int(v) for v in original_size)
    stack = values.reshape(1, -1, *values.shape[-2:])
    (pad_top, pad_bottom), (pad_left, pad_right) = margins((height, width), values.shape[-2:])
    size = (pad_top + height + pad_bottom, pad_left + width + pad_right)
    if values.is_floating_point():
        square = interpolate(stack.float(), size, mode="bilinear", antialias=True)
    else:
        square = interpolate(stack.to(torch.uint8), size, mode="nearest-exact")
    whole = torch.zeros((stack.shape[1], rows, columns), dtype=values.dtype, device=values.device)
    box = square[0, :, pad_top : pad_top + height, pad_left : pad_left + width]
    whole[:, top : top + height, left : left + width] = box.to(values.dtype)
    return whole.reshape(*values.shape[:-2], rows, columns)
