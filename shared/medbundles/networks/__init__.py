"""Networks, and how their weights are loaded and laid out."""

from __future__ import annotations

from .loading import LoadReport, load_weights, read_weights
from .memory_format import to_device
from .multitask_unet import MultitaskUNet
from .task_output import TaskOutput

__all__ = ["LoadReport", "MultitaskUNet", "TaskOutput", "load_weights", "read_weights", "to_device"]
