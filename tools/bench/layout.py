"""MedicalNet's layout (dilated, three strides of 2) against MONAI's strided one: seconds and memory."""

from __future__ import annotations

from typing import Any

from tools.bench.parts import Setting
from tools.bench.variants import compare


def measure(setting: Setting) -> dict[str, Any]:
    """Epochs of steps with each layout in turn."""
    return compare(setting, {name: {"layout": name} for name in ("medicalnet", "strided")})
