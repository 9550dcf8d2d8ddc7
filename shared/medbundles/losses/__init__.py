"""Losses; all give one value per image, or the weighted sum of such."""

from __future__ import annotations

from .classification import ClassificationLoss
from .ldam import LDAMLoss
from .multitask import MultitaskLoss
from .per_image import PerImage
from .segmentation import SegmentationLoss

__all__ = ["ClassificationLoss", "LDAMLoss", "MultitaskLoss", "PerImage", "SegmentationLoss"]
