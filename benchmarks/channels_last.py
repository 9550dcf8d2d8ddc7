"""Channels-last weights against the usual order of axes."""

from __future__ import annotations

from typing import Any

from benchmarks.parts import Case
from benchmarks.variants import compare


def measure(case: Case) -> dict[str, Any]:
    """Epochs of steps with each in turn."""
    return compare(case, {"channels_last": {"channels_last": True}, "channels_first": {"channels_last": False}})
