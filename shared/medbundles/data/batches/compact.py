"""Prepared items without what takes memory for nothing: a tensor of one value, such as an empty mask."""

from typing import Any

import torch


def packed(item: dict[str, Any]) -> dict[str, Any]:
    """The item; each of its tensors of whole numbers that are all the same is kept as one, and a view as large.

    No tensor keeps the memory of a larger one that it was cut from.
    """
    return {key: _packed(value) if isinstance(value, torch.Tensor) else value for key, value in item.items()}


def _packed(tensor: torch.Tensor) -> torch.Tensor:
    is_whole = tensor.numel() > 1 and not tensor.is_floating_point()  # 0.0 and -0.0 are equal and not the same
    if is_whole and bool((tensor == (one := tensor.flatten()[:1].clone())).all()):
        return one.reshape([1] * tensor.ndim).expand(tensor.shape)
    return tensor.clone() if tensor.untyped_storage().nbytes() > tensor.numel() * tensor.element_size() else tensor


def unpacked(item: dict[str, Any]) -> dict[str, Any]:
    """The item as it was before `packed`: all tensors with memory of their own, into which a step may write."""
    return {
        key: value.contiguous() if isinstance(value, torch.Tensor) and 0 in value.stride() else value
        for key, value in item.items()
    }


def size_of(item: dict[str, Any]) -> int:
    """Bytes that a packed item takes, entries that are no arrays left out."""
    tensors = (value for value in item.values() if isinstance(value, torch.Tensor))
    arrays = (value.nbytes for value in item.values() if hasattr(value, "nbytes") and not torch.is_tensor(value))
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors) + sum(arrays)
