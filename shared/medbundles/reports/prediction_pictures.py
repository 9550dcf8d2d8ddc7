"""Pictures of predictions: the image with the outlines of the true and the predicted mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional


def prediction_pictures(output: Any, count: int) -> list[torch.Tensor]:
    """Pictures of the first samples of a batch: true outline green, predicted red, yellow where both agree.

    Of a volume the slice with most of the true mask is shown (else of the predicted one, else the middle), axial and
    nose up for volumes in RAS.

    Args:
        output: an evaluator's batched output: "image" (B, C, H, W) or (B, C, X, Y, Z), of which the first channel is
            shown; "label" and "pred", each with a "mask" or one itself: (B, 1, ...) class indices or (B, K, ...)
            one-hot.
        count: how many.

    Returns:
        (3, H, W) uint8 on the CPU each; none when the output holds no predicted mask.
    """
    image = output.get("image") if isinstance(output, Mapping) else None
    if not isinstance(image, torch.Tensor):
        return []
    image = image[:count, 0].detach().float().cpu()
    predicted, true = (_masks(output.get(key), image) for key in ("pred", "label"))
    if predicted is None:
        return []
    true = torch.zeros_like(predicted) if true is None else true
    return [picture(*_planes(*sample)) for sample in zip(image, true, predicted, strict=True)]


def picture(image: torch.Tensor, true: torch.Tensor, predicted: torch.Tensor) -> torch.Tensor:
    """(H, W) image and class indices to a (3, H, W) uint8 picture with both outlines."""
    low, high = image.quantile(0.01), image.quantile(0.99)  # single bright pixels must not make all the rest black
    grey = ((image - low) / (high - low).clamp(min=1e-6)).clamp(0, 1) * 255
    edges = torch.stack([outline(predicted), outline(true), torch.zeros_like(true, dtype=torch.bool)])
    return torch.where(edges.any(0), edges * 255, grey).to(torch.uint8)


def outline(mask: torch.Tensor) -> torch.Tensor:
    """Pixels of a class (index above 0) that touch another one, in an (H, W) map of class indices."""
    index = mask[None].float()
    largest, smallest = functional.max_pool2d(index, 3, 1, 1), -functional.max_pool2d(-index, 3, 1, 1)
    return ((largest != smallest) & (index > 0))[0]


def _masks(value: Any, image: torch.Tensor) -> torch.Tensor | None:
    """Class indices shaped like `image` (N, ...), or None when the value is something else than masks."""
    value = value.get("mask") if isinstance(value, Mapping) else value
    if not isinstance(value, torch.Tensor) or value.shape[2:] != image.shape[1:]:
        return None
    value = value[: len(image)].detach().float().cpu()
    value = value.argmax(1) if value.shape[1] > 1 else value[:, 0]
    return value if bool((value == value.round()).all()) else None  # not whole numbers: a reconstruction, no mask


def _planes(image: torch.Tensor, true: torch.Tensor, predicted: torch.Tensor) -> list[torch.Tensor]:
    """The planes to show: the arrays themselves in 2D, of a volume (X, Y, Z) one slice as radiologists show it."""
    if image.ndim == 2:
        return [image, true, predicted]
    filled = [(mask > 0).sum((0, 1)) for mask in (true, predicted)]
    z = next((int(sizes.argmax()) for sizes in filled if sizes.any()), image.shape[-1] // 2)
    return [array[..., z].flip(0, 1).T for array in (image, true, predicted)]
