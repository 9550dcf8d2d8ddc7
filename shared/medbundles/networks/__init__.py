"""Networks, and how their weights are loaded and laid out."""

from __future__ import annotations

from .bare import bare_network
from .grading_resnet import GradingResNet
from .loading import LoadReport, load_weights, read_weights
from .medicalnet import load_medicalnet
from .memory_format import to_device
from .multitask_unet import MultitaskUNet
from .task_output import TaskOutput

__all__ = [
    "GradingResNet",
    "LoadReport",
    "MultitaskUNet",
    "TaskOutput",
    "bare_network",
    "load_medicalnet",
    "load_weights",
    "read_weights",
    "to_device",
]
