"""MedicalNet's layout (dilated, three strides of 2) against MONAI's strided one: seconds and memory."""

from __future__ import annotations

from typing import Any

from benchmarks.parts import Case
from benchmarks.variants import compare


def measure(case: Case) -> dict[str, Any]:
    """Epochs of steps with each layout in turn."""
    return compare(case, {name: {"layout": name} for name in ("medicalnet", "strided")})
