"""Pictures of predictions: the image with the outlines of both masks, or with its reconstruction beside it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from medbundles.metrics.measures import class_indices
from medbundles.reports.pictures import compared, gray, outline
from medbundles.reports.planes import reconstruction_planes, shown_plane


def prediction_pictures(output: Any, count: int) -> list[torch.Tensor]:
    """Pictures of the first samples of a batch: true outline green, predicted red, yellow where both agree.

    Of a volume the slice with most of the true mask is shown (else of the predicted one, else the middle), axial and
    nose up for volumes in RAS.

    A reconstruction, pred["reconstruction"], is shown beside its image, with the difference; of a volume in the middle.

    Args:
        output: an evaluator's batched output: "image" (B, C, H, W) or (B, C, X, Y, Z), of which the first channel is
            shown; "label" and "pred", each with a "mask" or one itself: (B, 1, ...) class indices or (B, K, ...), a
            channel for each class but the background.
        count: how many.

    Returns:
        (3, H, W) uint8 on the CPU each; none when the output holds neither.
    """
    image = output.get("image") if isinstance(output, Mapping) else None
    if not isinstance(image, torch.Tensor) or count <= 0:
        return []
    if isinstance(output.get("pred"), Mapping) and "reconstruction" in output["pred"]:
        planes = [reconstruction_planes(output, i) for i in range(min(count, len(image)))]
        return [torch.from_numpy(np.array(compared(*both)).transpose(2, 0, 1)) for both in planes]
    image = image[:count, 0].detach().float().cpu()
    predicted, true = (_masks(output.get(key), image) for key in ("pred", "label"))
    if predicted is None:
        return []
    true = torch.zeros_like(predicted) if true is None else true
    return [picture(*shown_plane([i, t, p], [t, p])) for i, t, p in zip(image, true, predicted, strict=True)]


def picture(image: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> torch.Tensor:
    """(H, W) image and class indices to a (3, H, W) uint8 picture with both outlines."""
    edges = np.stack([outline(predicted), outline(true), np.zeros(true.shape, dtype=bool)])
    return torch.from_numpy(np.where(edges.any(0), edges * np.uint8(255), gray(image)))


def _masks(value: Any, image: torch.Tensor) -> torch.Tensor | None:
    """Class indices shaped like `image` (N, ...), or None when the value is something else than masks."""
    value = value.get("mask") if isinstance(value, Mapping) else value
    if not isinstance(value, torch.Tensor) or value.shape[2:] != image.shape[1:]:
        return None
    value = value[: len(image)].detach().float().cpu()
    if bool((value != value.round()).any()):
        return None  # not whole numbers: a reconstruction, no mask
    return torch.stack([class_indices(mask) for mask in value])
