"""Channels-last weights against the usual order of axes."""

from __future__ import annotations

from typing import Any

from tools.bench.parts import Setting
from tools.bench.variants import compare


def measure(setting: Setting) -> dict[str, Any]:
    """Epochs of steps with each in turn."""
    return compare(setting, {"channels_last": {"channels_last": True}, "channels_first": {"channels_last": False}})
